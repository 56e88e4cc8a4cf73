"""Parquet files with the images in them, as Hugging Face's `datasets` writes them: a row per image, bytes in a column.

Source: https://huggingface.co/docs/datasets/image_dataset, https://huggingface.co/docs/datasets/object_detection
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.dataset import (
    IMAGE_SUFFIXES,
    Dataset,
    existing_place,
    problem,
    qualified_id,
)
from thresher.data.readers.packed import (
    Row,
    Sample,
    archives,
    as_dataset,
    broken,
    parsed_objects,
    shard_id,
    stated_size,
)
from thresher.data.sources import image_column
from thresher.errors import DataError

#: Columns that may name an image, the likeliest first.
ID_COLUMNS = ("image_id", "__key__", "file_name", "path", "id")
#: Read along where they are there; the pixels' column never is.
OTHER_COLUMNS = ("width", "height", "objects")


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """The images in the Parquet files at `root`, a folder or one file, with boxes where there is a column `objects`.

    The id of an image is its file's path below `root` and what `image_id`, `__key__`, `file_name`, `path` or `id`
    says, or else its row: `train-00000-of-00002/000017`. `objects` holds `bbox` = [x, y, width, height] in pixels and
    `category`, whose numbers get the names that `datasets` left in the file's metadata. Of the images' own column
    only what boxes without a stated size need is read here.

    Raises:
        DataError: no Parquet file, none of the split, or not one image in them.
    """
    root = Path(os.path.abspath(existing_place(root, "with .parquet files")))
    problems: list[Row] = []
    samples: list[Sample] = []
    for file in archives(root, split, ".parquet"):
        try:
            table, names = _columns(file)
        except DataError as error:
            problems.append(broken(file, str(error)))
            continue
        for sample, bad in _samples(file, shard_id(file, root), split, table, names):
            samples.append(sample)
            image_id = qualified_id(dataset, sample.source_id)
            problems += [problem("annotation_malformed", detail, image_id, sample.address) for detail in bad]
    return as_dataset(samples, problems, dataset, root)


def _columns(file: Path) -> tuple[pl.DataFrame, dict[object, str]]:
    """All columns but the pixels, and the names of categories."""
    try:
        schema = pl.read_parquet_schema(file)
        image_column(schema, file)
        id_column = next((name for name in ID_COLUMNS if name in schema and _is_name(schema[name])), None)
        wanted = [name for name in (id_column, *OTHER_COLUMNS) if name in schema]
        lazy = pl.scan_parquet(file, glob=False)
        # A row number is there for files that hold nothing but pixels, too.
        table = lazy.with_row_index("row").select("row", *wanted).collect()
        metadata = pl.read_parquet_metadata(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{file}: not a readable Parquet file ({str(error).splitlines()[0]}).") from error
    return table.rename({id_column: "name"} if id_column else {}), category_names(metadata)


def _is_name(dtype: pl.DataType) -> bool:
    return dtype == pl.String or dtype.is_integer()


def category_names(metadata: Mapping[str, str]) -> dict[object, str]:
    """What categories given by number are called, from the features that `datasets` records in a file's metadata.

    >>> category_names({"huggingface": '{"info": {"features": {"objects": {"category": {"names": ["car"]}}}}}'})
    {0: 'car'}
    """
    try:
        recorded: Any = json.loads(metadata.get("huggingface", "{}"))
    except ValueError:
        return {}  # numbers then stay numbers, and are listed as labels without counterpart
    names = _found(_found(recorded, "objects"), "category")
    names = _found(names, "names")
    return dict(enumerate(map(str, names))) if isinstance(names, list) else {}


def _found(tree: Any, key: str) -> Any:
    """The value of the first such key at any depth; versions of `datasets` nest their features differently."""
    if isinstance(tree, dict):
        if key in tree:
            return tree[key]
        return next((found for value in tree.values() if (found := _found(value, key)) is not None), None)
    if isinstance(tree, list):
        return next((found for value in tree if (found := _found(value, key)) is not None), None)
    return None


def _samples(
    file: Path, shard: str, split: str | None, table: pl.DataFrame, names: Mapping[object, str]
) -> Iterator[tuple[Sample, list[str]]]:
    for row in table.iter_rows(named=True):
        number = row["row"]
        name = row.get("name")
        key = f"{number:06d}" if name is None else _key(str(name))
        objects, bad = parsed_objects(row.get("objects"), names)
        sample = Sample(f"{shard}/{key}", f"{file}!/{number}", split, stated_size(row), objects)
        yield sample, [f"row {number}: {each}" for each in bad]


def _key(name: str) -> str:
    """A file name without its image suffix; other dots belong to the name."""
    stem, suffix = os.path.splitext(name)
    return (stem if suffix.lower() in IMAGE_SUFFIXES else name).lstrip("/")
