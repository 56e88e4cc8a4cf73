"""What we return as Polars becomes a pandas frame without pyarrow, with every value in its place."""

from __future__ import annotations

import datetime
import importlib.util

import polars as pl
import pytest

from thresher import tables
from thresher.frames import Table, as_pandas

pandas = pytest.importorskip("pandas")

WHY = {"layout_rank": 1, "similarity_rank": None, "diversity_rank": 3, "nearest_ids": ["a"], "rare_classes": []}
FRAME = pl.DataFrame(
    {
        "image_id": ["007", None],
        "rank": [1, 2],
        "objects": pl.Series([3, None], dtype=pl.Int32),
        "score": [0.5, None],
        "exact": [0.25, 1.0],
        "is_group": [True, None],
        "nearest_ids": [["a", "b"], None],
        "why": [WHY, None],
        "vector": pl.Series([[1.0, 2.0], [3.0, 4.0]], dtype=pl.Array(pl.Float16, 2)),
        "at": [datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), None],
    }
)


def test_every_value_stands_where_it_stood() -> None:
    found = as_pandas(FRAME)
    assert list(found.columns) == FRAME.columns
    for name in FRAME.columns:
        for ours, theirs in zip(FRAME[name], found[name], strict=True):
            if ours is None:
                assert theirs is None or pandas.isna(theirs)
            else:
                assert (ours.to_list() if isinstance(ours, pl.Series) else ours) == theirs
    kinds = found.dtypes.astype(str).to_dict()
    assert (kinds["rank"], kinds["objects"], kinds["score"], kinds["exact"], kinds["is_group"]) == (
        "int64",
        "Int32",
        "Float64",
        "float64",
        "boolean",
    )


@pytest.mark.parametrize("schema", [tables.SELECTION, tables.SCORES, tables.BOXES, tables.PROBLEMS, tables.REVIEW])
def test_empty_tables_keep_their_columns(schema: tables.Schema) -> None:
    assert list(as_pandas(tables.empty(schema)).columns) == list(schema)


def test_a_table_is_a_polars_frame_that_goes_to_pandas() -> None:
    table = Table.of(FRAME)
    assert isinstance(table, pl.DataFrame)
    assert table.equals(FRAME)
    assert table.filter(rank=1).height == 1
    assert len(table.to_pandas()) == 2
    if importlib.util.find_spec("pyarrow") is None:
        with pytest.raises(ModuleNotFoundError):
            FRAME.to_pandas()
