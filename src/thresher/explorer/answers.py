"""The explorer's API: selections, galleries, pictures, marks, saving and export."""

from __future__ import annotations

import base64
import dataclasses
import shutil
import tempfile
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import polars as pl
from jaxtyping import Float32

from thresher import tables
from thresher.data.exports import FORMATS, Format
from thresher.data.images import rgb_image
from thresher.drawings.thumbnails import jpeg, thumbnail
from thresher.errors import DataError, SettingsError
from thresher.explorer.asked import settings_of
from thresher.explorer.gallery_views import (
    COMPARED,
    VIEWS,
    Flags,
    GallerySelection,
    Rows,
    rows_of_view,
    within_bounds,
)
from thresher.explorer.map import places
from thresher.explorer.pixel_labels import labelled_picture, newest_label_set
from thresher.explorer.review import Review
from thresher.explorer.rows import RANKED, RunRows, classes_shown
from thresher.explorer.saving import save
from thresher.reasons.remade import choice_of
from thresher.reasons.why import why_in
from thresher.run.folder import check_name
from thresher.run.perform import as_json
from thresher.selection.methods import MEAN_RANKS
from thresher.settings import as_type
from thresher.stages.export import export
from thresher.stages.heat import HeatMaps
from thresher.stages.score import known_methods
from thresher.stages.select import MARKS, SelectSettings, choose

#: Maximum number of cards per response.
PAGE = 120
#: Longest side of pictures in pixels: of a card, and of the large view.
SIDES = (320, 1280)
#: Number of thumbnails cached in memory.
_KEPT = 3000
#: Scores shown on a card, if not null.
_NUMBERS = ("layout", "similarity", "diversity", "objects", "nearest", "yield_area")


class Answers:
    """The API of one run and one reviewer; thread-safe."""

    def __init__(self, rows: RunRows, review: Review, start: SelectSettings) -> None:
        """Open with the settings `start`."""
        self._rows, self._review, self._start = rows, review, start
        self._last: tuple[SelectSettings, int, GallerySelection] | None = None
        self._lock = threading.Lock()
        self._places: Float32[np.ndarray, "rows 2"] | None = None
        self._heat_maps: HeatMaps | None = None
        self._drawing = threading.Lock()
        self._saving = threading.Lock()
        self.picture = lru_cache(_KEPT)(self._picture)

    def summary(self) -> dict[str, Any]:
        """What the page needs to start: methods, classes, data sets, saved selections, formats and initial settings."""
        table = self._rows
        sets = table.images.filter(role="pool").group_by("dataset").len().sort("dataset")
        scores = table.candidates.scores
        methods = [name for name in known_methods(table.opened.run) if name not in scores or scores[name].count()]
        return {
            "title": table.opened.run.folder.absolute().name,
            "pool": table.pool,
            "rows": table.images.height,
            "methods": methods,
            "weighted": list(MEAN_RANKS),
            "classes": classes_shown(table),
            "datasets": [{"name": name, "pool": count} for name, count in sets.iter_rows()],
            "selections": self._selections(),
            "formats": list(FORMATS),
            "start": as_json(self._start),
        }

    def _selections(self) -> list[str]:
        return self._rows.opened.selection_names

    def points(self) -> bytes:
        """Binary arrays one after the other: x and y in the map of every row; layout, similarity and diversity of the
        pool's rows (float32, NaN if missing); the data set of every row (int16, order of `summary`; target: −1).
        """
        table = self._rows
        with self._drawing:
            if self._places is None:
                self._places = places(table)
        columns = table.scores.select("layout", "similarity", "diversity").cast(pl.Float32)
        numbers = columns.fill_null(np.nan).to_numpy().T
        names = table.images.filter(role="pool")["dataset"].unique().sort().to_list()
        sets = (
            table.images.select(
                pl.when(role="pool")
                .then(pl.col("dataset").replace_strict(names, list(range(len(names))), default=-1))
                .otherwise(-1)
            )
            .to_series()
            .cast(pl.Int16)
        )
        parts = (self._places.T, numbers, sets.to_numpy())
        return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)

    def choose(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """The selection of the settings: counts by class and data set, and its rows as bits (lowest first)."""
        settings = settings_of(ask, self._start)
        shown = self._selection(settings)
        self._review.settings({name: value for name, value in as_json(settings).items() if name != "name"})
        table, marks = self._rows, self._review.marks()
        answer = self._contents(shown.within) | {
            "count": len(shown.rows),
            "candidates": shown.made.candidates.height,
            "not_ranked": shown.made.removed_by("not ranked"),
            "unmet": {name: list(each) for name, each in shown.made.unmet.items()},
            "marks": dict(marks["mark"].value_counts().iter_rows()),
            "marked": [[int(row), mark] for row, mark in zip(table.rows_of(marks), marks["mark"], strict=True)],
        }
        against = str(ask.get("against") or "")
        if against:
            other = self._other(against)
            answer["other"] = self._contents(other) | {"count": int(other.sum())}
            answer["shared"] = int((other & shown.within).sum())
        return answer

    def _contents(self, within: Flags) -> dict[str, Any]:
        table = self._rows
        held = table.counts[within]
        sets = table.images.head(table.pool).filter(pl.Series(within)).group_by("dataset").len()
        return {
            "rows": base64.b64encode(np.packbits(within, bitorder="little").tobytes()).decode(),
            "class_images": (held > 0).sum(0).tolist(),
            "class_objects": held.sum(0).tolist(),
            "datasets": dict(sets.iter_rows()),
        }

    def _selection(self, settings: SelectSettings) -> GallerySelection:
        with self._lock:
            version = self._review.version
            if self._last is not None and self._last[:2] == (settings, version):
                return self._last[2]
            table = self._rows
            made = choose(table.candidates, settings, self._review.marks())
            rows = table.rows_of(made.chosen)
            within = np.zeros(table.pool, bool)
            within[rows] = True
            ordered = table.rows_of(made.candidates)
            shown = GallerySelection(settings, made, rows, ordered[~within[ordered]], within)
            self._last = (settings, version, shown)
            return shown

    def _other(self, name: str) -> Flags:
        if name not in self._selections():
            raise SettingsError(f"No selection named '{name}' in {self._rows.opened.run.folder}.")
        ids = tables.read(self._rows.opened.run.selection_path(name), tables.some(tables.SELECTION, "image_id"))
        within = np.zeros(self._rows.pool, bool)
        rows = ids.join(self._rows.images.head(self._rows.pool), on="image_id")["row"].to_numpy()
        within[rows] = True
        return within

    def gallery(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Cards of a view (`VIEWS`) starting at `from`, and their total number.

        Raises:
            SettingsError: unknown view.
        """
        view = str(ask.get("view"))
        if view not in VIEWS:
            raise SettingsError(f"view '{view}': expected {', '.join(VIEWS)}.")
        shown = self._selection(settings_of(ask, self._start))
        rows = self._viewed(view, shown, ask)
        start = max(0, as_type(ask.get("from", 0), int, "from"))
        page = rows[start : start + min(PAGE, max(1, as_type(ask.get("most", 60), int, "most")))]
        ranks = {int(row): rank for rank, row in enumerate(shown.rows, 1)} if len(page) else {}
        return {"total": len(rows), "cards": [self._card(int(row), ranks.get(int(row))) for row in page]}

    def _viewed(self, view: str, shown: GallerySelection, ask: Mapping[str, Any]) -> Rows:
        table = self._rows
        if view in MARKS:
            return table.rows_of(self._review.marks().filter(mark=view))
        inside = self._inside(ask) if view == "rectangle" else None
        other = self._other(str(ask.get("against") or "")) if view in COMPARED else None
        return rows_of_view(view, shown, inside, other)

    def _inside(self, ask: Mapping[str, Any]) -> Flags:
        """Which pool rows are in a rectangle of the map or of the scores."""
        bounds = ask.get("bounds") or {}
        if not isinstance(bounds, dict):
            raise SettingsError(f"bounds = {bounds!r}: expected an object with x0, x1, y0 and y1.")
        if bounds.get("plane") == "map":
            if self._places is None:
                raise SettingsError("the map has not been drawn yet.")
            return within_bounds(self._places[: self._rows.pool], bounds)
        scores = self._rows.scores.select("layout", "diversity").cast(pl.Float32)
        return within_bounds(scores.fill_null(np.nan).to_numpy(), bounds)

    def _card(self, row: int, rank: int | None) -> dict[str, Any]:
        table = self._rows
        image = table.images.row(row, named=True)
        scores = table.scores.row(row, named=True) if row < table.pool else {}
        numbers = {name: scores[name] for name in _NUMBERS if scores.get(name) is not None}
        return {
            "row": row,
            "id": image["image_id"],
            "dataset": image["dataset"],
            "rank": rank,
            "mark": self._review.marked(image["image_id"]),
            "numbers": numbers,
            "ranks": {name: scores[name] for name in RANKED if name in scores},
            "boxes": table.boxes.of(row),
        }

    def details(self, row: int) -> dict[str, Any]:
        """A card, those of the nearest target images, and the label set that holds its newest pixel labels."""
        table = self._rows
        self._known(row)
        near = table.scores["nearest_ids"][row] if row < table.pool else None
        ids = [] if near is None else near.to_list()
        rows = table.rows_of(pl.DataFrame({"image_id": ids}, {"image_id": pl.String}))
        labels = newest_label_set(table.opened.run, table.images["image_id"][row])
        more = {"nearest": [self._card(int(each), None) for each in rows], "labels": labels[0] if labels else ""}
        return self._card(row, None) | more

    def why(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Why the image of a row is chosen by the current settings, or why not; `instead` is a card with its rank."""
        table, row = self._rows, as_type(ask.get("row", -1), int, "row")
        self._known(row)
        shown = self._selection(settings_of(ask, self._start))
        choice = choice_of(table.opened, shown.made, shown.settings)
        found = why_in(table.opened, choice, table.images["image_id"][row])
        told = dataclasses.asdict(found)
        if found.instead is not None:
            (near,) = table.rows_of(pl.DataFrame({"image_id": [found.instead.image_id]}))
            told["instead"] |= self._card(int(near), found.instead.rank)
        return told

    def _known(self, row: int) -> None:
        if not 0 <= row < self._rows.images.height:
            raise DataError(f"image {row}: expected 0 to {self._rows.images.height - 1}.")

    def _picture(self, row: int, side: int) -> bytes:
        """The image of a row as JPEG, its longer side at most `side` pixels (one of `SIDES`).

        Raises:
            DataError: no such row, or an image that cannot be read or is outside the folders given to index.
        """
        self._known(row)
        if side not in SIDES:
            raise DataError(f"side {side}: expected {' or '.join(map(str, SIDES))}.")
        return jpeg(thumbnail(rgb_image(self._rows.path(row)), side))

    def heat(self, row: int) -> bytes:
        """The heat map of a row as JPEG.

        Raises:
            DataError: the image has no slices, fit has not run, or the image cannot be read.
        """
        self._known(row)
        with self._drawing:
            if self._heat_maps is None:
                self._heat_maps = HeatMaps(self._rows.opened)
        return jpeg(self._heat_maps.heat(self._rows.images["image_id"][row], self._rows.path(row)))

    def labels(self, row: int) -> bytes:
        """The image of a row beside its pixel labels, as JPEG.

        Raises:
            DataError: no label set holds it, or a file cannot be read.
        """
        self._known(row)
        return jpeg(labelled_picture(self._rows.opened, self._rows.images["image_id"][row], self._rows.path(row)))

    def mark(self, ask: Mapping[str, Any]) -> None:
        """Mark the image of a pool row."""
        row = as_type(ask.get("row", -1), int, "row")
        if not 0 <= row < self._rows.pool:
            raise DataError(f"image {row}: expected an image of the pool, 0 to {self._rows.pool - 1}.")
        self._review.mark(self._rows.images["image_id"][row], str(ask.get("mark")))

    def save(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Save the current settings as a named selection, made by `select`, and the review with it.

        Raises:
            SettingsError: not a valid name, or the selection exists and `replace` is not true.
        """
        run, name = self._rows.opened.run, str(ask.get("name", "")).strip()
        check_name(name)
        settings = dataclasses.replace(settings_of(ask, self._start), name=name, review=name)
        self._selection(dataclasses.replace(settings, name="", review=""))
        with self._saving:
            done = save(run, settings, self._review.table(), ask.get("replace") is True)
        return {"name": name, "images": done.summary["images"], "selections": self._selections()}

    def export(self, ask: Mapping[str, Any]) -> tuple[Path, Path]:
        """A saved selection in an export format, as one file; folders are zipped.

        Returns:
            The file, and its temporary folder, which the caller removes.

        Raises:
            DataError: images are to be copied, and one is outside the folders given to index.
        """
        name, form = str(ask.get("name", "")), str(ask.get("format", ""))
        if form not in FORMATS or name not in self._selections():
            raise SettingsError(f"export '{name}' as '{form}': no such selection or format.")
        images = str(ask.get("images", "none"))
        if images not in ("none", "copy"):
            raise SettingsError(f"images '{images}': expected none or copy.")
        if images == "copy":
            for row in np.flatnonzero(self._other(name)):
                self._rows.path(int(row))
        folder = Path(tempfile.mkdtemp(prefix="thresher-"))
        try:
            suffix = f".{form}" if form in ("csv", "txt", "parquet") else ".parquet" if form == "atlas" else ""
            out = folder / f"{name}{suffix or f'-{form}'}"
            export(self._rows.opened.run, name, cast(Format, form), out, images=cast(Literal["none", "copy"], images))
            if out.is_dir():
                return Path(shutil.make_archive(str(out), "zip", out)), folder
        except BaseException:
            shutil.rmtree(folder)
            raise
        return out, folder
