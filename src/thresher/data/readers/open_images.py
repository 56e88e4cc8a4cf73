"""Open Images: images, a CSV of boxes per split, class names and the hierarchy of classes.

Source: https://storage.googleapis.com/openimages/web/download_v7.html; arXiv 1811.00982.
"""

from __future__ import annotations

import filecmp
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from thresher.data.boxes import sizes_of
from thresher.data.dataset import (
    IMAGE_SUFFIXES,
    Dataset,
    contents,
    existing_folder,
    image_paths,
)
from thresher.data.findings import Findings
from thresher.data.readers.named_files import home_of
from thresher.data.readers.open_images_classes import vocabulary
from thresher.data.readers.open_images_csv import box_rows, image_labels
from thresher.data.readers.open_images_later import absent_images
from thresher.errors import DataError
from thresher.tables import REMOTE, checked

SPLITS = ("train", "validation", "val", "test")
BOX_FILE = "annotations-bbox.csv"


def read(root: Path, split: str | None, dataset: str, images: str | None = None, later: bool = False) -> Dataset:
    """Images, their boxes with all flags, and the vocabulary; images without a row in the CSV have no boxes.

    `*annotations-bbox.csv` is in `root`, `root/annotations` or OIDv4's `csv_folder`; FiftyOne calls it
    `SPLIT/labels/detections.csv`. Images in `images/`, `images/SPLIT/` or `SPLIT/`.
    The id of an image is its path below these without suffix, which is the ImageID of the original files.
    If all images are in one folder, their split is that of the box file that names them.

    Args:
        images: The folder of the images, seen from `root`, if it is another.
        later: Images that the box files name and that are not on disk are images, too (`open_images_later`).

    Raises:
        DataError: no box file, no images, or a file that is not a box file (see `open_images_csv`).
    """
    existing_folder(root, "with images and *annotations-bbox.csv")
    folders = _folders(root)
    all_files = _box_files(root, folders)
    files = {path: name for path, name in all_files.items() if split in (None, name)}
    if not files:
        raise DataError(f"{root}: no box file of split '{split}'. Found {', '.join(path.name for path in all_files)}.")
    findings = Findings(root, dataset)
    # Before the images, so that errors in it are found at once.
    parts, named_in = zip(*(box_rows(path, findings) for path in files), strict=True)
    said = {row["path"] for row in findings.rows}
    for path, each in zip(files, named_in, strict=True):
        if each.is_empty() and str(path) not in said:
            findings.note("annotation_missing", f"{path.name} has a header and no box", path=path)
    findings.home = home_of(root, images)
    photos = findings.images(_located(findings.home, dataset, split))
    if photos.is_empty() and not later:
        raise DataError(
            f"{root}: no image folder found. Found {contents(root)}; expected images in images/, images/SPLIT/ or "
            "SPLIT/ beside the box files. To choose before anything is downloaded: `index … --download-later`."
        )
    named = pl.concat([each.with_columns(file=pl.lit(index)) for index, each in enumerate(named_in)])
    found = _image_of_each(named, photos, dataset)
    single = _without_copies(photos, found, findings)
    if single.height < photos.height:
        photos, found = single, _image_of_each(named, single, dataset)
    splits, remote = list(files.values()), None
    if later:
        place = root / "images" if images is None else findings.home
        found, absent, remote = absent_images(found, photos, splits, folders, place, findings.id_of(""))
        photos = pl.concat([photos, absent])
    if found.height and found["image_id"].null_count() == found.height:
        first, example = found["named"].sort()[0], "none" if photos.is_empty() else photos["path"].sort()[0]
        raise DataError(
            f"{root}: none of the {found.height} images in the box files is among the {photos.height} image files "
            f"(first: '{first}' against {example}). Do they belong together?"
        )
    owner = found.filter(pl.col("image_id").is_not_null()).group_by("image_id").agg(owner=pl.col("file").min())
    photos = _with_split(photos, owner, splits, split, alone=len(all_files) == 1)
    kept = found.join(owner, on="image_id", how="left", maintain_order="left")
    for row in _unplaced(kept, dataset, [path.name for path in files]).iter_rows(named=True):
        findings.note(row["problem"], row["detail"], row["image_id"])
    words = vocabulary(folders, findings)
    unit, tags = "corners as shares of the image, 0..1", image_labels(folders, kept)
    read = findings.data(photos, _boxes(parts, kept, photos), vocabulary=words, unit=unit, tags=tags)
    if remote is None:
        return read
    # After the boxes, which take the most memory while they are read.
    addresses = remote.join(photos.lazy(), on="image_id", how="semi", maintain_order="left").collect()
    return replace(read, remote=checked(addresses, REMOTE, f"{root}: remote"))


def _folders(root: Path) -> list[Path]:
    """Where box files, names and hierarchy may lie: the official tools' places, OIDv4's, FiftyOne's of each split."""
    own = [root, *(root / name for name in ("annotations", "metadata", "labels", "csv_folder"))]
    of_splits = [root / split / name for split in SPLITS for name in ("labels", "metadata")]
    return [folder for folder in (*own, *of_splits) if folder.is_dir()]


def _box_files(root: Path, folders: list[Path]) -> dict[Path, str | None]:
    """Each box file with the split that its name begins with: `oidv6-train-annotations-bbox.csv` is of "train"."""
    found = sorted(path for folder in folders for path in folder.glob(f"*{BOX_FILE}"))
    fiftyone = [path for folder in folders if (path := folder / "detections.csv").is_file()]
    if not found and not fiftyone:
        raise DataError(f"{root}: no box file. Found {contents(root)}; expected *{BOX_FILE} here or in annotations/.")
    prefixes = {path: path.name.removesuffix(BOX_FILE).rstrip("-_") for path in found}
    splits = {path: re.split(r"[-_]", prefix)[-1] or None for path, prefix in prefixes.items()}
    return splits | {path: next((part for part in path.parts[-3:-2] if part in SPLITS), None) for path in fiftyone}


def _located(root: Path, dataset: str, split: str | None) -> Iterator[tuple[str, str, str | None, None, None]]:
    """Every image with its id and the split that its folder tells; whole ids keep the folder."""
    homes = [root / name for name in ("images", *SPLITS) if (root / name).is_dir()] or [root]
    for home in homes:
        start = len(str(home)) + 1
        for path in image_paths(home):
            below = path[start : path.rindex(".")]
            first, _, rest = below.partition("/")
            folder = home.name if home.name in SPLITS and home != root else None
            if rest and first in SPLITS and dataset:
                folder, below = first, rest
            if folder is None or split in (None, folder):
                yield below, path, folder, None, None


def _image_of_each(named: pl.DataFrame, images: pl.DataFrame, dataset: str) -> pl.DataFrame:
    """`named` with image_id: of the same id, or else the same path without suffix, or else the same unique stem."""
    if images.is_empty():
        nothing = named.with_columns(image_id=pl.lit(None, pl.String)).select("named", "file", "boxes", "image_id")
        return nothing.sort("file", "named")
    files = images.select("image_id", key=pl.col("image_id").str.strip_prefix(f"{dataset}/" if dataset else ""))
    exact = named.join(files.rename({"key": "named"}), on="named", how="left")
    # Millions of ids are mostly spelt as the files are; only for the others is it worth to cut and compare.
    others = exact.filter(pl.col("image_id").is_null()).drop("image_id")
    if others.height:
        exact = pl.concat([exact.filter(pl.col("image_id").is_not_null()), _image_of_path(others, named, files)])
    return exact.select("named", "file", "boxes", "image_id").sort("file", "named")


def _image_of_path(others: pl.DataFrame, named: pl.DataFrame, files: pl.DataFrame) -> pl.DataFrame:
    """`others` with image_id by path or stem, as in `_image_of_each`; `named` are all ids in the files."""
    suffixes = "|".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
    path = pl.col("named").str.replace_all("\\", "/", literal=True).str.replace(r"^\.?/+", "")
    bare = path.str.replace(rf"(?i)\.(?:{suffixes})$", "")
    stem = bare.str.split("/").list.last()
    # A stem tells an image only where it is the only one of that name on both sides.
    twice = named.select(bare=bare, stem=stem).unique().filter(pl.col("stem").is_duplicated())["stem"].unique()
    stems = files.with_columns(key=pl.col("key").str.split("/").list.last()).filter(pl.col("key").is_unique())
    stems = stems.filter(~pl.col("key").is_in(twice.implode()))
    others = others.with_columns(bare=bare, stem=stem)
    for column, keys in (("bare", files), ("stem", stems)):
        others = others.join(keys.rename({"key": column, "image_id": f"by_{column}"}), on=column, how="left")
    return others.select("named", "boxes", "file", image_id=pl.coalesce("by_bare", "by_stem"))


def _without_copies(images: pl.DataFrame, found: pl.DataFrame, findings: Findings) -> pl.DataFrame:
    """The images without further copies of one that the box files name: some tools put it in each class's folder."""
    lost = found.filter(pl.col("image_id").is_null()).select(stem=pl.col("named").str.split("/").list.last())
    if lost.is_empty():
        return images
    stems = images.select("image_id", "path", stem=pl.col("image_id").str.split("/").list.last())
    several = stems.filter(pl.col("stem").is_duplicated()).join(lost.unique(), on="stem", how="semi").sort("path")
    copies = []
    for _, group in several.group_by("stem", maintain_order=True):
        first, *others = group["path"]
        if all(filecmp.cmp(first, other, shallow=False) for other in others):
            copies += others
            for image_id, path in group.select("image_id", "path").rows()[1:]:
                findings.note("duplicate_id", f"a copy of {first}, which was kept", image_id, path)
    return images.filter(~pl.col("path").is_in(copies))


def _with_split(
    images: pl.DataFrame, owner: pl.DataFrame, splits: list[str | None], split: str | None, alone: bool
) -> pl.DataFrame:
    names = pl.DataFrame({"owner": range(len(splits)), "named_in": splits}, {"owner": pl.Int32, "named_in": pl.String})
    joined = images.join(owner, on="image_id", how="left", maintain_order="left").join(
        names, on="owner", how="left", maintain_order="left"
    )
    # With a single box file there is nothing else that an image could belong to.
    told = pl.coalesce("split", "named_in", pl.lit(splits[0] if alone else None, pl.String))
    images = joined.with_columns(split=told).select(images.columns)
    return images if split is None else images.filter(pl.col("split") == split)


def _boxes(parts: Sequence[pl.LazyFrame], kept: pl.DataFrame, images: pl.DataFrame) -> pl.LazyFrame:
    wanted = kept.filter(pl.col("file") == pl.col("owner")).lazy().select("named", "file", "image_id")
    sized = wanted.join(sizes_of(images), on="image_id", how="left").cast({"named": pl.Categorical})
    raw = [
        rows.join(
            sized.filter(pl.col("file") == index).drop("file"), on="named", how="inner", maintain_order="left"
        ).drop("named")
        for index, rows in enumerate(parts)
    ]
    return pl.concat(raw, how="diagonal")


def _unplaced(kept: pl.DataFrame, dataset: str, names: list[str]) -> pl.DataFrame:
    """A problem for each image that is not on disk, and for each whose boxes another file gives already."""
    lost = kept.filter(pl.col("image_id").is_null() | (pl.col("file") != pl.col("owner")))
    file_name = pl.col("file").replace_strict(list(range(len(names))), names, return_dtype=pl.String)
    prefix = pl.lit(f"{dataset}/" if dataset else "")
    missing = pl.col("image_id").is_null()
    left_out = pl.format("{} boxes of {} were left out with it", "boxes", file_name)
    return lost.select(
        pl.coalesce("image_id", prefix + pl.col("named")).alias("image_id"),
        pl.when(missing).then(pl.lit("image_missing")).otherwise(pl.lit("duplicate_id")).alias("problem"),
        pl.when(missing)
        .then(pl.format("no image file, or more than one, has this name; {}", left_out))
        .otherwise(pl.format("an earlier box file names it too; {}", left_out))
        .alias("detail"),
    )
