"""For the experiments on animals: the pool's true masks as a folder, and 300 images of the pool that have one.

Run:      python experiments/animals.py   (from the repository; needs ../shared/data, docs/data.md, and a scored
          runs/animals, docs/experiments/animals.md)
Takes:    a second
Expects:  runs/animals_true with 654 linked images and masks; in runs/animals the reviews `wanted` (1,256 images that
          show a cow, horse or sheep) and `wanted_with_masks` (654)
"""

from __future__ import annotations

import datetime
from pathlib import Path

import polars as pl

from thresher import tables
from thresher.run.folder import Run

HERE = Path(__file__).resolve().parent.parent
DATA = HERE.parent / "shared" / "data" / "voc_animals"
RUN, TRUE = Run(HERE / "runs" / "animals"), HERE / "runs" / "animals_true"
WANTED = ["cow", "horse", "sheep"]


def write_true_masks(pool: pl.DataFrame, masks: dict[str, Path]) -> None:
    """Images and masks side by side, under the ids that the images have in the pool."""
    for kind in ("images", "masks"):
        (TRUE / kind / "images").mkdir(parents=True, exist_ok=True)
    for stem, path in pool.select("stem", "path").iter_rows():
        if stem in masks:
            links = (
                (TRUE / "images" / "images" / Path(path).name, path),
                (TRUE / "masks" / "images" / f"{stem}.png", masks[stem]),
            )
            for link, file in links:
                link.unlink(missing_ok=True)
                link.symlink_to(file)


def write_review(name: str, left_out: pl.Series) -> None:
    """A review that rejects these images, so that `select --review` leaves them out."""
    # The same each time, so that selections made with it stay up to date.
    at = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    rows = [
        {"at": at, "person": "experiment", "what": "mark", "image_id": each, "value": "rejected"} for each in left_out
    ]
    RUN.review(name).parent.mkdir(exist_ok=True)
    tables.write(tables.from_rows(rows, tables.REVIEW), RUN.review(name))


def main() -> None:
    """Write links and reviews anew."""
    stem = pl.col("path").str.split("/").list.last().str.replace(r"\.\w+$", "").alias("stem")
    pool = tables.read(RUN.images, tables.INDEXED_IMAGES).filter(role="pool").with_columns(stem)
    boxes = tables.read(RUN.boxes, tables.BOXES).filter(pl.col("class").is_in(WANTED))
    masks = {path.stem: path for path in (DATA / "pool_true_masks").glob("*.png")}
    write_true_masks(pool, masks)
    wanted = pl.col("image_id").is_in(boxes["image_id"].unique().to_list())
    with_masks = wanted & pl.col("stem").is_in(list(masks))
    for name, kept in (("wanted", wanted), ("wanted_with_masks", with_masks)):
        write_review(name, pool.filter(~kept)["image_id"])
        print(f"{name}: {pool.filter(kept).height} images")


if __name__ == "__main__":
    main()
