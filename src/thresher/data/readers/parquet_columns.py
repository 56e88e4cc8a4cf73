"""Parquet files read in a process of their own: a damaged one can end the process that reads it.

From one flipped byte the library may make a request for 2⁶¹ bytes of memory, and then it aborts. Seen from outside,
that is one file that cannot be read.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.faults import FAULTS, reason
from thresher.data.sources import image_column
from thresher.workers.line_process import DiedError, LineProcess

#: Columns that may name an image, the likeliest first.
ID_COLUMNS = ("image_id", "__key__", "file_name", "path", "id")
#: Read along where they are there; the pixels' column never is.
SIZE_COLUMNS = ("width", "height")
#: The column of boxes that is documented.
OBJECTS = "objects"

#: A file's columns, those of names and boxes renamed to "name" and `OBJECTS`; its metadata; the old name of `OBJECTS`.
Columns = tuple[pl.DataFrame, Mapping[str, str], str]

#: Processes that wait for the next source, so that each need not start one.
_IDLE: list[LineProcess] = []


@atexit.register
def _close() -> None:
    while _IDLE:
        _IDLE.pop().close()


@contextlib.contextmanager
def reading() -> Iterator[Callable[[Path], Columns]]:
    """Context manager yielding what reads all columns of a Parquet file but the pixels.

    What it yields raises ValueError with the reason, if the file cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder, _process() as answer_to:
        place = Path(folder) / "columns.arrow"

        def columns(file: Path) -> Columns:
            answer = answer_to(file, place)
            return pl.read_ipc(place.read_bytes()), answer["metadata"], answer["objects"]

        yield columns


def refuse_damaged(file: Path) -> None:
    """Decode every column of a Parquet file once, elsewhere; afterwards it can be read in this process.

    Raises:
        ValueError: with the reason, if the file cannot be read.
    """
    with _process() as answer_to:
        answer_to(file, None)


@contextlib.contextmanager
def _process() -> Iterator[Callable[[Path, Path | None], dict[str, Any]]]:
    """Context manager yielding what asks the process about a file; its columns go to the place, if there is one."""
    process = _IDLE.pop() if _IDLE else LineProcess(__name__)

    def answer_to(file: Path, place: Path | None) -> dict[str, Any]:
        try:
            line = process.answer(json.dumps([str(file.absolute()), str(place or "")]))
        except DiedError as error:
            raise ValueError(f"the library that reads Parquet gave up: {error}") from error
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    try:
        yield answer_to
    finally:
        _IDLE.append(process)


def answerer(first_line: str) -> Callable[[str], str]:
    """What the process calls for each file (`thresher.workers.serve`); there is nothing in the first line."""
    return _answer


def _answer(line: str) -> str:
    file, place = json.loads(line)
    try:
        if not place:
            # Batch by batch, so that a table of millions of rows is never whole in memory.
            pl.scan_parquet(file, glob=False).sink_batches(lambda _: None)
            return "{}"
        table, metadata, objects = _read(Path(file))
        table.write_ipc(place)
    except FAULTS as error:
        return json.dumps({"error": reason(error)})
    return json.dumps({"metadata": dict(metadata), "objects": objects})


def _read(file: Path) -> Columns:
    schema = pl.read_parquet_schema(file)
    image_column(schema, file)
    id_column = next((name for name in ID_COLUMNS if name in schema and _is_name(schema[name])), None)
    objects = _objects_column(schema)
    wanted = [name for name in (id_column, *SIZE_COLUMNS, objects) if name in schema]
    # A row number is there for files that hold nothing but pixels, too.
    table = pl.scan_parquet(file, glob=False).with_row_index("row").select("row", *wanted).collect()
    renamed = {old: new for old, new in ((id_column, "name"), (objects, OBJECTS)) if old is not None}
    return table.rename(renamed), pl.read_parquet_metadata(file), objects or OBJECTS


def _objects_column(schema: Mapping[str, pl.DataType]) -> str | None:
    """The column of boxes: `objects`, or else the only one with a field `bbox`."""
    if OBJECTS in schema:
        return OBJECTS
    found = [name for name, dtype in schema.items() if _has_bbox(dtype)]
    if len(found) > 1:
        raise ValueError(f"{len(found)} columns hold boxes ({', '.join(found)}); call the one to read '{OBJECTS}'")
    return found[0] if found else None


def _has_bbox(dtype: pl.DataType) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return isinstance(inner, pl.Struct) and any(field.name == "bbox" for field in inner.fields)


def _is_name(dtype: pl.DataType) -> bool:
    return dtype == pl.String or dtype.is_integer()
