"""A label set's folder: its files, the plan by which they are made, and which of them are as they were written."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import polars as pl

from thresher import tables
from thresher.errors import DataError
from thresher.files import replacing
from thresher.labelling.label_tables import LABEL_FILES, LABELLED_BOXES

#: Longer file names are cut, and end with a digest of the whole.
_MOST_BYTES = 150
_MADE_FROM = "made_from"


@dataclass(frozen=True)
class LabelFiles:
    """What the folder of a label set holds."""

    folder: Path

    @property
    def images(self) -> Path:
        """Table LABEL_FILES."""
        return self.folder / "images.parquet"

    @property
    def boxes(self) -> Path:
        """Table LABELLED_BOXES."""
        return self.folder / "boxes.parquet"

    @property
    def routes(self) -> Path:
        """Table LABEL_ROUTES; empty if routes were not measured."""
        return self.folder / "routes.parquet"

    @property
    def shown(self) -> Path:
        """The network that is shown boxes, as ONNX, if a class has that route."""
        return self.folder / "shown.onnx"

    @property
    def plan(self) -> Path:
        """The `Plan`, as JSON."""
        return self.folder / "plan.json"

    @property
    def sheet(self) -> Path:
        """Picture of some images beside their labels."""
        return self.folder / "sheet.png"

    @property
    def todo(self) -> Path:
        """The images that workers label: image_id, path, dataset, file, mask and encoding."""
        return self.folder / "todo.parquet"

    @property
    def parts(self) -> Path:
        """Folder of the tables of each chunk, until all are done."""
        return self.folder / "parts"

    def part(self, table: str, number: int) -> Path:
        """A table ("images", "boxes" or "problems") of a chunk."""
        return self.parts / f"{table}-{number:06d}.parquet"

    @property
    def outputs(self) -> list[Path]:
        """Those without which a label set is not done."""
        tables_and_sheet = [self.images, self.boxes, self.routes, self.sheet]
        return [*tables_and_sheet, self.folder / "masks", self.folder / "problems.parquet"]


@dataclass(frozen=True)
class Plan:
    """All that shapes the labels of an image beside the image and its boxes."""

    made_from: str
    """Fingerprint of what the label set is made from."""
    checkpoint: str
    """Path of the teacher; empty if masks are given."""
    route_of: Mapping[str, str]
    """The route of each class; empty: it gets no labels."""
    expected: Mapping[str, float | None]
    """IoU of each class's route on held-out masks."""
    boxed: Sequence[bool]
    """For each class whether boxes are drawn around it."""
    rates: Sequence[float]
    sure: float
    exhaustive: str
    by_sets: Mapping[str, Sequence[bool]]
    """`promised_by_sets`."""
    segmenter: Sequence[str] = ()
    """Paths of encoder and decoder of a promptable segmenter; empty if there is none."""
    output_of: Sequence[int] = ()
    """Of the network that is shown boxes: which output speaks for each node; empty if there is none."""

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        with replacing(path) as file:
            file.write((json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode())


def read_plan(path: Path) -> Plan | None:
    """The plan in a file; None if there is none that can be read."""
    if not path.is_file():
        return None
    try:
        return Plan(**json.loads(path.read_text("utf-8")))
    except (ValueError, TypeError):
        return None


def mask_file(image_id: str) -> str:
    """Path of an image's label map below the label set's folder: its id, with what file systems refuse as %XX.

    >>> mask_file("photos/a b:1"), mask_file("../x")
    ('masks/photos/a b%3A1.png', 'masks/%2E%2E/x.png')
    """
    return "/".join(["masks", *(_safe(part) for part in image_id.split("/"))]) + ".png"


def _safe(part: str) -> str:
    if part.strip(".") == "":
        return part.replace(".", "%2E") or "%"
    quoted = quote(part, safe=" ()+,;=@#!&'~")
    if len(quoted) <= _MOST_BYTES:
        return quoted
    return f"{quoted[:_MOST_BYTES]}-{hashlib.sha256(part.encode()).hexdigest()[:12]}"


def write_whole(content: bytes, path: Path) -> None:
    """Write a file that is there whole or not at all. Not flushed to the disk: a set may have millions.

    A file that a crash left empty differs from its digest, so it is made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    beside.write_bytes(content)
    os.replace(beside, path)


def write_part(files: LabelFiles, number: int, made_from: str, rows: Mapping[str, list[dict[str, object]]]) -> None:
    """Write the tables of a chunk; that of the images comes last, and says that the chunk is done."""
    for table, schema in PARTS.items():
        tables.write(tables.from_rows(rows[table], schema), files.part(table, number), {_MADE_FROM: made_from})


#: The tables of a chunk, in the order in which they are written.
PARTS: dict[str, tables.Schema] = {"problems": tables.PROBLEMS, "boxes": LABELLED_BOXES, "images": LABEL_FILES}


def intact(files: LabelFiles, made_from: str) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Rows of LABEL_FILES and of LABELLED_BOXES of the images whose label map is there as it was written.

    From the finished tables, and from the parts of an interrupted run, where they have this very fingerprint.
    """
    numbers = [int(path.stem.rpartition("-")[2]) for path in sorted(files.parts.glob("images-*.parquet"))]
    pairs = [(files.images, files.boxes), *((files.part("images", n), files.part("boxes", n)) for n in numbers)]
    current = [pair for pair in pairs if _made_from(pair[0]) == _made_from(pair[1]) == made_from]
    images, boxes = [_from(tables.empty(LABEL_FILES).lazy(), -1)], [_from(tables.empty(LABELLED_BOXES).lazy(), -1)]
    for source, (images_path, boxes_path) in enumerate(current):
        images.append(_from(tables.scan(images_path, LABEL_FILES), source))
        boxes.append(_from(tables.scan(boxes_path, LABELLED_BOXES), source))
    known = pl.concat(images).unique("image_id", keep="last", maintain_order=True)
    whole = [
        row
        for *row, file, digest in known.select("image_id", "source", "file", "sha256").collect().iter_rows()
        if _is(files.folder / file, digest)
    ]
    keys = {"image_id": pl.String, "source": pl.Int32}
    kept = pl.DataFrame(whole, keys, orient="row").lazy()
    return tuple(rows.join(kept, on=list(keys), how="semi").drop("source") for rows in (known, pl.concat(boxes)))  # type: ignore[return-value]


def _from(rows: pl.LazyFrame, source: int) -> pl.LazyFrame:
    return rows.with_columns(source=pl.lit(source, pl.Int32))


def _made_from(path: Path) -> str | None:
    with contextlib.suppress(OSError, pl.exceptions.PolarsError):
        return pl.read_parquet_metadata(path).get(_MADE_FROM)
    return None


def _is(path: Path, digest: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except OSError:
        return False


def finish(files: LabelFiles, made_from: str) -> None:
    """Put the tables together from their parts and from what was there, and remove the parts.

    Raises:
        DataError: not one image could be labelled.
    """
    images, boxes = intact(files, made_from)
    wanted = set(images.select("file").collect()["file"])
    if not wanted:
        raise DataError(f"{files.folder}: not one image could be labelled. The reasons are in problems.parquet there.")
    # The boxes first: which of them are wanted is told by the table of the images.
    tables.write(boxes.sort("image_id", "y0", "x0", "y1", "x1", "class"), files.boxes, {_MADE_FROM: made_from})
    tables.write(images.sort("image_id"), files.images, {_MADE_FROM: made_from})
    _remove_others(files, wanted)
    shutil.rmtree(files.parts, ignore_errors=True)
    files.todo.unlink(missing_ok=True)


def _remove_others(files: LabelFiles, wanted: set[str]) -> None:
    """Remove label maps of images that are no longer in the set."""
    for folder, _, names in os.walk(files.folder / "masks"):
        for name in names:
            path = Path(folder) / name
            if path.relative_to(files.folder).as_posix() not in wanted:
                path.unlink()


def parts_of_problems(files: LabelFiles, first: int) -> Iterator[dict[str, Any]]:
    """The problems listed in the parts from this number on."""
    for path in sorted(files.parts.glob("problems-*.parquet")):
        if int(path.stem.rpartition("-")[2]) >= first:
            yield from tables.read(path, tables.PROBLEMS).to_dicts()
