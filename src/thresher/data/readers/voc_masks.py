"""`JPEGImages` with label images in `SegmentationClass`: PASCAL VOC, and what CVAT and Datumaro export in its form.

Source: VOC2012 development kit, devkit_doc.pdf, "Class segmentation" (0 background, 1..20 classes, 255 void).
"""

from __future__ import annotations

from pathlib import Path

from thresher.data.dataset import Coded, Dataset, Entry, contents, image_files, source_id_of
from thresher.data.findings import Findings
from thresher.data.readers.mask_legends import VOC, legend_in
from thresher.errors import DataError

MASKS, IMAGES = "SegmentationClass", "JPEGImages"


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """The images that have a label image; of a split those in `ImageSets/Segmentation/SPLIT.txt`.

    Images lie in `JPEGImages`, or beside the folders. Ids are those of the reader `voc`.

    Raises:
        DataError: no such list, or no label image has the name of an image.
    """
    findings = Findings(root, dataset)
    home = root / IMAGES if (root / IMAGES).is_dir() else root
    inside = image_files(home) if home != root else [path for path in image_files(root) if path.parent == root]
    photos = {source_id_of(path, home): path for path in inside}
    labelled = drawings_of(root, {name: findings.id_of(name) for name in photos})
    listed = None if split is None else _listed(root, split)
    with_mask = {drawing.image_id for drawing in labelled}
    entries: list[Entry] = [
        (name, path, split, None, None)
        for name, path in photos.items()
        if findings.id_of(name) in with_mask and (listed is None or name in listed)
    ]
    if not entries:
        found = f"{len(photos)} images and {len(labelled)} of them with a mask"
        raise DataError(
            f"{root}: no image of {f'split {split!r}' if split else IMAGES} has a mask in {MASKS}. Found {found} in "
            f"{contents(root)}; expected {IMAGES}/NAME.jpg and {MASKS}/NAME.png."
        )
    images = findings.images(entries)
    ids = set(images["image_id"])
    return findings.data(images, drawings=[drawing for drawing in labelled if drawing.image_id in ids])


def drawings_of(root: Path, ids: dict[str, str]) -> list[Coded]:
    """The label images in `SegmentationClass` of images, whose ids are given by name; none without that folder."""
    folder = root / MASKS
    if not folder.is_dir():
        return []
    legend = legend_in(root, folder) or VOC
    return [
        Coded(ids[name], str(path.absolute()), legend.labels, legend.by_colour, named_by=legend.named_by)
        for path in image_files(folder)
        if (name := source_id_of(path, folder)) in ids
    ]


def _listed(root: Path, split: str) -> set[str]:
    path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    if not path.is_file():
        found = contents(path.parent) if path.parent.is_dir() else contents(root)
        raise DataError(f"{path}: no such list of images. Found {found}; expected ImageSets/Segmentation/SPLIT.txt.")
    return {line.strip() for line in path.read_text("utf-8", "replace").splitlines() if line.strip()}
