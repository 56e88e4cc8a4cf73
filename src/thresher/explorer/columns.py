"""Columns of the pool's images in the order of their rows: to filter, sort and colour by."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float16, Int64

from thresher import tables
from thresher.explorer.gallery_views import Flags, Rows
from thresher.explorer.kept import Kept
from thresher.explorer.rows import RunRows
from thresher.selection.cells import in_cells
from thresher.selection.conditions import parsed_conditions, refuse_unknown_columns
from thresher.stages.candidates import chosen_before
from thresher.vectors import nearest_rows

#: Number of clusters of the map; the column that tells them.
CLUSTERS, CLUSTER = 12, "cluster"
#: Most values of a text column that are told apart by colour or offered in a list.
_MOST_VALUES = 30
#: Columns that are lists, or say nothing of an image.
_UNSHOWN = ("image_id", "role", "nearest_ids")
_COLUMNS, _WHERE = 64, "filter"


class Columns:
    """The pool's columns by name, each read once; thread-safe."""

    def __init__(self, rows: RunRows) -> None:
        """Read none yet."""
        self._rows = rows
        self._ids = rows.images.head(rows.pool).select("image_id")
        self._kept = Kept[pl.Series](_COLUMNS)
        self._vectors = Kept[tuple[Rows, Float16[np.ndarray, "n c"]]](1)

    @property
    def names(self) -> list[str]:
        """The columns that can be named: those of `where`, and the cluster if embed has run."""
        facts, opened = self._rows.candidates.facts, self._rows.opened
        absent = () if opened.run.facts.is_file() else tuple(tables.IMAGE_FACTS)
        plain = [each for each in facts.columns if each not in (*_UNSHOWN, *absent)]
        return [*plain, *([CLUSTER] if opened.has_vectors else [])]

    def told(self) -> list[dict[str, Any]]:
        """Name and kind ("number", "text", "flag", "class") of each column; of a text with few values, those."""
        facts, found = self._rows.candidates.facts, []
        for name in self.names:
            table = next((each for each in facts.tables if name in each.columns), None)
            if table is not None and table[name].null_count() == table.height:
                continue
            kind = table.schema[name] if table is not None else None
            one: dict[str, Any] = {"name": name, "kind": "number"}
            if name in facts.classes and table is None:
                one["kind"] = "class"
            elif kind == pl.Boolean:
                one["kind"] = "flag"
            elif kind == pl.String or name in ("folder", "sequence", CLUSTER):
                one["kind"] = "text"
                values = table[name].unique().drop_nulls() if table is not None and name != "path" else pl.Series([])
                if 0 < len(values) <= _MOST_VALUES:
                    one["values"] = values.sort().to_list()
            found.append(one)
        return found

    def of(self, name: str) -> pl.Series:
        """The column of this name, by row.

        Raises:
            SettingsError: there is none.
            DataError: its table is not there.
        """
        refuse_unknown_columns([name], self.names, _WHERE)
        if name == "chosen_before":  # changes with every selection that is saved
            opened = self._rows.opened
            return self._by_row(chosen_before(opened, opened.selection_names), name)
        return self._kept.of(name, lambda: self._clusters() if name == CLUSTER else self._read(name))

    def _read(self, name: str) -> pl.Series:
        return self._rows.candidates.facts.of(self._ids, [name], _WHERE)[name].rechunk()

    def _by_row(self, table: pl.DataFrame, name: str) -> pl.Series:
        return self._ids.join(table, on="image_id", how="left", maintain_order="left")[name]

    def passing(self, texts: Sequence[str]) -> Flags:
        """Which rows pass all of these tests of columns; null never passes.

        Raises:
            SettingsError: not a test, no such column, or a value that does not suit it.
        """
        passed = np.ones(self._rows.pool, bool)
        for each in parsed_conditions(texts):
            column = self.of(each.column)
            frame = column.alias(each.column).to_frame()
            passed &= frame.select(each.passes(column.dtype).fill_null(False)).to_series().to_numpy()
        return passed

    def holding(self, text: str) -> Flags:
        """Which rows have the text in their id, in small letters or capitals."""
        lowered = self._kept.of(("lower",), self._ids["image_id"].str.to_lowercase)
        found: Flags = lowered.str.contains(text.lower(), literal=True).to_numpy()
        return found

    def ordered(self, rows: Rows, name: str, descending: bool) -> Rows:
        """The rows by this column; of equals the first first, null last."""
        values = pl.DataFrame({"value": self.of(name).gather(rows), "row": rows})
        found: Rows = values.sort("value", descending=descending, nulls_last=True, maintain_order=True)[
            "row"
        ].to_numpy()
        return found

    def packed(self, name: str) -> dict[str, Any]:
        """The column to colour by: `values` are float32 (NaN if null) of a number; of anything else int16 places in
        `names`, the most frequent first: −1 if null, one beyond the last for all rarer values.
        """
        column = self.of(name)
        if column.dtype.is_numeric():
            numbers = column.cast(pl.Float32).fill_null(np.nan).to_numpy()
            return {"kind": "number", "values": _text_of(numbers.astype(np.float32))}
        texts = column.cast(pl.String)
        counted = texts.alias("value").drop_nulls().value_counts().sort(["count", "value"], descending=[True, False])
        names = counted["value"].head(_MOST_VALUES).to_list()
        if name == CLUSTER:
            names.sort(key=int)
        places = texts.replace_strict(names, list(range(len(names))), default=len(names), return_dtype=pl.Int16)
        codes = places.set(texts.is_null(), -1).to_numpy().astype(np.int16)
        more = counted.height - len(names)
        return {"kind": "text", "names": names, "more": more, "values": _text_of(codes)}

    def like(self, row: int, count: int) -> tuple[Rows, list[float]]:
        """The pool's rows most like an image, itself left out, and their cosines.

        Args:
            row: Of any image, the target's too.

        Raises:
            DataError: embed has not run.
        """
        opened = self._rows.opened
        known, vectors = self.vectors()
        own = opened.vectors(self._rows.images.slice(row, 1))[1]
        if not len(own):
            return np.zeros(0, np.int64), []
        near, cosines = nearest_rows(own, vectors, count + 1)
        rows = known[near[0]]
        other = rows != row
        return rows[other][:count], cosines[0][other][:count].tolist()

    def vectors(self) -> tuple[Int64[np.ndarray, " n"], Float16[np.ndarray, "n c"]]:
        """Rows of the pool that have a pooled vector, and the vectors."""
        opened = self._rows.opened

        def read() -> tuple[Rows, Float16[np.ndarray, "n c"]]:
            ids, vectors = opened.vectors(self._ids)
            return self._rows.rows_of(ids), vectors

        return self._vectors.of(0, read)

    def _clusters(self) -> pl.Series:
        """Clusters of the pooled vectors by k-means on the sphere, "1" the largest; null without a vector."""
        rows, vectors = self.vectors()
        numbers = in_cells(vectors, CLUSTERS).nearest(vectors)
        sizes = np.bincount(numbers, minlength=CLUSTERS)
        place = np.empty(len(sizes), np.int64)
        place[np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
        names: list[str | None] = [None] * self._rows.pool
        for row, number in zip(rows.tolist(), place[numbers].tolist(), strict=True):
            names[row] = str(number)
        return pl.Series(CLUSTER, names, pl.String)


def _text_of(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
