"""Inputs of stages that are no file of their own, by name in the manifest: how each is worked out again from a run."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import UInt64

from thresher import tables
from thresher.data.file_states import states_digest, with_states
from thresher.errors import DataError
from thresher.run.record import Record
from thresher.run_files import existing, read_arrays

#: What was learnt from the pool is kept until this share of its images has come or gone.
MOST_CHANGED = 0.2
#: From this cosine of pooled vectors on, an image of the pool nearly is one of the guard: re-encoded or re-cropped.
GUARD_COSINE = 0.95
#: The array of evidence.safetensors that holds `pool_keys` of the pool at the time.
POOL_KEYS = "pool_keys"


def image_files(folder: Path, recorded: str | None = None) -> str:
    """Size and time of every image's file. With a million images this takes seconds."""
    return states_digest(with_states(images_here(folder)))


def images_here(folder: Path) -> pl.DataFrame:
    """Table INDEXED_IMAGES, sorted, without the images that are listed for a later download and not on disk yet."""
    images = tables.read(folder / "images.parquet", tables.INDEXED_IMAGES, key="image_id").sort("image_id")
    return on_disk(images, folder)


def on_disk(images: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """These images of a run, without those that are listed for a later download and not on disk yet.

    Args:
        images: image_id and path.
    """
    remote = tables.read_if_there(folder / "remote.parquet", tables.some(tables.REMOTE, "image_id"))
    if remote.is_empty():
        return images
    listed = with_states(images.join(remote, on="image_id", how="semi"))
    absent = listed.filter(pl.col("size_bytes").is_null())
    return images.join(absent, on="image_id", how="anti", maintain_order="left")


def embedded_target(folder: Path, recorded: str | None = None) -> str:
    """The target's images that embed could read, and their contents."""
    return _embedded(folder)[0]


def embedded_pool(folder: Path, recorded: str | None = None) -> str:
    """The contents of the pool's images that embed could read; as recorded while fewer than a fifth have changed.

    Args:
        recorded: The value when the evidence was fitted; None for the value now, however little has changed.
    """
    now = pool_keys(folder)
    fitted = _fitted_keys(folder)
    kept = recorded == _digest(fitted) and share_changed(fitted, now) < MOST_CHANGED
    return recorded if recorded and kept else _digest(now)


def labelled_target(folder: Path, recorded: str | None = None) -> str:
    """The target's images and their masks, as the index lists them: whatever happens to the pool, they stay."""
    images = tables.read(folder / "images.parquet", tables.INDEXED_IMAGES).filter(role="target")
    masks = tables.read(folder / "masks.parquet", tables.MASKS)
    listed = images.join(masks, on="image_id", how="left", suffix="_of_mask").sort("image_id")
    return hashlib.sha256(listed.write_csv().encode()).hexdigest()


def guard_cosine(folder: Path, recorded: str | None = None) -> str:
    """From which cosine on an image of the pool nearly is one of the guard, as index was told."""
    settings = Record(folder).recorded().get("index", {}).get("settings", {})
    return str(settings.get("guard_cosine", GUARD_COSINE))


def pool_keys(folder: Path) -> UInt64[np.ndarray, " n"]:
    """A number for the content of each image of the pool, sorted."""
    return _embedded(folder)[1]


def share_changed(before: UInt64[np.ndarray, " n"], now: UInt64[np.ndarray, " m"]) -> float:
    """How many images have come or gone, whichever is more, as a share of those that there were.

    >>> share_changed(np.array([1, 2, 3, 4], np.uint64), np.array([1, 2, 3, 5, 6], np.uint64))
    0.5
    """
    kept = _counted(before, now)
    return max(len(before) - kept, len(now) - kept) / max(1, len(before))


def _counted(some: UInt64[np.ndarray, " n"], others: UInt64[np.ndarray, " m"]) -> int:
    """How many are in both, each as often as it is in either."""
    (values, times), (known, known_times) = (np.unique(each, return_counts=True) for each in (some, others))
    _, mine, theirs = np.intersect1d(values, known, assume_unique=True, return_indices=True)
    return int(np.minimum(times[mine], known_times[theirs]).sum())


def _embedded(folder: Path) -> tuple[str, UInt64[np.ndarray, " n"]]:
    """Digest of the target's embedded images, and the keys of the pool's; tables that stay are read once."""
    stamps = []
    for name in ("images.parquet", "embedded.parquet"):
        status = existing(folder / name).stat()
        stamps.append((status.st_size, status.st_mtime_ns, status.st_ino))
    return _embedded_at(folder.absolute(), tuple(stamps))


@functools.lru_cache(maxsize=1)
def _embedded_at(folder: Path, stamps: tuple[tuple[int, int, int], ...]) -> tuple[str, UInt64[np.ndarray, " n"]]:
    roles = tables.read(folder / "images.parquet", tables.some(tables.INDEXED_IMAGES, "image_id", "role"))
    embedded = tables.read(folder / "embedded.parquet", tables.EMBEDDED).filter(pl.col("slices").is_not_null())
    found = embedded.select("image_id", "content").join(roles, on="image_id")
    target = found.filter(role="target").sort("image_id")
    told = "\n".join([*target["image_id"], *target["content"].fill_null("")])
    contents = found.filter(role="pool")["content"].drop_nulls()
    keys = np.sort(np.array([int(content[:16], 16) for content in contents], np.uint64))
    return hashlib.sha256(told.encode()).hexdigest(), keys


def _fitted_keys(folder: Path) -> UInt64[np.ndarray, " n"]:
    """The pool's keys when the evidence was fitted; none if it is lost or damaged, as it is then fitted again."""
    try:
        keys: np.ndarray = read_arrays(folder / "evidence.safetensors").get(POOL_KEYS, np.empty(0, np.uint64))
    except DataError:
        return np.empty(0, np.uint64)
    return keys


def _digest(keys: UInt64[np.ndarray, " n"]) -> str:
    return hashlib.sha256(np.ascontiguousarray(keys).tobytes()).hexdigest()


#: From the run's folder and the value recorded last time (None if there is none) to the value now.
INPUTS: dict[str, Callable[[Path, str | None], str]] = {
    "embedded_target": embedded_target,
    "embedded_pool": embedded_pool,
    "labelled_target": labelled_target,
    "guard_cosine": guard_cosine,
}
#: The same of what lies outside the run's folder.
OUTSIDE: dict[str, Callable[[Path, str | None], str]] = {"files": image_files}
#: What `status` says when one of them differs.
WORDS = {
    "embedded_target": "images of the target have changed",
    "embedded_pool": f"at least {MOST_CHANGED:.0%} of the pool's images have come or gone",
    "files": "image files have changed",
    "guard_cosine": "the guard's cosine has changed",
    "labelled_target": "images or masks of the target have changed",
}
