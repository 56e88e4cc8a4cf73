"""All that is known of the images of a pool, by column: what tests, caps and shares can name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from thresher.selection.audit import folder_of, sequence_of
from thresher.selection.conditions import Condition, failing, refuse_unknown_columns


@dataclass(frozen=True)
class Facts:
    """Columns of several tables, joined only when one is asked for."""

    tables: tuple[pl.DataFrame, ...]
    """Each with image_id; of columns of the same name the first counts."""
    classes: tuple[str, ...] = ()
    """Classes whose number of objects is a column of that name."""
    counts: Callable[[], pl.DataFrame] = pl.DataFrame
    """Gives image_id and the objects of each class, of images that have any."""
    further: Mapping[str, Callable[[], pl.DataFrame]] = field(default_factory=dict)
    """Columns that are worked out when they are asked for: image_id and the column."""

    @property
    def columns(self) -> list[str]:
        """The names of all columns."""
        plain = [name for table in self.tables for name in table.columns]
        return [each for each in dict.fromkeys((*plain, *self.further, "folder", "sequence", *self.classes))]

    def of(self, ids: pl.DataFrame, names: Collection[str], what: str = "where") -> pl.DataFrame:
        """image_id and these columns of some images, in their order; null where nothing is known.

        Raises:
            SettingsError: there is no such column.

        >>> facts = Facts((pl.DataFrame({"image_id": ["d/1", "d/2"], "layout": [0.5, 0.7]}),))
        >>> facts.of(pl.DataFrame({"image_id": ["d/2"]}), ["layout", "folder"]).rows()
        [('d/2', 0.7, 'd')]
        """
        refuse_unknown_columns(names, self.columns, what)
        frame = ids.select("image_id")
        for table in (*self.tables, None):  # one join for all columns of a table
            own = [name for name in dict.fromkeys(names) if name != "image_id" and self._table(name) is table]
            if table is not None and own:
                frame = frame.join(table.select("image_id", *own), on="image_id", how="left", maintain_order="left")
            elif own:
                frame = self._with_further(frame, own)
        return frame.select("image_id", *(name for name in dict.fromkeys(names) if name != "image_id"))

    def _table(self, name: str) -> pl.DataFrame | None:
        return next((table for table in self.tables if name in table.columns), None)

    def _with_further(self, frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
        """With columns that are in none of the tables."""
        for name in names:
            if name in self.further:
                source = self.further[name]().select("image_id", name)
                frame = frame.join(source, on="image_id", how="left", maintain_order="left")
            elif name in ("folder", "sequence"):
                there = any("dataset" in table.columns for table in self.tables)
                owned = self.of(frame, ["dataset"]) if there else frame.with_columns(dataset=pl.lit(None, pl.String))
                owner = folder_of() if name == "folder" else sequence_of()
                frame = frame.with_columns(owned.select(owner.alias(name)))
        classes = [name for name in names if name not in (*self.further, "folder", "sequence")]
        if not classes:
            return frame
        counted = self.counts().select("image_id", pl.col(classes).cast(pl.Int64))
        joined = frame.join(counted, on="image_id", how="left", maintain_order="left")
        return joined.with_columns(pl.col(classes).fill_null(0))

    def failing(self, ids: pl.DataFrame, conditions: Iterable[Condition], what: str = "where") -> pl.DataFrame:
        """image_id and reason of those of the images that fail a test (`conditions.failing`).

        Raises:
            SettingsError: no such column, or a value that does not suit it.
        """
        tests = tuple(conditions)
        return failing(self.of(ids, [each.column for each in tests], what), tests)
