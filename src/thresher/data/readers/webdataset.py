"""Tar shards, as WebDataset and img2dataset write them: files of one sample share a key and differ in their ending.

Source: https://github.com/webdataset/webdataset, "The WebDataset Format": a key ends at the first dot of the file name.
"""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from thresher.data.sources import TarIndex, image_bytes, tar_index
from thresher.errors import DataError


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """The images in the tars at `root`, a folder or one tar; plain tars of images are read as well.

    The id of an image is its archive's path below `root` and its key: `train/00012/000120034`. A sample's photo is
    the member KEY.jpg (.png, .webp, …); of names with more dots (KEY.seg.png) those beside such a member are other
    fields and passed over. KEY.json may state `width` and `height`, and `objects` with boxes in pixels (`packed`).

    Raises:
        DataError: no tar, none of the split, or not one image in them.
    """
    root = Path(os.path.abspath(existing_place(root, "with .tar files")))
    problems: list[Row] = []
    samples: list[Sample] = []
    for archive in archives(root, split, ".tar"):
        try:
            index = tar_index(archive)
        except DataError as error:
            problems.append(broken(archive, str(error)))
            continue
        shard = shard_id(archive, root)
        problems += _damage(archive, shard, index, dataset)
        for key, member in _photos(index):
            sample, bad = _sample(archive, shard, key, member, split, index)
            samples.append(sample)
            image_id = qualified_id(dataset, sample.source_id)
            problems += [problem("annotation_malformed", detail, image_id, sample.address) for detail in bad]
    return as_dataset(samples, problems, dataset, root)


def _is_image(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _keyed(name: str) -> tuple[str, str]:
    """The key and the ending of a member; all that follows the first dot is its ending."""
    folder, base = posixpath.split(name)
    stem, _, ending = base.partition(".")
    return posixpath.join(folder, stem), ending.lower()


def _photos(index: TarIndex) -> Iterator[tuple[str, str]]:
    """(key, member) of each photo; one whose key no simple ending shares keeps all but its suffix as its key."""
    named = [(*_keyed(name), name) for name in index.members if _is_image(name)]
    with_photo = {key for key, ending, _ in named if "." not in ending}
    for key, ending, name in named:
        if "." not in ending:
            yield key, name
        elif key not in with_photo:
            yield posixpath.splitext(name)[0], name


def _sample(
    archive: Path, shard: str, key: str, member: str, split: str | None, index: TarIndex
) -> tuple[Sample, list[str]]:
    address, source_id = f"{archive}!/{member}", f"{shard}/{key}"
    if f"{key}.json" not in index.members:
        return Sample(source_id, address, split), []
    try:
        sidecar: Any = json.loads(image_bytes(f"{archive}!/{key}.json"))
    except ValueError as error:  # both wrong JSON and wrong UTF-8
        return Sample(source_id, address, split), [f"{key}.json: not JSON ({error}); the image stays, without boxes"]
    if not isinstance(sidecar, dict):
        return Sample(source_id, address, split), []  # a caption or a list of tags
    objects, bad = parsed_objects(sidecar.get("objects"), {})
    return Sample(source_id, address, split, stated_size(sidecar), objects), [f"{key}.json: {each}" for each in bad]


def _damage(archive: Path, shard: str, index: TarIndex, dataset: str) -> list[Row]:
    """A problem row for each unreadable image, and one for a damaged archive."""
    rows: list[Row] = []
    for name in filter(_is_image, index.cut):
        image_id = qualified_id(dataset, f"{shard}/{_keyed(name)[0]}")
        rows.append(problem("image_unreadable", "the archive ends within this member", image_id, f"{archive}!/{name}"))
    for name in filter(_is_image, index.repeated):
        image_id = qualified_id(dataset, f"{shard}/{_keyed(name)[0]}")
        detail = "the archive holds this name again; the first one was kept"
        rows.append(problem("duplicate_id", detail, image_id, f"{archive}!/{name}"))
    if index.cut or index.damage:
        reason = index.damage or "the file ends within a member"
        rows.append(broken(archive, f"{reason}; {len(index.members)} members before it are read. Download it again."))
    return rows
