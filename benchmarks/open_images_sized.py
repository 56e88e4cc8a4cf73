"""Made-up annotations of the size and form of Open Images, for the benchmarks: streamed, the same for the same seed.

Run:     python benchmarks/open_images_sized.py FOLDER [--images 1740000] [--boxes 14600000] [--files]
Writes:  FOLDER/train-annotations-bbox.csv in the original columns, FOLDER/boxes.parquet with the same columns and rows;
         with --files also FOLDER/images/*.jpg, empty: whoever lists them sees as many files, nobody can open one.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from thresher.data.taxonomy import Taxonomy, load_taxonomy

IMAGES, BOXES = 1_740_000, 14_600_000
CSV, PARQUET = "train-annotations-bbox.csv", "boxes.parquet"
#: Images written at a time.
CHUNK_IMAGES = 50_000
LABELS = 600
#: Share of all boxes whose label the taxonomy knows. In Open Images people, vehicles, buildings, trees and signs are
#: about four in ten (arXiv 1811.00982, fig. 15 and 16).
KNOWN_SHARE = 0.4


def vocabulary(taxonomy: Taxonomy) -> tuple[list[str], np.ndarray]:
    """600 labels in the form of Open Images and how often each occurs: a few are most of all, most are rare."""
    known = sorted(label for label in taxonomy.meaning if label.startswith("/m/"))
    other = [f"/m/0{number:05x}_" for number in range(LABELS - len(known))]
    falling = [1 / np.arange(1, len(labels) + 1) for labels in (known, other)]
    shares = [share * part / part.sum() for share, part in zip((KNOWN_SHARE, 1 - KNOWN_SHARE), falling, strict=True)]
    return known + other, np.concatenate(shares)


def boxes_per_image(images: int, boxes: int, rng: np.random.Generator) -> np.ndarray:
    """One at least, a few mostly, sometimes a hundred; exactly `boxes` together."""
    counts = 1 + rng.poisson(rng.gamma(1.0, (boxes - images) / images, images))
    missing = boxes - int(counts.sum())
    changeable = np.flatnonzero(counts > 1) if missing < 0 else np.arange(images)
    counts[rng.choice(changeable, abs(missing), replace=False)] += np.sign(missing)
    return counts


def chunks(images: int, boxes: int, seed: int = 0) -> Iterator[pl.DataFrame]:
    """The rows in the order of their images' ids, some images at a time."""
    rng = np.random.default_rng(seed)
    labels, shares = vocabulary(load_taxonomy("cityscapes"))
    cumulative = np.cumsum(shares) / shares.sum()
    names = pl.Series(labels)
    counts = boxes_per_image(images, boxes, rng)
    for first in range(0, images, CHUNK_IMAGES):
        mine = counts[first : first + CHUNK_IMAGES]
        owners = np.repeat(np.arange(first, first + len(mine)), mine)
        n = len(owners)
        sizes = 0.02 + 0.9 * rng.beta(0.7, 2.0, (2, n))
        corners = rng.random((2, n)) * (1 - sizes)
        label = np.minimum(np.searchsorted(cumulative, rng.random(n)), len(labels) - 1)
        flags = {
            name: pl.Series(rng.choice(np.array([0, 1, -1]), n, p=[0.985 - share, share, 0.015]))
            for name, share in zip(
                ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"),
                (0.6, 0.25, 0.05, 0.05, 0.003),
                strict=True,
            )
        }
        yield pl.DataFrame(
            {
                "ImageID": image_ids(owners),
                "Source": pl.repeat("xclick", n, eager=True),
                "LabelName": names.gather(pl.Series(label)),
                "Confidence": pl.repeat(1, n, eager=True),
                "XMin": corners[0],
                "XMax": corners[0] + sizes[0],
                "YMin": corners[1],
                "YMax": corners[1] + sizes[1],
                **flags,
            }
        )


def image_ids(numbers: np.ndarray) -> pl.Series:
    """Ids of 16 hexadecimal digits that rise with the number, as wide apart as real ones."""
    wide = numbers.astype(np.uint64) * np.uint64(0x94B_1F3D_6A75) + np.uint64(0x2B_66C9_C498)
    return pl.Series([f"{number:016x}" for number in np.unique(wide)]).gather(
        pl.Series(np.unique(wide, return_inverse=True)[1])
    )


def write(
    folder: Path, images: int = IMAGES, boxes: int = BOXES, seed: int = 0, *, files: bool = False, parquet: bool = True
) -> None:
    """Write the CSV and, if asked for, the Parquet file and the empty image files; what is there already stays."""
    folder.mkdir(parents=True, exist_ok=True)
    csv = folder / CSV
    if not csv.exists():
        unfinished = csv.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            for number, chunk in enumerate(chunks(images, boxes, seed)):
                text = io.BytesIO()
                chunk.write_csv(text, include_header=number == 0, float_precision=6)
                file.write(text.getbuffer())
        unfinished.replace(csv)
    if parquet and not (folder / PARQUET).exists():
        pl.scan_csv(csv).sink_parquet(folder / PARQUET, row_group_size=500_000)
    if files:
        (folder / "images").mkdir(exist_ok=True)
        for first in range(0, images, CHUNK_IMAGES):
            for image_id in image_ids(np.arange(first, min(images, first + CHUNK_IMAGES))):
                (folder / "images" / f"{image_id}.jpg").touch()


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--boxes", type=int, default=BOXES)
    parser.add_argument("--files", action="store_true", help="also as many empty image files")
    asked = parser.parse_args()
    write(asked.folder, asked.images, asked.boxes, files=asked.files)


if __name__ == "__main__":
    main()
