"""Polars frames from whatever tables people hold, and to pandas as they are, without pyarrow."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from thresher.errors import DataError

#: How pandas holds a column that may have gaps; all else is held as Python objects.
_NULLABLE = {pl.Boolean: "boolean", pl.Float32: "Float32", pl.Float64: "Float64"}
_INTEGERS = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)


class Table(pl.DataFrame):
    """A Polars frame whose `to_pandas` works without pyarrow. What is derived from it is a plain `pl.DataFrame`."""

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Table:
        """The same columns; nothing is copied."""
        return cls(frame.get_columns())

    def to_pandas(self, **options: Any) -> Any:
        """As Polars gives it where pyarrow is installed, else as `as_pandas`."""
        if importlib.util.find_spec("pyarrow") is not None:
            return super().to_pandas(**options)
        return as_pandas(self)


def as_pandas(frame: pl.DataFrame) -> Any:
    """The frame as a `pandas.DataFrame`, without pyarrow.

    Numbers and truth values keep their type where nothing is missing, and are pandas' nullable types where something
    is; lists and structs are Python lists and dictionaries.

    >>> as_pandas(pl.DataFrame({"image_id": ["a", "b"], "objects": [1, None]})).dtypes.astype(str).to_dict()
    {'image_id': 'str', 'objects': 'Int64'}
    """
    import pandas as pd

    return pd.DataFrame({column.name: _as_series(column, pd) for column in frame.get_columns()})


def _as_series(column: pl.Series, pd: Any) -> Any:
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        if column.null_count() == 0:
            return pd.Series(column.to_numpy())
        nullable = str(column.dtype) if column.dtype in _INTEGERS else _NULLABLE.get(type(column.dtype), "object")
        return pd.Series(column.to_list(), dtype=nullable)
    kind = None if column.dtype in (pl.String, pl.Categorical) or column.dtype.is_temporal() else "object"
    return pd.Series(column.to_list(), dtype=kind)


def as_table(values: Any, name: str) -> pl.DataFrame:
    """A Polars table from Polars, pandas, Arrow or a mapping of columns; pandas needs no pyarrow.

    Raises:
        DataError: it is none of these.
    """
    if isinstance(values, pl.LazyFrame):
        return values.collect()
    if isinstance(values, pl.DataFrame):
        return values
    if isinstance(values, Mapping):
        return pl.DataFrame(dict(values))
    if hasattr(values, "columns") and hasattr(values, "iloc"):  # pandas; column by column, its missing values as null
        return pl.DataFrame(
            {str(each): [None if _is_missing(v) else v for v in values[each].tolist()] for each in values.columns},
            strict=False,
        )
    if not hasattr(values, "__arrow_c_stream__"):
        raise DataError(
            f"{name}: expected a table (Polars, pandas, Arrow or a mapping of columns), got {type(values).__name__}."
        )
    return pl.DataFrame(values)


def _is_missing(value: object) -> bool:
    return (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or type(value).__name__ in ("NAType", "NaTType")
    )
