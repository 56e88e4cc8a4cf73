"""Helpers of exporters: image files, the order of rows, and atomic writing of folders."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import polars as pl

from thresher.data.dataset import contents, size_px
from thresher.data.exports.marker import MARKER, refuse_changed, write_marker
from thresher.data.image_files import opened_image
from thresher.data.sources import image_bytes, opened, split_address
from thresher.errors import DataError
from thresher.files import disk_errors
from thresher.tables import BOXES, SCORES

#: Whether a folder gets symbolic links to images, copies, or none.
Images = Literal["link", "copy", "none"]

#: What an exporter is given. `chosen`: image_id, path, dataset, split, width_px, height_px, rank, score, why_text;
#: for some formats (see `exports.WITH_SCORES`) also the columns of the scores table, where present.
#: `boxes`: the rows of the boxes table for these images. Then names of labels, the file or folder to write, and
#: `Images`. Lists hold no boxes and ignore the last.
Exporter = Callable[[pl.DataFrame, pl.DataFrame, Mapping[str, str], Path, Images], None]


def ordered(chosen: pl.DataFrame, boxes: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both sorted by rank, boxes then by all columns, so that equal selections give equal bytes."""
    ranked = boxes.select(list(BOXES)).join(chosen.select("image_id", "rank"), on="image_id", how="inner")
    return chosen.sort("rank", "image_id", nulls_last=True), ranked.sort("rank", *BOXES, nulls_last=True).drop("rank")


def score_columns(chosen: pl.DataFrame) -> list[str]:
    """The columns of the scores table that are present and not all null, in that table's order."""
    return [name for name in SCORES if name != "image_id" and name in chosen.columns and chosen[name].count()]


def readable_labels(boxes: pl.DataFrame, names: Mapping[str, str]) -> dict[str, str]:
    """Unique display names of labels: the name, followed by the label if two share a name.

    >>> readable_labels(pl.DataFrame({"label": ["/m/1", "/m/2", "car"]}), {"/m/1": "Car", "/m/2": "Car"})
    {'/m/1': 'Car (/m/1)', '/m/2': 'Car (/m/2)', 'car': 'car'}
    """
    called = {label: names.get(label) or label for label in sorted(boxes["label"].unique())}
    uses = Counter(called.values())
    return {label: name if uses[name] == 1 else f"{name} ({label})" for label, name in called.items()}


def boxes_by_image(boxes: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """The rows of each image with boxes, in their order."""
    parts = boxes.partition_by("image_id", as_dict=True, maintain_order=True)
    return {str(key[0]): part.to_dicts() for key, part in parts.items()}


def upright_size(row: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of an image of `chosen` in pixels, from the table, else from the file header.

    Raises:
        DataError: neither has them.
    """
    if row["width_px"] and row["height_px"]:
        return row["width_px"], row["height_px"]
    return size_px(Path(row["path"]))


def file_names(chosen: pl.DataFrame, images: Images) -> dict[str, str]:
    """The file name of each image below a folder of images: its id and a suffix; its full path for "none".

    Raises:
        DataError: an image no longer exists, is in an archive and cannot be linked, or its id leads out of the folder.
    """
    paths = dict(chosen.select("image_id", "path").iter_rows())
    if images == "none":
        return paths
    packed = {path for path in paths.values() if split_address(path) is not None}
    if packed and images == "link":
        raise DataError(
            f"{len(packed)} of {len(paths)} chosen images are in archives (first: {min(packed)}) and cannot be linked. "
            "Copy them out with --images copy, or only name them with --images none."
        )
    gone = sorted(path for path in set(paths.values()) - packed if not Path(path).is_file())
    if gone:
        raise DataError(
            f"{len(gone)} of {len(paths)} chosen images no longer exist (first: {gone[0]}). Run `thresher index` again."
        )
    for image_id in paths:
        if PurePosixPath(image_id).is_absolute() or ".." in PurePosixPath(image_id).parts:
            raise DataError(f"image_id '{image_id}' leads out of the export's folder. Rename the image.")
    return {image_id: f"{image_id}{_suffix(path)}" for image_id, path in paths.items()}


def placed(chosen: pl.DataFrame, folder: Path, images: Images) -> dict[str, str]:
    """The file name of each image, once it is a link or a copy in `folder`; absolute if it is neither.

    Raises:
        DataError: as `file_names`.
    """
    files = file_names(chosen, images)
    placed_as(chosen, files, folder, images)
    return files


def placed_as(chosen: pl.DataFrame, files: Mapping[str, str], folder: Path, images: Images) -> None:
    """Links or copies of the images in `folder`, called as `files` says; with "none" nothing.

    Raises:
        DataError: an image in an archive cannot be read.
    """
    if images == "none":
        return
    for image_id, path in chosen.select("image_id", "path").iter_rows():
        target = folder / files[image_id]
        target.parent.mkdir(parents=True, exist_ok=True)
        if images == "link":
            target.symlink_to(path)
        elif split_address(path) is not None:
            target.write_bytes(image_bytes(path))
        else:
            shutil.copyfile(path, target)


def write_json(content: object, path: Path) -> None:
    """Write into a folder that is new; the folder's own replacement makes it whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _suffix(path: str) -> str:
    """What an image's file name ends with; a row of a Parquet file has no name, so there its content tells."""
    address = split_address(path)
    if address is None or address[0].endswith(".tar"):
        return Path(path).suffix
    try:
        with opened(path) as file, opened_image(file) as image:
            return f".{(image.format or '').lower()}".replace(".jpeg", ".jpg")
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path}: the image header cannot be read. Leave it out of the export.") from error


def free_file(out: Path) -> Path:
    """`out`, after checking that it is not a folder.

    Raises:
        DataError: it is one.
    """
    if out.is_dir():
        raise DataError(f"{out}: is a folder; expected the name of a file to write.")
    return out


@contextlib.contextmanager
def replaced_folder(out: Path, chosen: pl.DataFrame) -> Iterator[Path]:
    """A new folder that takes the place of `out` when the block ends well, and vanishes when it does not.

    Raises:
        DataError: `out` is a file, holds things that no export wrote or that were changed since, or chosen images.
    """
    out = Path(os.path.abspath(out))
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise DataError(f"{out}: is a file or a link; expected the name of a folder to write.")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise DataError(f"{out}: holds {contents(out)}, not written by an export. Name another folder or empty it.")
    if out.is_dir():
        refuse_changed(out)
    inside = [path for path in chosen["path"] if Path(path).is_relative_to(out)]
    if inside:
        raise DataError(f"{out}: {len(inside)} chosen images lie in it (first: {inside[0]}). Name another folder.")
    for leftover in out.parent.glob(f".{glob.escape(out.name)}.{'[0-9a-f]' * 8}.*"):
        # Left by an export that was killed, as its marker shows.
        if (leftover / MARKER).is_file():
            shutil.rmtree(leftover)
    new, old = (out.with_name(f".{out.name}.{secrets.token_hex(4)}.{word}") for word in ("new", "old"))
    new.mkdir(parents=True)
    try:
        (new / MARKER).touch()
        with disk_errors(out):
            yield new
            write_marker(new)
        if out.exists():
            out.rename(old)
        new.rename(out)
    finally:
        for leftover in (new, old):
            if leftover.exists():
                shutil.rmtree(leftover)
