"""What the explorer's page asks for, and the answers: choices, galleries, pictures, marks, saved selections."""

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
from thresher.explorer.review import Review
from thresher.explorer.rows import RANKED, RunRows, classes_shown
from thresher.run.folder import check_name
from thresher.run.perform import as_json
from thresher.selection.methods import MEAN_RANKS
from thresher.stages.export import export
from thresher.stages.heat import HeatMaps
from thresher.stages.score import known_methods
from thresher.stages.select import MARKS, SelectSettings, choose, select

#: Cards of one answer, at most.
PAGE = 120
#: Longest sides of pictures in pixels: of a card, of a whole view.
SIDES = (320, 1280)
#: How many thumbnails are kept in memory.
_KEPT = 3000
#: The numbers of an image that its card shows, where there are any.
_NUMBERS = ("layout", "similarity", "diversity", "objects", "nearest", "yield_area")


class Answers:
    """One run, opened by one person. Threads may share it."""

    def __init__(self, rows: RunRows, review: Review, start: SelectSettings) -> None:
        """Show `start` first."""
        self._rows, self._review, self._start = rows, review, start
        self._last: tuple[SelectSettings, int, GallerySelection] | None = None
        self._lock = threading.Lock()
        self._places: Float32[np.ndarray, "rows 2"] | None = None
        self._heat_maps: HeatMaps | None = None
        self._drawing = threading.Lock()
        self.picture = lru_cache(_KEPT)(self._picture)

    def summary(self) -> dict[str, Any]:
        """What the page needs before anything is chosen."""
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
        """Of every row x and y of the map, of the pool's rows then layout, similarity and diversity, as float32, and
        of every row the number of its data set (order of `summary`, the target's −1) as int16; NaN is nothing.
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
        """What the settings choose: how many, of what, and which rows (one bit each, lowest first)."""
        settings = settings_of(ask, self._start.duplicate_cosine)
        shown = self._selection(settings)
        self._review.settings({name: value for name, value in as_json(settings).items() if name != "name"})
        table, marks = self._rows, self._review.marks()
        answer = self._contents(shown.within) | {
            "count": len(shown.rows),
            "candidates": shown.made.candidates.height,
            "not_ranked": shown.not_ranked,
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
            made, not_ranked = choose(table.candidates, settings, self._review.marks())
            rows = table.rows_of(made.chosen)
            within = np.zeros(table.pool, bool)
            within[rows] = True
            ordered = table.rows_of(made.candidates)
            shown = GallerySelection(settings, made, not_ranked, rows, ordered[~within[ordered]], within)
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
        """Cards `from` … of a view (`VIEWS`), and how many it has.

        Raises:
            SettingsError: no such view.
        """
        view = str(ask.get("view"))
        if view not in VIEWS:
            raise SettingsError(f"view '{view}': expected {', '.join(VIEWS)}.")
        shown = self._selection(settings_of(ask, self._start.duplicate_cosine))
        rows = self._viewed(view, shown, ask)
        start = max(0, int(ask.get("from", 0)))
        page = rows[start : start + min(PAGE, max(1, int(ask.get("most", 60))))]
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
        """Which rows of the pool lie in a rectangle of the map or of the scores."""
        bounds = ask.get("bounds") or {}
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
        """A card, and those of the target's images most like it."""
        table = self._rows
        self._known(row)
        near = table.scores["nearest_ids"][row] if row < table.pool else None
        ids = [] if near is None else near.to_list()
        rows = table.rows_of(pl.DataFrame({"image_id": ids}, {"image_id": pl.String}))
        return self._card(row, None) | {"nearest": [self._card(int(each), None) for each in rows]}

    def _known(self, row: int) -> None:
        if not 0 <= row < self._rows.images.height:
            raise DataError(f"image {row}: expected 0 to {self._rows.images.height - 1}.")

    def _picture(self, row: int, side: int) -> bytes:
        """The image of a row as JPEG, no side longer than the one of `SIDES` asked for.

        Raises:
            DataError: no such row, or an image that cannot be read or is outside the folders given to index.
        """
        self._known(row)
        if side not in SIDES:
            raise DataError(f"side {side}: expected {' or '.join(map(str, SIDES))}.")
        return jpeg(thumbnail(rgb_image(self._rows.path(row)), side))

    def heat(self, row: int) -> bytes:
        """As JPEG, where the image of a row looks like the target.

        Raises:
            DataError: embed or fit have left nothing of it, or it cannot be read.
        """
        self._known(row)
        with self._drawing:
            if self._heat_maps is None:
                self._heat_maps = HeatMaps(self._rows.opened)
        return jpeg(self._heat_maps.heat(self._rows.images["image_id"][row], self._rows.path(row)))

    def mark(self, ask: Mapping[str, Any]) -> None:
        """Mark the image of a row of the pool."""
        row = int(ask.get("row", -1))
        if not 0 <= row < self._rows.pool:
            raise DataError(f"image {row}: expected an image of the pool, 0 to {self._rows.pool - 1}.")
        self._review.mark(self._rows.images["image_id"][row], str(ask.get("mark")))

    def save(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Save the shown as a named selection, made by `select`, with the review that led to it beside it.

        Raises:
            SettingsError: no plain name, or one that is taken while `replace` is not asked for.
        """
        run, name = self._rows.opened.run, str(ask.get("name", "")).strip()
        check_name(name)
        if run.selection_path(name).is_file() and ask.get("replace") is not True:
            raise SettingsError(f"selection '{name}': already exists. Choose another name, or replace it.")
        settings = dataclasses.replace(settings_of(ask, self._start.duplicate_cosine), name=name, review=name)
        self._selection(dataclasses.replace(settings, name="", review=""))
        tables.write(self._review.table(), run.review(name))
        done = select(run, settings)
        return {"name": name, "images": done.summary["images"], "selections": self._selections()}

    def export(self, ask: Mapping[str, Any]) -> tuple[Path, Path]:
        """A saved selection in a form for other tools: one file, zipped where the form is a folder.

        Returns:
            The file, and the temporary folder that holds it and can go once it is sent.

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


def settings_of(ask: Mapping[str, Any], duplicate_cosine: float = 0.0) -> SelectSettings:
    """The settings of select that the page sends, each of the type that it should be.

    Args:
        duplicate_cosine: Is fixed when the explorer starts, since clusters take their time.

    Raises:
        SettingsError: one is not, or cannot work.
    """
    try:
        method = str(ask.get("method", SelectSettings.method))
        weight = float(ask.get("diversity_weight", 0.5))
        quotas = tuple(f"{name}={int(number)}" for name, number in sorted(dict(ask.get("quotas") or {}).items()))
        datasets = tuple(sorted(map(str, ask.get("datasets") or ())))
        seed = int(ask.get("seed", 0))
    except (TypeError, ValueError) as error:
        raise SettingsError(f"settings: {error}.") from error
    return SelectSettings(
        method,
        str(ask.get("budget", SelectSettings.budget)),
        seed,
        diversity_weight=weight if method in MEAN_RANKS else SelectSettings.diversity_weight,
        quotas=quotas,
        datasets=datasets,
        duplicate_cosine=duplicate_cosine,
    )
