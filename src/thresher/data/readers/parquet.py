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

from thresher.data.dataset import IMAGE_SUFFIXES, Dataset, existing_place, stated_px
from thresher.data.findings import Findings, Place, absolute
from thresher.data.readers import parquet_columns
from thresher.data.readers.packed import CATEGORY_KEYS, Sample, archives, as_dataset, shard_id
from thresher.data.readers.parquet_columns import OBJECTS


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """The images in the Parquet files at `root`, a folder or one file, with boxes where there is a column `objects`.

    The id of an image is its file's path below `root` and what `image_id`, `__key__`, `file_name`, `path` or `id`
    says, or else its row: `train-00000-of-00002/000017`. `objects`, or else the one column with a field `bbox`, holds
    `bbox` = [x, y, width, height] in pixels and `category`, whose numbers get the names that `datasets` left in the
    file's metadata. Of the images' own column only what boxes without a stated size need is read here.

    Raises:
        DataError: no Parquet file, none of the split, not one image in them, or most of them cannot be read.
    """
    root = absolute(existing_place(root, "with .parquet files"))
    findings = Findings(root, dataset)
    found = archives(root, split, ".parquet")
    with parquet_columns.reading() as columns:

        def parse(file: Path) -> tuple[Path, pl.DataFrame, dict[object, str]]:
            table, metadata, objects = columns(file)
            return file, table, category_names(metadata, objects)

        tables = findings.read(
            "archives",
            found,
            parse,
            lambda number: Place(str(found[number]), path=found[number]),
            "a Parquet file with image bytes",
            "archive_broken",
        )
        samples = (sample for file, table, names in tables for sample in _samples(file, root, split, table, names))
        return as_dataset(samples, findings)


def category_names(metadata: Mapping[str, str], objects: str = OBJECTS) -> dict[object, str]:
    """What categories given by number are called, from the features that `datasets` records in a file's metadata.

    >>> category_names({"huggingface": '{"info": {"features": {"objects": {"label": {"names": ["car"]}}}}}'})
    {0: 'car'}
    """
    try:
        recorded: Any = json.loads(metadata.get("huggingface", "{}"))
    except (ValueError, RecursionError):
        return {}  # numbers then stay numbers, and are listed as labels without counterpart
    features = _found(recorded, objects)
    for key in CATEGORY_KEYS:
        names = _found(_found(features, key), "names")
        if isinstance(names, list):
            return dict(enumerate(map(str, names)))
    return {}


def _found(tree: Any, key: str) -> Any:
    """The value of the first such key at any depth; versions of `datasets` nest their features differently."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if node.get(key) is not None:
                return node[key]
            waiting += reversed(list(node.values()))
        elif isinstance(node, list):
            waiting += reversed(node)
    return None


def _samples(
    file: Path, root: Path, split: str | None, table: pl.DataFrame, names: Mapping[object, str]
) -> Iterator[Sample]:
    shard = shard_id(file, root)
    for row in table.iter_rows(named=True):
        number, name = row["row"], row.get("name")
        key = f"{number:06d}" if name is None else _key(str(name))
        size = stated_px(row.get("width"), row.get("height"))
        yield Sample(f"{shard}/{key}", f"{file}!/{number}", split, size, row.get(OBJECTS), f"row {number}", names)


def _key(name: str) -> str:
    """A file name without its image suffix; other dots belong to the name."""
    stem, suffix = os.path.splitext(name)
    return (stem if suffix.lower() in IMAGE_SUFFIXES else name).lstrip("/")
