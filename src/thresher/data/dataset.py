"""The result of every reader, and the helpers that readers share."""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from thresher.data.faults import shown, storable
from thresher.data.image_files import decoding, opened_image, orientation
from thresher.data.sources import opened
from thresher.errors import DataError
from thresher.tables import BOXES, IMAGES, MASKS, PROBLEMS, REMOTE, TAGS, VOCABULARY, checked, empty

_ROWS_AT_ONCE = 100_000
IMAGE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jfif",
        ".jpe",
        ".png",
        ".bmp",
        ".gif",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".tga",
        ".pgm",
        ".jp2",
        ".avif",
    }
)
#: No side of an image is longer; a stated size beyond it is a mistake, and read from the image itself.
LONGEST_SIDE_PX = 1_000_000
#: An annotation of one image that is longer is something else.
_MOST_BYTES = 64 << 20
_LONGEST_LABEL = 1_000
#: Id in its source, file, split, width and height in pixels.
Entry = tuple[str, Path | str, str | None, int | None, int | None]

#: EXIF orientations that swap width and height.
#: Source: CIPA DC-008-2019 (Exif 2.32), tag 0x0112.
QUARTER_TURNS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True)
class Outlined:
    """A mask to be drawn from outlined objects."""

    image_id: str
    path: str
    """The image, whose size counts where none is stated."""
    size: tuple[int, int] | None
    """Width and height in pixels."""
    things: Sequence[tuple[str | None, Any]]
    """Label and COCO `segmentation` (polygons, or run lengths) of each; None where only its box is known."""
    in_shares: bool = False
    """Whether polygons are in shares of the image, not in pixels."""


@dataclass(frozen=True)
class Coded:
    """A mask to be drawn from a label image whose values have names."""

    image_id: str
    path: str
    """The label image."""
    labels: Mapping[int, str]
    """The label of each value, or of each colour (red · 65,536 + green · 256 + blue); empty: the taxonomy's colours."""
    by_colour: bool = False
    divisor: int = 1
    """Values are divided by it first: 256 where the lower byte counts instances."""
    named_by: str = ""
    """Where the labels stand, for errors."""


@dataclass(frozen=True)
class Dataset:
    """The tables of one source; no pixels.

    `images` plus the image-level rows of `problems` account for every image file found.
    `vocabulary` is empty where labels are readable names.
    """

    images: pl.DataFrame
    boxes: pl.DataFrame = field(default_factory=lambda: empty(BOXES))
    masks: pl.DataFrame = field(default_factory=lambda: empty(MASKS))
    problems: pl.DataFrame = field(default_factory=lambda: empty(PROBLEMS))
    vocabulary: pl.DataFrame = field(default_factory=lambda: empty(VOCABULARY))
    unlisted: Mapping[str, int] = field(default_factory=dict)
    """Problems of each kind beyond those that have a row: of a million bad lines the first thousands are enough."""
    drawings: Sequence[Outlined | Coded] = ()
    """Masks that are not yet in the taxonomy's classes; `data.drawn_masks` writes them."""
    remote: pl.DataFrame = field(default_factory=lambda: empty(REMOTE))
    """Where the images are to be had that are listed and not on disk."""
    tags: pl.DataFrame = field(default_factory=lambda: empty(TAGS))
    """What is said of whole images; `class` is null until `index` maps the labels."""

    def checked(self, where: str) -> Dataset:
        """The same dataset, after checking its tables against their schemas.

        Raises:
            DataError: columns differ from the schema, or an image_id repeats.
        """
        return Dataset(
            images=checked(self.images, IMAGES, f"{where}: images", key="image_id"),
            boxes=checked(self.boxes, BOXES, f"{where}: boxes"),
            masks=checked(self.masks, MASKS, f"{where}: masks", key="image_id"),
            problems=checked(self.problems, PROBLEMS, f"{where}: problems"),
            vocabulary=checked(self.vocabulary, VOCABULARY, f"{where}: vocabulary", key="label"),
            unlisted=self.unlisted,
            drawings=self.drawings,
            remote=checked(self.remote, REMOTE, f"{where}: remote"),
            tags=checked(self.tags, TAGS, f"{where}: tags"),
        )


def qualified_id(dataset: str, source_id: str) -> str:
    """The run-wide id of an image: `dataset/source_id`; with an empty dataset the source's id is already complete.

    >>> qualified_id("kitti", "000000"), qualified_id("", "kitti/000000")
    ('kitti/000000', 'kitti/000000')
    """
    return f"{dataset}/{source_id}" if dataset else source_id


def dataset_of(dataset: str, source_id: str) -> str:
    """The dataset of an image: the reader's name for it, else the first part of a complete id."""
    return dataset or source_id.split("/", 1)[0]


def existing_folder(root: Path, what: str) -> Path:
    """`root`, after checking that it is a folder.

    Raises:
        DataError: it does not exist, or is a file.
    """
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise DataError(f"{root}: expected a folder ({what}), found {found}.")
    return root


def existing_place(root: Path, what: str) -> Path:
    """`root`, after checking that it exists.

    Raises:
        DataError: it does not exist.
    """
    if not root.exists():
        raise DataError(f"{root}: expected a file, or a folder {what}; found nothing.")
    return root


def image_files(root: Path) -> list[Path]:
    """All image files under `root`, at any depth, by suffix, sorted by path; without hidden ones.

    Raises:
        DataError: a folder cannot be listed.
    """
    return [Path(path) for path in image_paths(root)]


def image_paths(root: Path) -> list[str]:
    """`image_files` as strings, since a `Path` for each of millions of files would take a gigabyte."""
    found = []
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=_not_listed):
        subfolders[:] = [name for name in subfolders if not _is_stray(name) and not _leads_back(folder, name)]
        found += [
            os.path.join(folder, name)
            for name in names
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
        ]
    return sorted(found)


def _is_stray(folder: str) -> bool:
    # macOS puts a second, hidden tree into the zips that it makes.
    return folder.startswith(".") or folder == "__MACOSX"


def _not_listed(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed ({error.strerror}). Make the folder readable.") from error


def _leads_back(folder: str, name: str) -> bool:
    # A link to one of its own parent folders would be followed without end.
    path = Path(folder, name)
    return path.is_symlink() and Path(folder).resolve().is_relative_to(path.resolve())


def contents(folder: Path) -> str:
    """The direct contents of `folder`, for error messages: `images/, labels/, data.yaml`; at most 12 names."""
    names = sorted(child.name + ("/" if child.is_dir() else "") for child in folder.iterdir())
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return (", ".join(names[:12]) or "nothing") + more


def size_px(path: Path) -> tuple[int, int]:
    """Width and height of the upright image in pixels, from the file header.

    An EXIF orientation of a quarter turn swaps the two, since boxes without a size were drawn on the upright image.

    Raises:
        DataError: not an image, or cut off before its header ends.
    """
    with decoding(path, "image header"), opened(path) as file, opened_image(file) as image:
        return (image.height, image.width) if _is_turned(image) else image.size


def _is_turned(image: Image.Image) -> bool:
    # For a PNG, Pillow would decode all pixels to find EXIF data after them.
    if image.format == "PNG" and "exif" not in image.info:
        return False
    return orientation(image) in QUARTER_TURNS


def stated_px(width: object, height: object) -> tuple[int, int] | None:
    """The size that an annotation states, in pixels; None if it is none that an image can have.

    >>> stated_px(640, 480.0), stated_px("640", "480"), stated_px(0, 480), stated_px(3_000_000_000, 1)
    ((640, 480), (640, 480), None, None)
    """
    sides = []
    for side in (width, height):
        if isinstance(side, str) and side.strip().isdecimal():
            side = float(side[:20])  # noqa: PLW2901
        if not isinstance(side, int | float) or isinstance(side, bool) or not 1 <= side <= LONGEST_SIDE_PX:
            return None
        sides.append(int(side))
    return sides[0], sides[1]


def label_text(label: object) -> str:
    """A label as a table holds it.

    Raises:
        ValueError: no text and no number, or of more than 1,000 characters.

    >>> label_text("car"), label_text(3), label_text("half\\ud800")
    ('car', '3', 'half\\\\ud800')
    """
    if not isinstance(label, str | int | float) or isinstance(label, bool):
        raise ValueError(f"the label is {shown(label)}; expected a text")
    text = storable(str(label))
    if len(text) > _LONGEST_LABEL:
        raise ValueError(f"the label has {len(text):,} characters; expected at most {_LONGEST_LABEL:,}")
    return text


def annotation_bytes(path: Path) -> bytes:
    """What a file with the annotation of one image holds.

    Raises:
        DataError: no plain file, or longer than any such annotation.
        OSError: it cannot be read.
    """
    # A pipe would otherwise wait for somebody to write to it.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise DataError(f"no file of at most {_MOST_BYTES >> 20} MiB, as the annotation of one image is")
        return file.read()


def visible(paths: Iterable[Path], root: Path) -> list[Path]:
    """The paths without hidden files, and those in hidden folders below `root`: `._a.txt`, `__MACOSX/`, `.vscode/`.

    macOS, editors and notebooks leave them beside the data.
    """
    start = len(str(root))
    return [path for path in paths if "/." not in str(path)[start:] and "/__MACOSX/" not in str(path)[start:]]


def source_id_of(path: Path, root: Path) -> str:
    """The path below `root` without its suffix, with forward slashes: `train/0001TP_006690`."""
    return path.relative_to(root).with_suffix("").as_posix()


def problem(
    problem: str, detail: str, image_id: str | None = None, path: Path | str | None = None
) -> dict[str, object]:
    """A row of the problems table."""
    return {
        "image_id": None if image_id is None else storable(image_id),
        "path": None if path is None else storable(str(path)),
        "stage": "index",
        "problem": problem,
        "detail": storable(detail),
    }


def images_table(files: Iterable[Entry], dataset: str) -> tuple[pl.DataFrame, list[dict[str, object]]]:
    """The images table from (source id, path, split, width, height), and a problem row for each file left out.

    Two files with one source id (`a.jpg` and `a.png`) cannot be distinguished by annotations: the first in path order
    is kept. A file name that is not UTF-8 cannot be stored in a table.
    """
    problems: list[dict[str, object]] = []

    def in_utf8() -> Iterator[tuple[object, ...]]:
        for source_id, path, split, width, height in files:
            if storable(f"{source_id}{path}") == f"{source_id}{path}":
                home = dataset_of(dataset, source_id)
                yield qualified_id(dataset, source_id), os.path.abspath(path), home, split, width, height
            else:
                problems.append(problem("name_not_utf8", "the file name is not UTF-8; rename it", path=path))

    found = in_utf8()
    parts = [empty(IMAGES)]
    # In batches, since Python objects take ten times the memory of a table.
    while rows := list(itertools.islice(found, _ROWS_AT_ONCE)):
        parts.append(pl.DataFrame(rows, schema=dict(IMAGES), orient="row"))
    table = pl.concat(parts)
    first = table["image_id"].is_first_distinct()
    if not first.all():
        kept = table.filter(first).select("image_id", kept="path")
        for row in table.filter(~first).join(kept, on="image_id", maintain_order="left").iter_rows(named=True):
            detail = f"{row['kept']} has the same image id and was kept"
            problems.append(problem("duplicate_id", detail, row["image_id"], row["path"]))
    return table.filter(first), problems
