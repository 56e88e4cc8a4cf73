"""A review of runs/camvid that leaves so many driving frames out that 5 % of the pool are left to be driving frames.

Run:      thresher run experiments/camvid.toml, then python experiments/camvid_thin.py   (from the repository)
Takes:    a second
Expects:  the review `thin` in runs/camvid: 129 of 2,580 images are driving frames
"""

from __future__ import annotations

import datetime
from pathlib import Path

import polars as pl

from thresher import tables
from thresher.run.folder import Run

RUN = Run(Path(__file__).resolve().parent.parent / "runs" / "camvid")
SETS, SHARE = ("kitti", "dashcam_cn_voc", "adas_peru_coco"), 0.05


def main() -> None:
    """Write the review anew."""
    pool = tables.read(RUN.images, tables.INDEXED_IMAGES).filter(role="pool").sort("image_id")
    is_driving = pl.col("dataset").is_in(SETS) | pl.col("image_id").str.split("/").list.last().str.starts_with("idd")
    driving, others = pool.filter(is_driving), pool.filter(~is_driving)
    kept = driving.sample(round(others.height * SHARE / (1 - SHARE)), seed=0, shuffle=True)
    # The same each time, so that selections made with it stay up to date.
    at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    rows = [
        {"at": at, "person": "experiment", "what": "mark", "image_id": each, "value": "rejected"}
        for each in driving.join(kept, on="image_id", how="anti")["image_id"]
    ]
    RUN.review("thin").parent.mkdir(exist_ok=True)
    tables.write(tables.from_rows(rows, tables.REVIEW), RUN.review("thin"))
    print(f"thin: {others.height + kept.height} images, {kept.height} of them driving frames")


if __name__ == "__main__":
    main()
