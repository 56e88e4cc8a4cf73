"""The chosen images and their boxes, written in forms that other tools read."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Literal

import polars as pl
from PIL import Image

from thresher.data.dataset import contents, size_px
from thresher.data.sources import image_bytes, opened, split_address
from thresher.errors import DataError
from thresher.files import disk_errors, replacing
from thresher.tables import BOXES

#: How the images come into a folder: as symbolic links, as copies, or not at all.
Images = Literal["link", "copy", "none"]

#: What an exporter is given. `chosen`: image_id, path, dataset, split, width_px, height_px, rank, score, why_text.
#: `boxes`: the rows of the boxes table for these images. Then what labels are called, the file or folder to write, and
#: how images come into it. Single files hold no boxes and pay no heed to the last.
Exporter = Callable[[pl.DataFrame, pl.DataFrame, Mapping[str, str], Path, Images], None]

#: A folder that holds this file was written here, and may be replaced.
MARKER = ".thresher-export"
LIST_COLUMNS = ("image_id", "rank", "score", "path", "dataset", "split", "width_px", "height_px")
#: Attributes of a COCO annotation as `readers.coco` understands them, and their columns.
ATTRIBUTES = {
    "occluded": "is_occluded",
    "truncated": "is_truncated",
    "depiction": "is_depiction",
    "inside": "is_inside",
}
OPEN_IMAGES_FLAGS = {
    "IsOccluded": "is_occluded",
    "IsTruncated": "is_truncated",
    "IsGroupOf": "is_group",
    "IsDepiction": "is_depiction",
    "IsInside": "is_inside",
}


def write_csv(chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images) -> None:
    """One CSV with a row per image: image_id, rank, score, path, dataset, split, width_px, height_px, why."""
    with replacing(_free_file(out)) as file:
        _listed(chosen).write_csv(file)


def write_txt(chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images) -> None:
    """One text file with the absolute path of an image per line, best first."""
    with replacing(_free_file(out)) as file:
        file.write("".join(f"{path}\n" for path in _listed(chosen)["path"]).encode())


def write_parquet(
    chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images
) -> None:
    """One Parquet file with the columns of the CSV, typed."""
    with replacing(_free_file(out)) as file:
        _listed(chosen).write_parquet(file, compression="zstd")


def write_coco(chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images) -> None:
    """A folder with annotations/instances_selection.json and images/, which `readers.coco` reads back.

    Images carry "thresher_id", "rank" and "score"; a category is a label, its supercategory the class. With `images`
    "none", file names are absolute paths.

    Raises:
        DataError: `out` holds other things, an image is gone, or its size is neither known nor readable.

    Source: https://cocodataset.org/#format-data
    """
    chosen, boxes = _ordered(chosen, boxes)
    with _replaced_folder(out, chosen) as folder:
        files = _placed(chosen, folder, images)
        path = folder / "annotations" / "instances_selection.json"
        path.parent.mkdir()
        content = _coco(chosen, boxes, names, files)
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_open_images(
    chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images
) -> None:
    """A folder with train-annotations-bbox.csv, class-descriptions-boxable.csv and images/, for `readers.open_images`.

    The layout has no place for paths: with `images` "none" it is complete once the images are put into images/.

    Raises:
        DataError: `out` holds other things, or an image is gone.

    Source: https://storage.googleapis.com/openimages/web/download_v7.html, "Boxes": flags are 1, 0, and -1 for unknown.
    """
    chosen, boxes = _ordered(chosen, boxes)
    corners = {"XMin": "x0", "XMax": "x1", "YMin": "y0", "YMax": "y1"}
    table = boxes.select(
        pl.col("image_id").alias("ImageID"),
        pl.lit("thresher").alias("Source"),
        pl.col("label").alias("LabelName"),
        pl.lit(1).alias("Confidence"),
        *(pl.col(column).cast(pl.Float64).round(9).alias(name) for name, column in corners.items()),
        *(pl.col(column).cast(pl.Int8).fill_null(-1).alias(name) for name, column in OPEN_IMAGES_FLAGS.items()),
    )
    labels = sorted(boxes["label"].unique())
    described = pl.DataFrame({"LabelName": labels, "DisplayName": [names.get(label) or label for label in labels]})
    with _replaced_folder(out, chosen) as folder:
        _placed(chosen, folder, images)
        table.write_csv(folder / "train-annotations-bbox.csv", float_scientific=False)
        described.write_csv(folder / "class-descriptions-boxable.csv")


FORMATS: Mapping[str, Exporter] = {
    "csv": write_csv,
    "txt": write_txt,
    "parquet": write_parquet,
    "coco": write_coco,
    "open_images": write_open_images,
}


def _listed(chosen: pl.DataFrame) -> pl.DataFrame:
    return chosen.sort("rank").select(*LIST_COLUMNS, pl.col("why_text").alias("why"))


def _ordered(chosen: pl.DataFrame, boxes: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both by rank, boxes then by all they hold: the same choice is the same bytes whatever order it came in."""
    ranked = boxes.select(list(BOXES)).join(chosen.select("image_id", "rank"), on="image_id", how="inner")
    return chosen.sort("rank"), ranked.sort("rank", *BOXES, nulls_last=True).drop("rank")


def _coco(
    chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], files: dict[str, str]
) -> dict[str, object]:
    entries: list[dict[str, object]] = []
    image_of: dict[str, tuple[int, int, int]] = {}
    for number, row in enumerate(chosen.iter_rows(named=True), start=1):
        known = row["width_px"] and row["height_px"]
        width, height = (row["width_px"], row["height_px"]) if known else size_px(Path(row["path"]))
        image_of[row["image_id"]] = (number, width, height)
        entry = {"id": number, "file_name": files[row["image_id"]], "width": width, "height": height}
        entries.append({**entry, "thresher_id": row["image_id"], "rank": row["rank"], "score": row["score"]})
    classes = boxes.group_by("label").agg(pl.col("class").drop_nulls().min()).sort("label")
    categories = [
        {"id": number, "name": label, "supercategory": group or "none", "display_name": names.get(label) or label}
        for number, (label, group) in enumerate(classes.iter_rows(), start=1)
    ]
    category_of = {category["name"]: category["id"] for category in categories}
    annotations = [
        {"id": number, "category_id": category_of[row["label"]], **_annotation(row, *image_of[row["image_id"]])}
        for number, row in enumerate(boxes.iter_rows(named=True), start=1)
    ]
    info = {"description": "Images chosen by thresher, best first"}
    return {"info": info, "images": entries, "annotations": annotations, "categories": categories}


def _annotation(box: dict[str, object], image: int, width: int, height: int) -> dict[str, object]:
    x0, y0, x1, y1 = (float(str(box[name])) for name in ("x0", "y0", "x1", "y1"))
    across, down = (x1 - x0) * width, (y1 - y0) * height
    attributes = {name: box[column] for name, column in ATTRIBUTES.items() if box[column] is not None}
    if box["is_group"] is None:
        attributes["group"] = None  # iscrowd is 0 or 1 to every tool and cannot say "unknown"
    return {
        "image_id": image,
        "bbox": [round(value, 4) for value in (x0 * width, y0 * height, across, down)],
        "area": round(across * down, 4),
        "iscrowd": int(bool(box["is_group"])),
        "attributes": attributes,
    }


def _placed(chosen: pl.DataFrame, folder: Path, images: Images) -> dict[str, str]:
    """The file name of each image, once it is a link or a copy in `folder`/images; absolute if it is neither."""
    paths = dict(chosen.select("image_id", "path").iter_rows())
    if images == "none":
        return paths
    packed = [path for path in paths.values() if split_address(path) is not None]
    if packed and images == "link":
        raise DataError(
            f"{len(packed)} of {len(paths)} chosen images lie in archives (first: {packed[0]}) and cannot be linked. "
            "Copy them out with --images copy, or only name them with --images none."
        )
    gone = [path for path in set(paths.values()) - set(packed) if not Path(path).is_file()]
    if gone:
        raise DataError(f"{len(gone)} of {len(paths)} chosen images are gone (first: {gone[0]}). Index the data again.")
    files: dict[str, str] = {}
    for image_id, path in paths.items():
        if PurePosixPath(image_id).is_absolute() or ".." in PurePosixPath(image_id).parts:
            raise DataError(f"image_id '{image_id}' leads out of the folder that it names a file in. Rename the image.")
        files[image_id] = f"{image_id}{_suffix(path)}"
        target = folder / "images" / files[image_id]
        target.parent.mkdir(parents=True, exist_ok=True)
        if images == "link":
            target.symlink_to(path)
        elif split_address(path) is not None:
            target.write_bytes(image_bytes(path))
        else:
            shutil.copyfile(path, target)
    return files


def _suffix(path: str) -> str:
    """What an image's file name ends with; a row of a Parquet file has no name, so there its content tells."""
    address = split_address(path)
    if address is None or address[0].endswith(".tar"):
        return Path(path).suffix
    try:
        with opened(path) as file, Image.open(file) as image:
            return f".{(image.format or '').lower()}".replace(".jpeg", ".jpg")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: the image header cannot be read. Leave it out of the export.") from error


def _free_file(out: Path) -> Path:
    if out.is_dir():
        raise DataError(f"{out}: is a folder; expected the name of a file to write.")
    return out


@contextlib.contextmanager
def _replaced_folder(out: Path, chosen: pl.DataFrame) -> Iterator[Path]:
    """A new folder that takes the place of `out` when the block ends well, and vanishes when it does not."""
    out = Path(os.path.abspath(out))
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise DataError(f"{out}: is a file or a link; expected the name of a folder to write.")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise DataError(f"{out}: holds {contents(out)}, not written by an export. Name another folder or empty it.")
    inside = [path for path in chosen["path"] if Path(path).is_relative_to(out)]
    if inside:
        raise DataError(f"{out}: {len(inside)} chosen images lie in it (first: {inside[0]}). Name another folder.")
    for leftover in out.parent.glob(f".{glob.escape(out.name)}.{'[0-9a-f]' * 8}.*"):
        # Of an export that was killed; the marker tells it from what is not ours.
        if (leftover / MARKER).is_file():
            shutil.rmtree(leftover)
    new, old = (out.with_name(f".{out.name}.{secrets.token_hex(4)}.{word}") for word in ("new", "old"))
    new.mkdir(parents=True)
    try:
        (new / MARKER).write_text("Written by thresher; a later export may replace this folder.\n", encoding="utf-8")
        with disk_errors(out):
            yield new
        if out.exists():
            out.rename(old)
        new.rename(out)
    finally:
        for leftover in (new, old):
            if leftover.exists():
                shutil.rmtree(leftover)
