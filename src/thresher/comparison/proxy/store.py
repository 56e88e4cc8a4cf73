"""Arrays made of files, kept on disk and read through memory maps: features of images, and label maps."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher.data.file_states import with_states
from thresher.errors import DataError
from thresher.files import replacing
from thresher.run.perform import Track
from thresher.run.record import Record

#: How many items a file holds. A process that is killed loses at most those of one file.
PER_FILE = 256


@dataclass(frozen=True)
class Item:
    """What is kept of a file: where its array lies, and the state of the file that it was made of."""

    path: str
    size_bytes: int | None
    mtime_ns: int | None
    first: int = 0
    """Place of the array's first number in its part."""
    shape: tuple[int, ...] = ()
    """What the maker says of the array; empty if the file could not be read."""
    numbers: int = 0
    """Length of the array."""
    problem: str = ""
    """Why the file could not be read."""


#: Makes the array of a file, flat, and its shape. Raises DataError if it cannot be read.
Make = Callable[[str], tuple[np.ndarray, tuple[int, ...]]]


class Store:
    """Flat arrays by the path of the file that each was made of; only those of files that have not changed since."""

    def __init__(self, folder: Path) -> None:
        """Read which items there are; the arrays stay on disk. The folder need not exist."""
        self.folder = folder
        self._parts: dict[str, np.ndarray] = {}
        self.items: dict[str, tuple[Item, str]] = {}
        for index in sorted(folder.glob("part-*.json")):
            for row in json.loads(index.read_text("utf-8")):
                item = Item(**{**row, "shape": tuple(row["shape"])})
                self.items[item.path] = (item, index.stem)

    def __getitem__(self, path: str) -> tuple[np.ndarray, tuple[int, ...]]:
        """The flat array of a file and its shape."""
        item, part = self.items[path]
        if part not in self._parts:
            self._parts[part] = np.load(self.folder / f"{part}.npy", mmap_mode="r")
        return self._parts[part][item.first : item.first + item.numbers], item.shape

    def readable(self, path: str) -> bool:
        """Whether there is an array of this file."""
        return bool(self.items[path][0].shape)

    def problems(self, paths: Iterable[str]) -> dict[str, str]:
        """Those of the files that could not be read, each with the reason."""
        found = {path: self.items[path][0].problem for path in paths}
        return {path: problem for path, problem in found.items() if problem}


def filled(folder: Path, paths: Sequence[str], make: Callable[[], Make], track: Track[Any], what: str) -> Store:
    """The store in a folder, with an item for each of the files; those that are there and current are kept.

    Args:
        make: Called if anything is missing; what it gives is called from several threads.
        what: What is being done, for whoever watches.

    Raises:
        DataError: another process fills this store.
    """
    from thresher.segmentation.loop import ahead

    store = Store(folder)
    if not missing(store, paths):
        return store
    with Record(folder).locked():
        wanted, maker = missing(Store(folder), paths), make()
        number = 1 + max((int(path.stem[5:]) for path in folder.glob("part-*.json")), default=-1)
        arrays: list[np.ndarray] = []
        items: list[Item] = []
        threads = len(os.sched_getaffinity(0))
        results = ahead(lambda place: _made(maker, wanted[place]), range(len(wanted)), threads)
        for place, (array, item) in enumerate(track(results, len(wanted), what), 1):
            items.append(replace(item, first=sum(map(len, arrays))))
            arrays.append(array)
            if len(items) == PER_FILE or place == len(wanted):
                _write(folder / f"part-{number:05d}", arrays, items)
                number, arrays, items = number + 1, [], []
    return Store(folder)


def missing(store: Store, paths: Sequence[str]) -> list[Item]:
    """The files of which there is no item, or one of another state of the file; each once."""
    states = with_states(pl.DataFrame({"path": [*dict.fromkeys(paths)]}, schema={"path": pl.String}))
    wanted = [Item(*row) for row in states.select("path", "size_bytes", "mtime_ns").iter_rows()]
    there = {path: (item.size_bytes, item.mtime_ns) for path, (item, _) in store.items.items()}
    return [item for item in wanted if there.get(item.path) != (item.size_bytes, item.mtime_ns)]


def _made(make: Make, item: Item) -> tuple[np.ndarray, Item]:
    try:
        array, shape = make(item.path)
    except DataError as error:
        return np.zeros(0, np.uint8), replace(item, problem=str(error))
    return array, replace(item, shape=shape, numbers=len(array))


def _write(path: Path, arrays: Sequence[np.ndarray], items: Sequence[Item]) -> None:
    """Write a part; its list comes last, so that what is listed is there."""
    with replacing(path.with_suffix(".npy")) as file:
        np.save(file, np.concatenate([each for each in arrays if len(each)] or arrays))
    with replacing(path.with_suffix(".json")) as file:
        file.write(json.dumps([asdict(item) for item in items]).encode())
