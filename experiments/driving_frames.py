"""The Indian driving frames of the mixed Open Images folder, as a folder of their own in the same layout.

Run:      python experiments/driving_frames.py   (from the repository; needs ../shared/data: docs/data.md)
Takes:    a second
Expects:  runs/driving_frames with 585 linked images and their 3,492 boxes; camvid_weak_labels.toml reads it
"""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

HERE = Path(__file__).resolve().parent.parent
MIXED = HERE.parent / "shared" / "data" / "weak" / "mixed" / "open_images_layout"
DRIVING = HERE / "runs" / "driving_frames"


def main() -> None:
    """Write the folder anew."""
    shutil.rmtree(DRIVING, ignore_errors=True)
    (DRIVING / "images").mkdir(parents=True)
    for name in ("class-descriptions-boxable.csv", "bbox_labels_600_hierarchy.json"):
        shutil.copy(MIXED / name, DRIVING / name)
    boxes = pl.read_csv(MIXED / "train-annotations-bbox.csv", schema_overrides={"ImageID": pl.String})
    boxes = boxes.filter(pl.col("ImageID").str.starts_with("idd"))
    boxes.write_csv(DRIVING / "train-annotations-bbox.csv")
    frames = sorted((MIXED / "images").glob("idd*"))
    for frame in frames:
        (DRIVING / "images" / frame.name).symlink_to(frame)
    print(f"{DRIVING}: {len(frames)} images, {boxes.height} boxes")


if __name__ == "__main__":
    main()
