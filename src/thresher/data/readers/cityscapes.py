"""Cityscapes: `leftImg8bit/[split/][city/]…_leftImg8bit.png` with label files in `gtFine` or `gtCoarse`.

Source: https://github.com/mcordts/cityscapesScripts, README, "Dataset Structure".
"""

from __future__ import annotations

from pathlib import Path

from thresher.data.dataset import (
    Coded,
    Dataset,
    Entry,
    contents,
    existing_folder,
    image_files,
    source_id_of,
)
from thresher.data.findings import Findings, Row
from thresher.data.readers.mask_legends import IDD_LEVEL_3
from thresher.errors import DataError

SPLITS = frozenset({"train", "train_extra", "val", "test", "demoVideo"})
IDD = "idd_level_3_ids"
#: Best first. trainIds leave nothing to map; they are made by cityscapesScripts and may not be there.
LABEL_FILES = tuple(
    (folder, f"_{folder}_label{kind}.png", encoding)
    for folder in ("gtFine", "gtCoarse")
    for kind, encoding in (
        ("TrainIds", "cityscapes_train_ids"),
        ("Ids", "cityscapes_label_ids"),
        ("csTrainIds", "cityscapes_train_ids"),  # IDD, as AutoNUE's tools write them
        ("level3Ids", IDD),
    )
)


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """Frames and their label files, fine before coarse and trainIds before labelIds.

    The id of a frame is its path below `leftImg8bit` without `_leftImg8bit`: `train/aachen/aachen_000000_000019`.
    Frames without a label file stay, and are listed as `annotation_missing`.

    Raises:
        DataError: no `leftImg8bit` folder, no such split, no image, or no label file at all.
    """
    entries = frames_of(root, split)
    findings = Findings(root, dataset)
    images = findings.images(entries)
    known: dict[str, str] = dict(images.select("image_id", "path").iter_rows())
    masks: list[Row] = []
    drawings: list[Coded] = []
    for source_id, *_ in entries:
        image_id = findings.id_of(source_id)
        path = known.pop(image_id, None)
        if path is None:
            continue  # a second file of the same id is a problem row already
        mask = _label_file(root, source_id)
        if mask is None:
            findings.note("annotation_missing", "no labelTrainIds or labelIds file", image_id, path)
        elif mask[1] == IDD:
            place = str(mask[0].absolute())
            drawings.append(Coded(image_id, place, IDD_LEVEL_3.labels, named_by=IDD_LEVEL_3.named_by))
        else:
            masks.append({"image_id": image_id, "path": str(mask[0].absolute()), "encoding": mask[1]})
    if not masks and not drawings:
        raise no_labels(root, entries, "labelTrainIds.png or _labelIds.png")
    return findings.data(images, masks=masks, drawings=drawings)


def no_labels(root: Path, entries: list[Entry], ending: str) -> DataError:
    """The error that no frame has a label file; says what lies beside the first frame's place."""
    source_id = entries[0][0]
    beside = [(root / folder / source_id).parent for folder in ("gtFine", "gtCoarse")]
    name = Path(source_id).name
    found = sorted(path.name for folder in beside if folder.is_dir() for path in folder.glob(f"{name}_*"))
    return DataError(
        f"{root}: none of {len(entries)} frames has a label file. "
        f"Found {', '.join(found[:6]) or 'none'} for {source_id}; "
        f"expected gtFine/{source_id}_gtFine_{ending}, or the same in gtCoarse. "
        f"If there are no labels, read the images alone: folder:{root / 'leftImg8bit'}."
    )


def frames_of(root: Path, split: str | None) -> list[Entry]:
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


def _entry(path: Path, frames: Path) -> Entry:
    source_id = source_id_of(path, frames).removesuffix("_leftImg8bit")
    first = source_id.split("/", 1)[0]
    return source_id, path, first if first in SPLITS else None, None, None


def _label_file(root: Path, source_id: str) -> tuple[Path, str] | None:
    for folder, ending, encoding in LABEL_FILES:
        path = root / folder / f"{source_id}{ending}"
        if path.is_file():
            return path, encoding
    return None
