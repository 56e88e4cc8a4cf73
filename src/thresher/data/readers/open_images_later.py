"""Images of Open Images that are not on disk yet: listed from its CSVs, with the addresses where they are to be had.

Source: https://storage.googleapis.com/openimages/web/download_v7.html: image ID of a split is SPLIT/ID.jpg in the
bucket `open-images-dataset`; the files of image ids hold OriginalURL, OriginalSize (bytes) and OriginalMD5 (base64) of
the photo that was uploaded, which is larger than the copy in the bucket.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from thresher.data.faults import refusing
from thresher.data.findings import absolute
from thresher.data.readers.open_images_csv import first_bytes
from thresher.tables import IMAGES, REMOTE, empty

#: Addresses of the data set's own copies begin so.
BUCKET = "https://open-images-dataset.s3.amazonaws.com/"
#: Names of the files of image ids.
ID_FILES = ("*image*ids*.csv", "*-with-rotation.csv", "images.csv")
#: What the bucket calls a split.
_IN_BUCKET = {"val": "validation"}
_PLAIN_ID = r"^[0-9A-Za-z_-]+$"
_FACTS = {"Subset": "subset", "OriginalURL": "original", "OriginalSize": "size_bytes", "OriginalMD5": "md5"}


def absent_images(
    found: pl.DataFrame, images: pl.DataFrame, splits: list[str | None], folders: list[Path], place: Path, prefix: str
) -> tuple[pl.DataFrame, pl.DataFrame, pl.LazyFrame]:
    """`found` with an image_id for each id without a file, and their rows of tables IMAGES and REMOTE.

    The file of such an image is expected at SPLIT/ID.jpg below `place`.

    Args:
        found: named (as the box files spell an image), file (number of the box file), boxes, image_id.
        images: Table IMAGES of the files that there are.
        splits: The split of each box file, as far as it is known.
        folders: Where files of image ids may lie.
        place: The folder of images.
        prefix: What image ids begin with.

    Raises:
        DataError: a file of image ids cannot be read.
    """
    stems = images.select(named=pl.col("image_id").str.split("/").list.last())
    split = pl.col("file").replace_strict(list(range(len(splits))), splits, return_dtype=pl.String)
    absent = (
        found.filter(pl.col("image_id").is_null() & pl.col("named").str.contains(_PLAIN_ID))
        .join(stems, on="named", how="anti")
        .sort("file")
        .unique("named", keep="first", maintain_order=True)
        .select("named", split=split)
    )
    if absent.is_empty():
        return found, empty(IMAGES), empty(REMOTE).lazy()
    facts = _facts(folders, absent)
    if facts is not None:
        told = pl.coalesce("split", "subset")
        absent = absent.join(facts, on="named", how="left", maintain_order="left").with_columns(split=told)
    absent = absent.with_columns(image_id=pl.lit(prefix) + pl.col("named"))
    home = f"{absolute(place)}/"
    between = pl.when(pl.col("split").is_null()).then(pl.lit("")).otherwise(pl.col("split") + "/")
    rows = absent.select(
        "image_id",
        path=pl.lit(home) + between + pl.col("named") + ".jpg",
        dataset=pl.lit(prefix.rstrip("/")) if prefix else pl.col("named").str.split("/").list.first(),
        split="split",
        width_px=pl.lit(None, pl.Int32),
        height_px=pl.lit(None, pl.Int32),
    )
    known = found.join(absent.select("named", listed="image_id"), on="named", how="left", maintain_order="left")
    return known.with_columns(image_id=pl.coalesce("image_id", "listed")).drop("listed"), rows, _remote(absent)


def _remote(absent: pl.DataFrame) -> pl.LazyFrame:
    """Table REMOTE: the bucket's copy, then the original where its address is known; made when it is asked for."""
    place = pl.col("split").replace(_IN_BUCKET) + pl.lit("/") + pl.col("named") + ".jpg"
    parts = [absent.lazy().select("image_id", url=pl.lit(BUCKET) + place, original=pl.lit(False))]
    if "original" in absent.columns:
        parts.append(
            absent.lazy()
            .filter(pl.col("original").str.starts_with("http"))
            .select(
                "image_id",
                url="original",
                original=pl.lit(True),
                md5=pl.col("md5").str.decode("base64", strict=False).bin.encode("hex"),
                size_bytes=pl.col("size_bytes").cast(pl.Int64, strict=False),
            )
        )
    return pl.concat([empty(REMOTE).lazy(), *parts], how="diagonal")


def _facts(folders: list[Path], absent: pl.DataFrame) -> pl.DataFrame | None:
    """What the files of image ids say of these images; None without such a file."""
    files = sorted({path for folder in folders for pattern in ID_FILES for path in folder.glob(pattern)})
    parts = []
    for path in files:
        first_bytes(path)
        with refusing(f"{path}: not readable as CSV", "Expected ImageID, Subset, OriginalURL, OriginalSize, …."):
            scan = pl.scan_csv(path, infer_schema=False, encoding="utf8-lossy", truncate_ragged_lines=True)
            names = scan.collect_schema().names()
            if "ImageID" not in names:
                continue
            told = [
                (pl.col(name) if name in names else pl.lit(None, pl.String)).alias(to) for name, to in _FACTS.items()
            ]
            rows = scan.select(pl.col("ImageID").alias("named"), *told).join(
                absent.lazy().select("named"), on="named", how="semi"
            )
            parts.append(rows.collect(engine="streaming"))
    return pl.concat(parts).unique("named", keep="first", maintain_order=True) if parts else None
