"""Annotation files that name their images: found, read, and made into the tables."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from thresher.data.dataset import (
    IMAGE_SUFFIXES,
    Dataset,
    Entry,
    Outlined,
    contents,
    existing_place,
    source_id_of,
    visible,
)
from thresher.data.faults import listed, refusing
from thresher.data.findings import Findings, Place, Row, absolute
from thresher.data.readers.coco_json import split_of
from thresher.data.readers.named_files import ImageFiles, ToCome, bare_id, folders_of, home_of, spelt_path
from thresher.errors import DataError

Corners = tuple[float, float, float, float]
#: Of the polygon that stands for an ellipse.
_CORNERS = 72


class Marked(NamedTuple):
    """An object that was marked without its area."""

    label: str
    is_point: bool
    """Marked by points, each shape of which is one object; else the label is said of the whole image."""


@dataclass(frozen=True)
class Annotated:
    """What an annotation file says of one image."""

    name: str
    """The image, as the file spells it."""
    objects: Sequence[Any]
    """As they stand in the file."""
    place: str
    """Where that is: "train.json: image 3"."""
    size: tuple[int, int] | None = None
    split: str | None = None
    address: str | None = None
    """Where the image is to be had, if the name is not that address itself."""


def annotation_files(root: Path, split: str | None, suffix: str) -> list[tuple[Path, str | None]]:
    """The files with this ending at `root`, a file or a folder searched at any depth, each with its split.

    The split is what the name ends with (`det_train.json`), or else the folder that bears the name asked for.

    Raises:
        DataError: none there, or none of the split.
    """
    existing_place(root, f"with {suffix} files and images")
    if root.is_file():
        return [(root, split)]
    found = visible(sorted(root.rglob(f"*{suffix}")), root)
    if not found:
        raise DataError(f"{root}: no {suffix} file. Found {contents(root)}.")
    splits = [(path, split if split in path.relative_to(root).parts[:-1] else split_of(path)) for path in found]
    chosen = [(path, of) for path, of in splits if split in (None, of, path.stem)]
    if not chosen:
        names = ", ".join(str(path.relative_to(root)) for path in found[:6])
        raise DataError(f"{root}: no {suffix} file of split '{split}'. Found {names}.")
    return [(path, of or split) for path, of in chosen]


def loaded(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DataError: it cannot be read.
    """
    with refusing(f"{path}: not readable as JSON", "Download or export the file again."):
        return json.loads(path.read_bytes())


def unknown_shape(root: Path, found: Iterable[str], expected: str) -> DataError:
    """The error that no file is of the format; says what was seen."""
    seen = "; ".join(list(found)[:4])
    return DataError(f"{root}: no file of this format. Found {seen or 'nothing'}; expected {expected}.")


def seen_in(path: Path, content: object) -> str:
    """What a JSON file holds, in some words: "a.json with a list of 3", "b.json with keys x, y"."""
    if isinstance(content, dict):
        return f"{path.name} with the keys {listed(list(content)[:6])}"
    return f"{path.name} with {f'a list of {len(content)}' if isinstance(content, list) else 'no object'}"


def place_in(path: Path, what: str) -> Callable[[int], Place]:
    """Places of numbered items of a file."""
    return lambda number: Place(f"{path.name}: {what} {number}", path=path)


def around(points: Iterable[Sequence[Any]]) -> Corners:
    """The box around points [x, y].

    Raises:
        ValueError: no point.
    """
    pairs = [(float(point[0]), float(point[1])) for point in points]
    if not pairs:
        raise ValueError("no points")
    across, down = [x for x, _ in pairs], [y for _, y in pairs]
    return min(across), min(down), max(across), max(down)


def turned(corners: Corners, degrees: float, about: tuple[float, float]) -> Corners:
    """The upright box around a box that is turned clockwise about a point (y points down).

    >>> [round(value, 6) for value in turned((0, 0, 2, 1), 90, (0, 0))]
    [-1.0, 0.0, 0.0, 2.0]
    """
    x0, y0, x1, y1 = corners
    if not degrees:
        return corners
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    moved = [(x - about[0], y - about[1]) for x in (x0, x1) for y in (y0, y1)]
    return around((about[0] + x * cosine - y * sine, about[1] + x * sine + y * cosine) for x, y in moved)


def box(label: object, corners: Corners, outline: Any = None, **flags: object) -> Row:
    """A row of a box; `as_dataset` makes shares of the corners.

    Args:
        outline: Polygons of [x, y, x, y, …] in the unit of the corners, or COCO's run lengths of the whole image; None
            where only the box is known.
    """
    return {"label": label, "outline": outline, **dict(zip(("x0", "y0", "x1", "y1"), corners, strict=True)), **flags}


def polygon(points: Iterable[Sequence[Any]]) -> list[list[float]]:
    """The outline of points [x, y].

    >>> polygon([("1", 2), (3, 4)])
    [[1.0, 2.0, 3.0, 4.0]]
    """
    return [[float(value) for point in points for value in (point[0], point[1])]]


def ellipse(middle: tuple[float, float], radii: tuple[float, float], degrees: float = 0.0) -> list[list[float]]:
    """The outline of an ellipse, turned clockwise (y points down), as a polygon.

    >>> [round(value, 6) for value in ellipse((0, 0), (2, 1), 90)[0][:2]]
    [0.0, 2.0]
    """
    turn = math.radians(degrees)
    corners = [2 * math.pi * number / _CORNERS for number in range(_CORNERS)]
    along = [(radii[0] * math.cos(angle), radii[1] * math.sin(angle)) for angle in corners]
    cosine, sine = math.cos(turn), math.sin(turn)
    return polygon((middle[0] + x * cosine - y * sine, middle[1] + x * sine + y * cosine) for x, y in along)


def flag(value: object) -> bool | None:
    """A flag as it is stated; None where it is neither true nor false."""
    return value if isinstance(value, bool) else None


def as_dataset(
    found: list[Annotated],
    parse: Callable[[Any], Row | Marked | None],
    findings: Findings,
    expected: str,
    *,
    whole: float | None = None,
    others: bool = True,
    later: bool = False,
) -> Dataset:
    """The tables of annotated images.

    Images are looked for below the source's folder, as `ImageFiles.located` says; one that several entries name has
    the objects of all, and is listed as `duplicate_id`. Other images in the same folders stay, without boxes.

    Args:
        parse: Makes a row (`box`) of an object; `Marked` of a point and of what is said of the whole image; None of
            another that is no box, such as a line.
        expected: What an object must be.
        whole: What the far border of an image is in the rows' unit; None: its size in pixels.
        others: Keep images that no entry names.
        later: An image that is not on disk is one, too, if its address is known, and its size where boxes need it.

    Raises:
        DataError: none of the images is there, or most of the entries or objects cannot be read.
    """
    files = ImageFiles(findings.home)
    of_path: dict[str, list[Annotated]] = {}
    to_come = ToCome(findings.home)
    for each, (path, why) in zip(found, files.located([each.name for each in found]), strict=True):
        if path is None and later and whole is None and each.size is None and each.objects:
            why = f"{why}, and no size is stated, which its boxes need"  # noqa: PLW2901
        elif path is None and later:
            path, why = to_come.place(each.name, each.address or each.name, why)  # noqa: PLW2901
        if path is None:
            detail = f"{each.place} names '{each.name}', {why}; {len(each.objects)} objects were left out with it"
            findings.note("image_missing", detail, findings.id_of(bare_id(each.name)))
            continue
        of_path.setdefault(path, []).append(each)
    findings.judge()
    if not of_path:
        first = f"(first: {found[0].name!r:.120})" if found else ""
        raise DataError(
            f"{findings.root}: none of the {len(found)} images that the annotations name is there {first}. Found "
            f"{len(files.paths)} image files below {files.home}; say where else they lie by --images FOLDER, or, where "
            "they have addresses, choose before anything is downloaded: `index … --download-later`."
        )
    entries = _entries(of_path, files.home, whole is None, findings)
    entries += _others(of_path, files, findings) if others else []
    images = findings.images(entries)
    rows: list[Row] = []
    tags: list[Row] = []
    drawings: list[Outlined] = []
    for image_id, path, width, height in images.select("image_id", "path", "width_px", "height_px").iter_rows():
        ends = (whole, whole) if whole is not None else (width, height)
        mine = of_path.pop(path, [])
        found_rows, marked = _read_objects(mine, parse, findings, (image_id, path), ends, expected)
        tags += [{"image_id": image_id, "label": label, "objects": number} for label, number in _counted(marked)]
        things = [_thing(row, row.pop("outline"), ends, whole is not None) for row in found_rows]
        rows += found_rows
        if any(label is not None for label, _ in things):
            size = (width, height) if width is not None else None
            drawings.append(Outlined(image_id, path, size, things, in_shares=whole is not None))
    for path, lost in of_path.items():
        objects = sum(len(each.objects) for each in lost)
        if objects:
            findings.note("box_without_image", f"{objects} objects belong to this file, which was left out", path=path)
    return findings.data(images, rows, unit=expected, drawings=drawings, tags=tags, remote=to_come.table(images))


def _thing(row: Row, outline: Any, ends: tuple[float, float], in_shares: bool) -> tuple[str | None, Any]:
    """Label and outline of an object, for `Outlined`; where only its box is known, the box without a label."""
    if isinstance(outline, dict):
        return str(row["label"]), outline
    if outline is not None:
        shares = [[value / ends[place % 2] for place, value in enumerate(each)] for each in outline]
        return str(row["label"]), shares if in_shares else outline
    x0, y0, x1, y1 = (float(str(row[name])) for name in ("x0", "y0", "x1", "y1"))
    across, down = (1.0, 1.0) if in_shares else ends
    return None, [[x0 * across, y0 * down, x1 * across, y0 * down, x1 * across, y1 * down, x0 * across, y1 * down]]


def _entries(of_path: dict[str, list[Annotated]], home: Path, in_pixels: bool, findings: Findings) -> list[Entry]:
    """The named images with the sizes that their boxes need; one whose size cannot be known is listed."""
    entries: list[Entry] = []
    for path, named in of_path.items():
        source_id, objects = source_id_of(Path(path), home), sum(len(each.objects) for each in named)
        if len(named) > 1:
            places = " and ".join(each.place for each in named[:3])
            detail = f"{len(named)} entries name it ({places}); the objects of all were kept"
            findings.note("duplicate_id", detail, findings.id_of(source_id), path)
        size = next((each.size for each in named if each.size is not None), None)
        if size is None and objects and in_pixels:
            size = findings.size_of(path, findings.id_of(source_id), objects)
            if size is None:
                continue
        entries.append((source_id, path, named[0].split, *(size or (None, None))))
    return entries


def unnamed(named: Collection[str], files: ImageFiles) -> Iterator[str]:
    """The image files that nothing names, in the folders of those that are named."""
    known, homes = set(named), folders_of(named)
    for path in files.paths:
        if path not in known and os.path.dirname(path) in homes:  # noqa: PTH120 - of millions
            yield path


def _others(named: Collection[str], files: ImageFiles, findings: Findings) -> list[Entry]:
    entries: list[Entry] = []
    for path in unnamed(named, files):
        source_id = source_id_of(Path(path), files.home)
        findings.note("annotation_missing", "no annotation names this image", findings.id_of(source_id), path)
        entries.append((source_id, path, None, None, None))
    return entries


def _read_objects(
    named: list[Annotated],
    parse: Callable[[Any], Row | Marked | None],
    findings: Findings,
    image: tuple[str, str],
    ends: tuple[float, float],
    expected: str,
) -> tuple[list[Row], list[Marked]]:
    rows: list[Row] = []
    marked: list[Marked] = []
    for each in named:
        where = partial(_object_at, each.place, *image)
        for found in findings.read("objects", each.objects, parse, where, expected):
            if isinstance(found, Marked):
                marked.append(found)
            elif found is not None:
                shares = {name: float(str(found[name])) / ends[name[0] == "y"] for name in ("x0", "y0", "x1", "y1")}
                rows.append({"image_id": image[0], **found, **shares})
    return rows, marked


def _counted(marked: list[Marked]) -> list[tuple[str, int]]:
    """How many objects of each label are marked: a label of the whole image is one, and so is each shape of points.

    >>> _counted([Marked("car", True), Marked("car", True), Marked("bus", False), Marked("bus", False)])
    [('car', 2), ('bus', 1)]
    """
    points = Counter(each.label for each in marked if each.is_point)
    return [(label, max(1, points[label])) for label in dict.fromkeys(each.label for each in marked)]


def _object_at(place: str, image_id: str, path: str, number: int) -> Place:
    return Place(f"{place}: object {number}", image_id, path)


def names_image(value: object) -> bool:
    """Whether this is a text that ends as the name of an image does.

    >>> names_image("https://x.org/a.JPG?s=1"), names_image("/data/local-files/?d=a.jpg"), names_image("cars")
    (True, True, False)
    """
    return isinstance(value, str) and os.path.splitext(spelt_path(value))[1].lower() in IMAGE_SUFFIXES


def begun(root: Path, dataset: str, images: str | None = None) -> Findings:
    """Findings of the source at `root`, whose images lie below it or in the folder told.

    Raises:
        DataError: there is nothing.
    """
    findings = Findings(absolute(existing_place(root, "with annotations and images")), dataset)
    findings.home = home_of(findings.root, images)
    return findings
