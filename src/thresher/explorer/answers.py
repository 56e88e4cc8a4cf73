"""The explorer's API: selections, galleries, pictures, marks, saving and export."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float32

from thresher import tables
from thresher.data.exports import FORMATS
from thresher.errors import DataError, SettingsError
from thresher.explorer.asked import WISHES, settings_of
from thresher.explorer.choices import Choices
from thresher.explorer.columns import Columns
from thresher.explorer.gallery_views import (
    COMPARED,
    VIEWS,
    Flags,
    GallerySelection,
    Rows,
    rows_of_view,
    within_region,
)
from thresher.explorer.kept import Kept
from thresher.explorer.map import places
from thresher.explorer.pictures import RunPictures
from thresher.explorer.pixel_labels import newest_label_set
from thresher.explorer.queries import Likeness, Queries, nearest_of, shown_cosine
from thresher.explorer.review import Review
from thresher.explorer.rows import RANKED, RunRows, classes_shown
from thresher.explorer.saving import exported, save
from thresher.features.words import TextEncoder
from thresher.reasons.remade import choice_of
from thresher.reasons.why import why_in
from thresher.run.folder import check_name
from thresher.run.lists import MARKS
from thresher.run.perform import as_json
from thresher.selection.coverage import BY_IMAGE
from thresher.selection.facility import prepare
from thresher.selection.methods import MEAN_RANKS
from thresher.settings import as_type
from thresher.stages.heat import shown_by
from thresher.stages.score import known_methods
from thresher.stages.select import SelectSettings

#: Maximum number of cards per response.
PAGE = 120
#: In pools of up to so many images coverage and near-duplicates are worked out before the first cards are shown.
AT_ONCE = 20_000
#: Scores shown on a card, if not null.
_NUMBERS = ("layout", "similarity", "diversity", "objects", "nearest", "yield_area")


class Answers:
    """The API of one run and one reviewer; thread-safe."""

    def __init__(self, rows: RunRows, review: Review, start: SelectSettings, words: TextEncoder | None = None) -> None:
        """Open with the settings `start`; with `words` images can be looked for by a text."""
        self._rows, self._review, self._start = rows, review, start
        self._choices = Choices(rows, review, start)
        self._columns = Columns(rows)
        self.queries = Queries(rows, self._columns, words)
        self.pictures = RunPictures(rows)
        self._places = Kept[Float32[np.ndarray, "rows 2"]](1)
        self._saving = threading.Lock()

    def summary(self) -> dict[str, Any]:
        """What the page needs to start: methods, classes, data sets, saved selections, formats and initial settings."""
        table = self._rows
        sets = table.images.filter(role="pool").group_by("dataset").len().sort("dataset")
        scores = table.candidates.scores
        known = dict.fromkeys((self._start.method, *known_methods(table.opened.run)))
        methods = [name for name in known if name not in scores or scores[name].count()]
        return {
            "title": table.opened.run.folder.absolute().name,
            "pool": table.pool,
            "rows": table.images.height,
            "methods": methods,
            "weighted": list(MEAN_RANKS),
            "heats": {name: shown_by(name) for name in methods},
            "classes": classes_shown(table),
            "datasets": [{"name": name, "pool": count} for name, count in sets.iter_rows()],
            "selections": self._selections(),
            "formats": list(FORMATS),
            "columns": self._columns.told(),
            "query": self.queries.told(),
            "coverages": ["off", *BY_IMAGE] if table.opened.has_vectors else ["off"],
            "preview": self._previews,
            "start": as_json(self._start)
            | {name: list(getattr(self._start, name)) for name in WISHES}
            | {name: getattr(self._start, name) for name in ("coverage", "shortlist", "duplicate_cosine")},
        }

    def warm(self) -> None:
        """Read what the first page will ask for, before it does."""
        share = self._start.budget.endswith("%")
        count = round(self._rows.pool * float(self._start.budget[:-1]) / 100) if share else int(self._start.budget)
        with contextlib.suppress(SettingsError, DataError):  # the page asks for the same, and says what is wrong
            quick = {"coverage": "off", "duplicate_cosine": 0.0} if self._previews else {}
            asked = {"method": self._start.method, "budget": str(max(1, count))} | quick
            self._choices.of(settings_of(asked, self._start))
        if self._rows.opened.has_vectors:
            prepare()

    @property
    def _previews(self) -> bool:
        """Whether the first choice takes so long that the page shows the ranking alone until it is there."""
        thorough = self._start.coverage != "off" or self._start.duplicate_cosine > 0
        return thorough and self._rows.pool > AT_ONCE

    def _selections(self) -> list[str]:
        return self._rows.opened.selection_names

    def points(self) -> bytes:
        """Binary: x, then y in the map of every row (float32, NaN if missing)."""
        return np.ascontiguousarray(self._map().T).tobytes()

    def _map(self) -> Float32[np.ndarray, "rows 2"]:
        return self._places.of("map", lambda: places(self._rows))

    def column(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """A column of the pool's rows to colour by (`Columns.packed`)."""
        return self._columns.packed(str(ask.get("name")))

    def choose(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """The selection of the settings: counts by class and data set, and its rows as bits (lowest first)."""
        settings = settings_of(ask, self._start)
        shown = self._choices.of(settings)
        self._review.settings({name: value for name, value in as_json(settings).items() if name != "name"})
        table, marks = self._rows, self._review.marks()
        answer = self._contents(shown.within) | {
            "count": len(shown.rows),
            "version": shown.version,
            "seconds": shown.seconds,
            "shortlist": shown.shortlist,
            "near_duplicates": shown.made.removed_by("near-duplicate"),
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
        sets = np.bincount(table.dataset_numbers[within], minlength=len(table.dataset_names)).tolist()
        return {
            "rows": base64.b64encode(np.packbits(within, bitorder="little").tobytes()).decode(),
            "class_images": (held > 0).sum(0).tolist(),
            "class_objects": held.sum(0).tolist(),
            "datasets": {name: count for name, count in zip(table.dataset_names, sets, strict=True) if count},
        }

    def _other(self, name: str) -> Flags:
        if name not in self._selections():
            raise SettingsError(f"No selection named '{name}' in {self._rows.opened.run.folder}.")
        ids = tables.read(self._rows.opened.run.selection_path(name), tables.some(tables.SELECTION, "image_id"))
        found: Flags = self._rows.images.head(self._rows.pool)["image_id"].is_in(ids["image_id"].implode()).to_numpy()
        return found

    def gallery(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Cards of a view (`VIEWS`) starting at `from`, and their total number.

        Of the view only images that pass `filter` (tests of columns) and have `search` in their id, in the order of
        column `sort` if one is given. View "like" is of the images most like that of row `like`. With a `query`
        (`Queries.of`) only the `nearest` of it, the most alike first, each with its `cosine`.

        Raises:
            SettingsError: unknown view or column, or a test that cannot be read.
        """
        view = str(ask.get("view"))
        if view not in VIEWS:
            raise SettingsError(f"view '{view}': expected {', '.join(VIEWS)}.")
        shown = self._shown(ask)
        likeness = self.queries.of(ask)
        rows = self._kept_rows(self._viewed(view, shown, ask), ask, likeness)
        start = max(0, as_type(ask.get("from", 0), int, "from"))
        page = rows[start : start + min(PAGE, max(1, as_type(ask.get("most", 60), int, "most")))]
        ranks = {int(row): rank for rank, row in enumerate(shown.rows, 1)} if len(page) else {}
        cards = [self._card(int(row), ranks.get(int(row))) for row in page]
        edge = shown.edge(pl.Series([card["id"] for card in cards], dtype=pl.String))
        told = [{"edge": edge.get(card["id"], ""), "cosine": shown_cosine(likeness, card["row"])} for card in cards]
        return {"total": len(rows), "cards": [card | more for card, more in zip(cards, told, strict=True)]}

    def _shown(self, ask: Mapping[str, Any]) -> GallerySelection:
        """The selection that the page shows: that of the settings, with the marks of `version` if it is given."""
        version = ask.get("version")
        known = None if version is None else as_type(version, int, "version")
        return self._choices.of(settings_of(ask, self._start), known)

    def _kept_rows(self, rows: Rows, ask: Mapping[str, Any], likeness: Likeness | None) -> Rows:
        """Those of the rows that pass query, filter and search, in the order asked for."""
        tests = as_type(ask.get("filter") or (), tuple[str, ...], "filter")
        search, by = str(ask.get("search") or "").strip(), str(ask.get("sort") or "")
        if likeness is not None:
            rows = likeness.ordered(rows, nearest_of(ask))
        if tests:
            rows = rows[self._columns.passing(tests)[rows]]
        if search:
            rows = rows[self._columns.holding(search)[rows]]
        return self._columns.ordered(rows, by, ask.get("descending") is not False) if by else rows

    def _viewed(self, view: str, shown: GallerySelection, ask: Mapping[str, Any]) -> Rows:
        table = self._rows
        if view in MARKS:
            return table.rows_of(self._review.marks().filter(mark=view))
        if view == "like":
            row = as_type(ask.get("like", -1), int, "like")
            self._rows.refuse_unknown(row)
            return self._columns.like(row, PAGE)[0]
        inside = self._inside(ask) if view == "region" else None
        other = self._other(str(ask.get("against") or "")) if view in COMPARED else None
        return rows_of_view(view, shown, inside, other)

    def _inside(self, ask: Mapping[str, Any]) -> Flags:
        """Which pool rows are in a region of the map or of the scores."""
        region = ask.get("region") or {}
        if not isinstance(region, dict):
            raise SettingsError(f"region = {region!r}: expected an object with x0, x1, y0 and y1, or a polygon.")
        if region.get("plane") == "map":
            return within_region(self._map()[: self._rows.pool], region)
        scores = self._rows.scores.select("layout", "diversity").cast(pl.Float32)
        return within_region(scores.fill_null(np.nan).to_numpy(), region)

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
        self._rows.refuse_unknown(row)
        near = table.scores["nearest_ids"][row] if row < table.pool else None
        ids = [] if near is None else near.to_list()
        known = table.images.filter(pl.col("image_id").is_in(ids)).select("image_id")
        rows = table.rows_of(pl.DataFrame({"image_id": ids}, {"image_id": pl.String}).join(known, on="image_id"))
        labels = newest_label_set(table.opened.run, table.images["image_id"][row])
        more = {"nearest": [self._card(int(each), None) for each in rows], "labels": labels[0] if labels else ""}
        return self._card(row, None) | more

    def why(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Why the image of a row is chosen by the current settings, or why not; `instead` is a card with its rank."""
        table, row = self._rows, as_type(ask.get("row", -1), int, "row")
        self._rows.refuse_unknown(row)
        shown = self._shown(ask)
        choice = choice_of(table.opened, shown.made, shown.settings)
        found = why_in(table.opened, choice, table.images["image_id"][row])
        told = dataclasses.asdict(found)
        if found.instead is not None:
            (near,) = table.rows_of(pl.DataFrame({"image_id": [found.instead.image_id]}))
            told["instead"] |= self._card(int(near), found.instead.rank)
        return told

    def mark(self, ask: Mapping[str, Any]) -> None:
        """Mark images of the pool: `marks` holds [row, mark] of each."""
        rows = []
        for each in as_type(ask.get("marks"), list, "marks"):
            if not isinstance(each, list) or len(each) != 2:
                raise SettingsError(f"marks: {each!r}; expected [row, mark].")
            row = as_type(each[0], int, "row")
            if not 0 <= row < self._rows.pool:
                raise DataError(f"image {row}: expected an image of the pool, 0 to {self._rows.pool - 1}.")
            rows.append((row, str(each[1])))
        ids = self._rows.images["image_id"]
        self._review.mark((ids[row], mark) for row, mark in rows)

    def save(self, ask: Mapping[str, Any]) -> dict[str, Any]:
        """Save the current settings as a named selection, made by `select`, and the review with it.

        Raises:
            SettingsError: not a valid name, or the selection exists and `replace` is not true.
        """
        run, name = self._rows.opened.run, str(ask.get("name", "")).strip()
        check_name(name)
        settings = dataclasses.replace(settings_of(ask, self._start), name=name, review=name)
        self._choices.of(dataclasses.replace(settings, name="", review=""))
        with self._saving:
            done = save(run, settings, self._review.table(), ask.get("replace") is True)
        return {"name": name, "images": done.summary["images"], "selections": self._selections()}

    def export(self, ask: Mapping[str, Any]) -> tuple[Path, Path]:
        """A saved selection in an export format, as one file; folders are zipped.

        Returns:
            The file, and its temporary folder, which the caller removes.

        Raises:
            SettingsError: no such selection or format.
            DataError: images are to be copied, and one is outside the folders given to index.
        """
        name, form, images = (
            str(ask.get(key, other)) for key, other in (("name", ""), ("format", ""), ("images", "none"))
        )
        if form not in FORMATS or name not in self._selections():
            raise SettingsError(f"export '{name}' as '{form}': no such selection or format.")
        if images == "copy":
            for row in np.flatnonzero(self._other(name)):
                self._rows.path(int(row))
        return exported(self._rows.opened.run, name, form, images)
