"""Tar shards, as WebDataset and img2dataset write them: files of one sample share a key and differ in their ending.

Source: https://github.com/webdataset/webdataset, "The WebDataset Format": a key ends at the first dot of the file name.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from thresher.data.dataset import IMAGE_SUFFIXES, Dataset, existing_place, stated_px
from thresher.data.findings import Findings, Place, absolute
from thresher.data.readers.packed import Sample, archives, as_dataset, shard_id
from thresher.data.sources import image_bytes, tar_index
from thresher.data.tars import TarIndex

#: Keys of a sidecar that may hold boxes, the one that is documented first.
OBJECT_KEYS = ("objects", "annotations")
#: Photographs before formats that hold masks too, where a key has several.
_LIKELIEST = (".jpg", ".jpeg", ".jfif", ".webp", ".avif", ".jp2")


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """The images in the tars at `root`, a folder or one tar; plain tars of images are read as well.

    The id of an image is its archive's path below `root` and its key: `train/00012/000120034`. A sample's photo is
    the member KEY.jpg (.webp, .png, …, in this order); of names with more dots (KEY.seg.png) those beside such a member
    are other fields and passed over. KEY.json may state `width` and `height`, and `objects` (or `annotations`) with
    boxes in pixels (`packed`).

    Raises:
        DataError: no tar, none of the split, not one image in them, or most of them cannot be read.
    """
    root = absolute(existing_place(root, "with .tar files"))
    findings = Findings(root, dataset)
    return as_dataset(_samples(archives(root, split, ".tar"), split, findings), findings)


def _samples(found: list[Path], split: str | None, findings: Findings) -> Iterator[Sample]:
    indexes = findings.read(
        "archives",
        found,
        lambda archive: (archive, tar_index(archive)),
        lambda number: Place(str(found[number]), path=found[number]),
        "an uncompressed tar",
        "archive_broken",
    )
    for archive, index in indexes:
        shard = shard_id(archive, findings.root)
        _note_damage(archive, shard, index, findings)
        photos = list(_photos(index))
        sidecars = [key for key, _ in photos if f"{key}.json" in index.members]

        def sidecar_at(number: int, archive: Path = archive, shard: str = shard, keys: list[str] = sidecars) -> Place:
            key = keys[number]
            return Place(f"{archive}!/{key}.json", findings.id_of(f"{shard}/{key}"), archive)

        parse = partial(_sidecar, archive)
        said = dict(findings.read("sidecars", sidecars, parse, sidecar_at, "JSON; the image stays, without boxes"))
        for key, member in photos:
            sidecar: Any = said.get(key)
            address = f"{archive}!/{member}"
            if not isinstance(sidecar, dict):  # none, or a caption, or a list of tags
                yield Sample(f"{shard}/{key}", address, split)
                continue
            objects = next((sidecar[name] for name in OBJECT_KEYS if sidecar.get(name) is not None), None)
            size = stated_px(sidecar.get("width"), sidecar.get("height"))
            yield Sample(f"{shard}/{key}", address, split, size, objects, f"{key}.json")


def _sidecar(archive: Path, key: str) -> tuple[str, Any]:
    return key, json.loads(image_bytes(f"{archive}!/{key}.json"))


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
    best: dict[str, str] = {}
    for key, ending, name in named:
        if "." not in ending and (key not in best or _rank(name) < _rank(best[key])):
            best[key] = name
    for key, ending, name in named:
        if "." not in ending:
            if best[key] == name:
                yield key, name
        elif key not in best:
            yield posixpath.splitext(name)[0], name


def _rank(name: str) -> int:
    ending = posixpath.splitext(name)[1].lower()
    return _LIKELIEST.index(ending) if ending in _LIKELIEST else len(_LIKELIEST)


def _note_damage(archive: Path, shard: str, index: TarIndex, findings: Findings) -> None:
    """List each unreadable image, and a damaged archive."""
    for name in filter(_is_image, index.cut):
        image_id = findings.id_of(f"{shard}/{_keyed(name)[0]}")
        detail = "the archive does not hold the whole of it (it ends before, or the member is a sparse file)"
        findings.note("image_unreadable", detail, image_id, f"{archive}!/{name}")
    for name in filter(_is_image, index.repeated):
        image_id = findings.id_of(f"{shard}/{_keyed(name)[0]}")
        detail = "the archive holds this name again; the first one was kept"
        findings.note("duplicate_id", detail, image_id, f"{archive}!/{name}")
    if index.cut or index.damage:
        reason = index.damage or "the file ends within a member"
        detail = f"{reason}; {len(index.members)} members before it are read. Download it again."
        findings.note("archive_broken", detail, path=archive)
