"""Whatever stands in a source, a reader gives a data set or says in one line what is wrong with it, and soon.

THRESHER_MUTANTS sets how many wrong versions of each format are read (`make fuzz`; by default 4,000 of all formats
together, at least 100 of each); THRESHER_SEED where they begin: hosted CI takes others in each run.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest

from thresher.data.dataset import Dataset
from thresher.data.drawn_masks import Meanings, with_drawn_masks
from thresher.data.image_lists import listed_images, read_columns
from thresher.data.readers import READERS
from thresher.data.taxonomy import LabelMap, load_taxonomy
from thresher.errors import DataError, SettingsError
from thresher.features.given_vectors import given_vectors

pytestmark = pytest.mark.slow

#: Formats and the options they are read with: each as it is, and some in another way (versions, what boxes leave out).
WAYS: Mapping[str, tuple[str, dict[str, Any]]] = {form: (form, {}) for form in sorted(READERS)} | {
    way: (told["form"], told["options"])
    for way, told in json.loads(Path(__file__).with_name("ways.json").read_text()).items()
}
MUTANTS = int(os.environ.get("THRESHER_MUTANTS", max(100, 4_000 // len(WAYS))))
FIRST = int(os.environ.get("THRESHER_SEED", "0"))
#: Mutants that once ended the process: the library that reads Parquet asks for 2⁶¹ bytes of memory.
KNOWN = {"parquet": (2055, 2719)}
#: A mutant is of some kilobytes; most take milliseconds.
MOST_SECONDS = 10.0
LONGEST_ERROR = 3_000
MEANINGS = Meanings(load_taxonomy("cityscapes"), LabelMap({}, {}))

Source = Mapping[str, Any]


def test_every_format_has_a_source_to_start_from(sources: Mapping[str, Source]) -> None:
    assert sources.keys() == WAYS.keys()


@pytest.mark.parametrize("way", WAYS)
def test_the_whole_source_is_read_without_a_problem(
    way: str, sources: Mapping[str, Source], written: Callable[[Path, Source], None], tmp_path: Path
) -> None:
    written(tmp_path, sources[way])
    read = read_by(way, tmp_path)
    assert read.problems.is_empty()
    assert read.images.height >= 2


@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_source_is_a_data_set_or_one_line(
    way: str,
    sources: Mapping[str, Source],
    written: Callable[[Path, Source], None],
    mutant: Callable[[Any, random.Random], bytes],
    tmp_path: Path,
) -> None:
    written(tmp_path, sources[way])
    whole, names = read_by(way, tmp_path), sorted(sources[way])
    faults = []
    for seed in (*KNOWN.get(way, ()), *range(FIRST, FIRST + MUTANTS)):
        rng = random.Random(f"{way} {seed}")
        # Annotations more often than pictures, which are mostly not opened.
        name = rng.choice([each for each in names if not isinstance(sources[way][each], bytes)] * 5 + names)
        before = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(mutant(sources[way][name], rng))
        fault = fault_of(way, tmp_path, whole, "train" if way == "voc" and seed % 5 == 0 else None)
        (tmp_path / name).write_bytes(before)
        if fault is not None:
            faults.append(f"{way}, seed {seed}, {name}: {fault}")
    assert faults == [], f"{len(faults)} of {MUTANTS}"


@pytest.mark.parametrize("seed", KNOWN["parquet"])
def test_a_table_of_ones_own_that_ended_the_process_is_refused_too(
    seed: int,
    sources: Mapping[str, Source],
    mutant: Callable[[Any, random.Random], bytes],
    tmp_path: Path,
) -> None:
    source, rng = sources["parquet"], random.Random(f"parquet {seed}")
    names = sorted(source)
    name = rng.choice([each for each in names if not isinstance(source[each], bytes)] * 5 + names)
    path = tmp_path / "t.parquet"
    path.write_bytes(mutant(source[name], rng))
    for reader in (listed_images, read_columns, lambda file: READERS["table"](file, None, "d"), given_vectors):
        with pytest.raises(DataError, match=r"t.parquet: .*(gave up|cannot be read|not readable|not a Parquet)"):
            reader(path)


def fault_of(way: str, root: Path, whole: Dataset, split: str | None) -> str | None:
    """What is wrong with how the source is read; None if nothing."""
    started = time.perf_counter()
    try:
        read = read_by(way, root, split)
        with TemporaryDirectory() as folder:
            read = with_drawn_masks(read, MEANINGS, Path(folder))
    except (DataError, SettingsError) as error:
        text = str(error)
        return None if "\n" not in text and len(text) <= LONGEST_ERROR else f"an error of other than one line: {text}"
    except BaseException as error:  # polars' panics are no exceptions
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"
    if time.perf_counter() - started > MOST_SECONDS:
        return f"{time.perf_counter() - started:.0f} s"
    # A split has fewer images, so have annotations alone, and a member of a tar under another name may be none.
    fewer = split or way == "webdataset" or "later" in WAYS[way][1]
    return inconsistency(read, 0 if fewer else whole.images.height)


def read_by(way: str, root: Path, split: str | None = None) -> Dataset:
    """The source as it is read in this way."""
    form, options = WAYS[way]
    return READERS[form](root, split, "d", **options)


def inconsistency(read: Dataset, images: int) -> str | None:
    """What the tables of a data set, of so many image files, contradict."""
    owned = read.boxes.join(read.images, on="image_id", how="anti").height
    corners = read.boxes.filter(~((pl.col("x0") < pl.col("x1")) & (pl.col("y0") < pl.col("y1")) & (pl.col("x1") <= 1)))
    unsaid = read.problems.filter(pl.col("detail").is_null() | (pl.col("detail") == ""))
    found = {"boxes of no image": owned, "boxes without an area": corners.height, "problems unsaid": unsaid.height}
    if read.problems.is_empty():
        found["images lost in silence"] = max(0, images - read.images.height)
    return next((f"{count} {what}" for what, count in found.items() if count), None)
