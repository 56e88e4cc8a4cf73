"""Cityscapes: `leftImg8bit/[split/][city/]…_leftImg8bit.png` with label files in `gtFine` or `gtCoarse`.

Source: https://github.com/mcordts/cityscapesScripts, README, "Dataset Structure".
"""

from __future__ import annotations

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

SPLITS = frozenset({"train", "train_extra", "val", "test", "demoVideo"})
#: Best first. trainIds leave nothing to map; they are made by cityscapesScripts and may not be there.
LABEL_FILES = tuple(
    (folder, f"_{folder}_label{kind}.png", encoding)
    for folder in ("gtFine", "gtCoarse")
    for kind, encoding in (("TrainIds", "cityscapes_train_ids"), ("Ids", "cityscapes_label_ids"))
)


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """Frames and their label files, fine before coarse and trainIds before labelIds.

    The id of a frame is its path below `leftImg8bit` without `_leftImg8bit`: `train/aachen/aachen_000000_000019`.
    Frames without a label file stay, and are listed as `annotation_missing`.

    Raises:
        DataError: no `leftImg8bit` folder, no such split, or no image.
    """
    entries = frames_of(root, split)
    images, problems = images_table(entries, dataset)
    kept = set(images["image_id"])
    masks: list[dict[str, object]] = []
    for source_id, path, *_ in entries:
        image_id = qualified_id(dataset, source_id)
        if image_id not in kept:
            continue
        mask = _label_file(root, source_id)
        if mask is None:
            problems.append(problem("annotation_missing", "no labelTrainIds or labelIds file", image_id, path))
        else:
            masks.append({"image_id": image_id, "path": str(mask[0].absolute()), "encoding": mask[1]})
        kept.remove(image_id)  # a second file of the same id is a problem row already
    return Dataset(images, masks=from_rows(masks, MASKS), problems=from_rows(problems, PROBLEMS)).checked(str(root))


def frames_of(root: Path, split: str | None) -> list[tuple[str, Path, str | None, None, None]]:
    """Id in its source, file and split of each frame.

    Raises:
        DataError: no `leftImg8bit` folder, no such split, or no image.
    """
    existing_folder(root, "with leftImg8bit and gtFine")
    frames = root / "leftImg8bit"
    start = frames / (split or "")
    if not start.is_dir():
        found = contents(frames) if frames.is_dir() else contents(root)
        raise DataError(
            f"{start}: no such folder. Found {found}; expected leftImg8bit/[split/][city/], gtFine/ beside."
        )
    entries = [_entry(path, frames) for path in image_files(start)]
    if not entries:
        raise DataError(f"{start}: no image files. Found {contents(start)}; expected NAME_leftImg8bit.png.")
    return entries


def _entry(path: Path, frames: Path) -> tuple[str, Path, str | None, None, None]:
    source_id = source_id_of(path, frames).removesuffix("_leftImg8bit")
    first = source_id.split("/", 1)[0]
    return source_id, path, first if first in SPLITS else None, None, None


def _label_file(root: Path, source_id: str) -> tuple[Path, str] | None:
    for folder, ending, encoding in LABEL_FILES:
        path = root / folder / f"{source_id}{ending}"
        if path.is_file():
            return path, encoding
    return None
