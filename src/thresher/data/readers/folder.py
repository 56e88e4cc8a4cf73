"""A folder of images without any annotation."""

from __future__ import annotations

from pathlib import Path

from thresher.data.dataset import (
    Dataset,
    contents,
    existing_folder,
    image_files,
    source_id_of,
)
from thresher.data.findings import Findings
from thresher.errors import DataError


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """All images below `root`, or below its subfolder `split`, without boxes.

    The id of an image is its path below `root` without the suffix: `train/0001TP_006690`.

    Raises:
        DataError: no such folder, or no image in it.
    """
    existing_folder(root, "with images")
    start = root if split is None else root / split
    if not start.is_dir():
        raise DataError(f"{root}: no subfolder '{split}'. Found {contents(root)}.")
    files = image_files(start)
    if not files:
        raise DataError(f"{start}: no image files. Found {contents(start)}; expected .jpg, .png, .webp or the like.")
    findings = Findings(root, dataset)
    return findings.data(findings.images((source_id_of(path, root), path, split, None, None) for path in files))
