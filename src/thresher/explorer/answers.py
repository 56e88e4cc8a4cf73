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
from thresher.data.exports import FORMATS
from thresher.data.images import rgb_image
from thresher.drawings.thumbnails import jpeg, thumbnail
from thresher.errors import DataError, SettingsError
from thresher.explorer.gallery_views import COMPARED, VIEWS, Choice, Flags, Rows, rows_of_view, within_bounds
from thresher.explorer.opened_run import RANKED, Workbench, classes_shown, places
from thresher.explorer.review import Review
from thresher.run.contents import NAME
from thresher.run.perform import as_json
from thresher.selection.methods import MEAN_RANKS, METHODS
from thresher.stages.export import export
from thresher.stages.heat import Looks
from thresher.stages.select import MARKS, SelectSettings, chosen, select

#: Cards of one answer, at most.
PAGE = 120
#: Longest sides of pictures in pixels: of a card, of a whole view.
SIDES = (320, 1280)
#: How many thumbnails are kept in memory.
_KEPT = 3000
#: The numbers of an image that its card shows, where there are any.
_NUMBERS = ("layout", "similarity_nats", "diversity", "objects", "nearest_cosine", "yield_area")


class Desk:
    """One run, opened by one person. Threads may share it."""

    def __init__(self, bench: Workbench, review: Review, start: SelectSettings) -> None:
        """Show `start` first."""
        self._bench, self._review, self._start = bench, review, start
        self._last: tuple[SelectSettings, int, Choice] | None = None
        self._lock = threading.Lock()
        self._places: Float32[np.ndarray, "rows 2"] | None = None
        self._looks: Looks | None = None
        self._drawing = threading.Lock()
        self.picture = lru_cache(_KEPT)(self._picture)

    def told(self) -> dict[str, Any]:
        """What the page needs before anything is chosen."""
        bench = self._bench
        sets = bench.images.filter(role="pool").group_by("dataset").len().sort("dataset")
        has_yield = bench.candidates.scores["yield_area"].count() > 0
        return {
            "title": bench.run.folder.absolute().name,
            "pool": bench.pool,
            "rows": bench.images.height,
            "methods": [name for name in METHODS if name != "yield" or has_yield],
            "weighted": list(MEAN_RANKS),
            "classes": classes_shown(bench),
            "datasets": [{"name": name, "pool": count} for name, count in sets.iter_rows()],
            "selections": self._selections(),
            "formats": list(FORMATS),
            "start": as_json(self._start),
        }

    def _selections(self) -> list[str]:
        return sorted(file.stem for file in (self._bench.run.folder / "selections").glob("*.parquet"))

    def points(self) -> bytes:
        """Of every row x and y of the map, of the pool's rows then layout, similarity and diversity, as float32, and
        of every row the number of its data set (order of `told`, the target's −1) as int16; NaN is nothing.
        """
        bench = self._bench
        with self._drawing:
            if self._places is None:
                self._places = places(bench)
        columns = bench.scores.select("layout", "similarity_nats", "diversity").cast(pl.Float32)
        numbers = columns.fill_null(np.nan).to_numpy().T
        names = bench.images.filter(role="pool")["dataset"].unique().sort().to_list()
        sets = bench.images.select(
            pl.when(role="pool").then(pl.col("dataset").replace_strict(names, list(range(len(names))), default=-1))
            .otherwise(-1)
        ).to_series().cast(pl.Int16)  # fmt: skip
        parts = (self._places.T, numbers, sets.to_numpy())
        return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)

    def choose(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """What the settings choose: how many, of what, and which rows (one bit each, lowest first)."""
        settings = settings_of(ask, self._start.duplicate_cosine)
        choice = self._choice(settings)
        self._review.settings({name: value for name, value in as_json(settings).items() if name != "name"})
        bench, marks = self._bench, self._review.marks()
        answer = self._said(choice.within) | {
            "count": len(choice.rows),
            "candidates": choice.made.candidates.height,
            "not_ranked": choice.made.not_ranked,
            "unmet": {name: list(each) for name, each in choice.made.unmet.items()},
            "marks": dict(marks["mark"].value_counts().iter_rows()),
            "marked": [[int(row), mark] for row, mark in zip(bench.rows_of(marks), marks["mark"], strict=True)],
        }
        against = str(ask.get("against") or "")
        if against:
            other = self._other(against)
            answer["other"] = self._said(other) | {"count": int(other.sum())}
            answer["shared"] = int((other & choice.within).sum())
        return answer

    def _said(self, within: Flags) -> dict[str, Any]:
        bench = self._bench
        held = bench.counts[within]
        sets = bench.images.head(bench.pool).filter(pl.Series(within)).group_by("dataset").len()
        return {
            "rows": base64.b64encode(np.packbits(within, bitorder="little").tobytes()).decode(),
            "class_images": (held > 0).sum(0).tolist(),
            "class_objects": held.sum(0).tolist(),
            "datasets": dict(sets.iter_rows()),
        }

    def _choice(self, settings: SelectSettings) -> Choice:
        with self._lock:
            version = self._review.version
            if self._last is not None and self._last[:2] == (settings, version):
                return self._last[2]
            bench = self._bench
            made = chosen(bench.candidates, settings, self._review.marks())
            rows = bench.rows_of(made.chosen)
            within = np.zeros(bench.pool, bool)
            within[rows] = True
            ordered = bench.rows_of(made.candidates)
            choice = Choice(settings, made, rows, ordered[~within[ordered]], within)
            self._last = (settings, version, choice)
            return choice

    def _other(self, name: str) -> Flags:
        if name not in self._selections():
            raise SettingsError(f"selection '{name}': none in {self._bench.run.folder}.")
        ids = tables.read(self._bench.run.selection(name), tables.some(tables.SELECTION, "image_id"))
        within = np.zeros(self._bench.pool, bool)
        rows = ids.join(self._bench.images.head(self._bench.pool), on="image_id")["row"].to_numpy()
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
        choice = self._choice(settings_of(ask, self._start.duplicate_cosine))
        rows = self._viewed(view, choice, ask)
        start = max(0, int(ask.get("from", 0)))
        shown = rows[start : start + min(PAGE, max(1, int(ask.get("most", 60))))]
        ranks = {int(row): rank for rank, row in enumerate(choice.rows, 1)} if len(shown) else {}
        return {"total": len(rows), "cards": [self._card(int(row), ranks.get(int(row))) for row in shown]}

    def _viewed(self, view: str, choice: Choice, ask: Mapping[str, Any]) -> Rows:
        bench = self._bench
        if view in MARKS:
            return bench.rows_of(self._review.marks().filter(mark=view))
        inside = self._inside(ask) if view == "rectangle" else None
        other = self._other(str(ask.get("against") or "")) if view in COMPARED else None
        return rows_of_view(view, choice, inside, other)

    def _inside(self, ask: Mapping[str, Any]) -> Flags:
        """Which rows of the pool lie in a rectangle of the map or of the scores."""
        bounds = ask.get("bounds") or {}
        if bounds.get("plane") == "map":
            if self._places is None:
                raise SettingsError("the map has not been drawn yet.")
            return within_bounds(self._places[: self._bench.pool], bounds)
        scores = self._bench.scores.select("layout", "diversity").cast(pl.Float32)
        return within_bounds(scores.fill_null(np.nan).to_numpy(), bounds)

    def _card(self, row: int, rank: int | None) -> dict[str, Any]:
        bench = self._bench
        image = bench.images.row(row, named=True)
        scores = bench.scores.row(row, named=True) if row < bench.pool else {}
        numbers = {name: scores[name] for name in _NUMBERS if scores.get(name) is not None}
        return {
            "row": row,
            "id": image["image_id"],
            "dataset": image["dataset"],
            "rank": rank,
            "mark": self._review.marked(image["image_id"]),
            "numbers": numbers,
            "ranks": {name: scores[name] for name in RANKED if name in scores},
            "boxes": bench.boxes.of(row),
        }

    def details(self, row: int) -> dict[str, Any]:
        """A card, and those of the target's images most like it."""
        bench = self._bench
        self._known(row)
        near = bench.scores["nearest_ids"][row] if row < bench.pool else None
        ids = [] if near is None else near.to_list()
        rows = bench.rows_of(pl.DataFrame({"image_id": ids}, {"image_id": pl.String}))
        return self._card(row, None) | {"nearest": [self._card(int(each), None) for each in rows]}

    def _known(self, row: int) -> None:
        if not 0 <= row < self._bench.images.height:
            raise DataError(f"image {row}: there are {self._bench.images.height}.")

    def _picture(self, row: int, side: int) -> bytes:
        """The image of a row as JPEG, no side longer than the one of `SIDES` asked for.

        Raises:
            DataError: no such row, or an image that cannot be read or lies outside the data's folders.
        """
        self._known(row)
        if side not in SIDES:
            raise DataError(f"side {side}: expected {' or '.join(map(str, SIDES))}.")
        return jpeg(thumbnail(rgb_image(self._bench.path(row)), side))

    def heat(self, row: int) -> bytes:
        """As JPEG, where the image of a row looks like the target.

        Raises:
            DataError: embed or fit have left nothing of it, or it cannot be read.
        """
        self._known(row)
        with self._drawing:
            if self._looks is None:
                self._looks = Looks(self._bench.run)
        return jpeg(self._looks.heat(self._bench.images["image_id"][row], self._bench.path(row)))

    def mark(self, ask: Mapping[str, Any]) -> None:
        """Mark the image of a row of the pool."""
        row = int(ask.get("row", -1))
        if not 0 <= row < self._bench.pool:
            raise DataError(f"image {row}: the pool has {self._bench.pool}.")
        self._review.mark(self._bench.images["image_id"][row], str(ask.get("mark")))

    def save(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Save the choice as a named selection, made by `select`, with the review that led to it beside it.

        Raises:
            SettingsError: no plain name, or one that is taken while `replace` is not asked for.
        """
        run, name = self._bench.run, str(ask.get("name", "")).strip()
        if not NAME.fullmatch(name):
            raise SettingsError(f"name '{name}': expected letters, digits, '.', '-', '+' or '_'.")
        if run.selection(name).is_file() and ask.get("replace") is not True:
            raise SettingsError(f"selection '{name}': is there already. Choose another name, or replace it.")
        settings = dataclasses.replace(settings_of(ask, self._start.duplicate_cosine), name=name, review=name)
        self._choice(dataclasses.replace(settings, name="", review=""))
        tables.write(self._review.table(), run.review(name))
        done = select(run, settings)
        return {"name": name, "images": done.summary["images"], "selections": self._selections()}

    def export(self, ask: Mapping[str, Any]) -> tuple[Path, Path]:
        """A saved selection in a form for other tools: one file, zipped where the form is a folder.

        Returns:
            The file, and the temporary folder that holds it and can go once it is sent.

        Raises:
            DataError: images are to be copied, and one lies outside the data's folders.
        """
        name, form = str(ask.get("name", "")), str(ask.get("format", ""))
        if form not in FORMATS or name not in self._selections():
            raise SettingsError(f"export '{name}' as '{form}': no such selection or form.")
        images = str(ask.get("images", "none"))
        if images not in ("none", "copy"):
            raise SettingsError(f"images '{images}': expected none or copy.")
        if images == "copy":
            for row in np.flatnonzero(self._other(name)):
                self._bench.path(int(row))
        folder = Path(tempfile.mkdtemp(prefix="thresher-"))
        try:
            suffix = f".{form}" if form in ("csv", "txt", "parquet") else ".parquet" if form == "atlas" else ""
            out = folder / f"{name}{suffix or f'-{form}'}"
            export(self._bench.run, name, form, out, images=cast(Literal["none", "copy"], images))
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
        method, str(ask.get("budget", SelectSettings.budget)), seed,
        diversity_weight=weight if method in MEAN_RANKS else SelectSettings.diversity_weight,
        quotas=quotas, datasets=datasets, duplicate_cosine=duplicate_cosine,
    )  # fmt: skip
