"""What a reader finds in a source: its items, each read under one guard, and the tables made of them.

A reader hands its items (annotations, image entries, files) and the function that reads one of them to
`Findings.read`. An item that fails, in whatever way, is a row of problems with its place and reason, and the rest is
read. Where more than `FAILED_SHARE` of a kind of item fails, the source is refused with the first example: it is then
of another format than was said, and would lose its boxes in silence.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import polars as pl

from thresher.data.boxes import BOX_PROBLEMS, clean_boxes
from thresher.data.dataset import Coded, Dataset, Entry, Outlined, images_table, problem, qualified_id, size_px
from thresher.data.faults import FAULTS, reason, shown
from thresher.errors import DataError
from thresher.tables import BOXES, MASKS, PROBLEMS, REMOTE, TAGS, VOCABULARY, empty, from_rows

Row = dict[str, object]
Item = TypeVar("Item")
Read = TypeVar("Read")

#: A source of which a larger share of one kind of item fails is refused.
FAILED_SHARE = 0.5
#: More rows of one kind of problem in one source are counted, and stand as one row.
MOST_ROWS = 10_000
#: Problems that leave out a whole image; each of them is listed, however many there are.
IMAGE_PROBLEMS = frozenset(
    {"image_missing", "image_unreadable", "mask_unreadable", "duplicate_id", "name_not_utf8", "archive_broken"}
)


class Place(NamedTuple):
    """Where an item stands: in words ("a.txt line 3"), and the image that it belongs to, if that is known."""

    name: str
    image_id: str | None = None
    path: Path | str | None = None


class Findings:
    """Rows of problems of one source, and how many of its items were read and how many failed."""

    def __init__(self, root: Path, dataset: str) -> None:
        """For the source at `root`, whose image ids begin with `dataset`."""
        self.root, self.dataset, self.home = root, dataset, root
        self.rows: list[Row] = []
        self._listed: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def read(
        self,
        what: str,
        items: Iterable[Item],
        parse: Callable[[Item], Read],
        place: Callable[[int], Place],
        expected: str,
        word: str = "annotation_malformed",
    ) -> Iterator[Read]:
        """What `parse` makes of each item; one on which it fails is listed, and the next one follows.

        Args:
            what: The kind of item, in the plural; items of one kind are counted together.
            place: Where the item of that number, from 0, stands.
            expected: What an item must be.
            word: The kind of problem.
        """
        number = -1
        for number, item in enumerate(items):
            try:
                found = parse(item)
            except FAULTS as error:
                if self._is_full(word):  # the sentence would cost more than all else
                    self._failed[what] += 1
                    self._listed[word] += 1
                    continue
                self.fail(what, place(number), f"{reason(error)}; found {shown(item)}, expected {expected}", word)
            else:
                yield found
        self._seen[what] += number + 1

    def fail(self, what: str, place: Place, why: str, word: str = "annotation_malformed", times: int = 1) -> None:
        """Count an item (or so many like it) as failed, and list it."""
        self._failed[what] += times
        detail = f"{place.name}: {why}"
        self._first.setdefault(what, detail)
        self.note(word, detail, place.image_id, place.path, times)

    def seen(self, what: str, number: int) -> None:
        """Count items that were read in another way than by `read`."""
        self._seen[what] += number

    def note(
        self, word: str, detail: str, image_id: str | None = None, path: Path | str | None = None, times: int = 1
    ) -> None:
        """List a problem, or count it where too many of its kind are listed already."""
        full = self._is_full(word)
        self._listed[word] += times
        if not full:
            self.rows.append(problem(word, detail, image_id, path))

    def size_of(self, path: Path | str, image_id: str, boxes: int) -> tuple[int, int] | None:
        """Width and height of the upright image in pixels; None if its header cannot be read, which is listed.

        Args:
            boxes: How many are left out with it.
        """
        self._seen["images"] += 1
        try:
            return size_px(Path(path))
        except DataError as error:
            left_out = f"; {boxes} boxes were left out with it" if boxes else ""
            self._failed["images"] += 1
            self._first.setdefault("images", str(error))
            self.note("image_unreadable", f"{error}{left_out}", image_id, path)
            return None

    def _is_full(self, word: str) -> bool:
        return self._listed[word] >= MOST_ROWS and word not in IMAGE_PROBLEMS

    def id_of(self, source_id: str) -> str:
        """The run-wide id of an image of this source."""
        return qualified_id(self.dataset, source_id)

    def images(self, entries: Iterable[Entry]) -> pl.DataFrame:
        """The table of images; a file that another one of the same id precedes is listed."""
        table, left_out = images_table(entries, self.dataset)
        self.rows += left_out
        return table

    def data(
        self,
        images: pl.DataFrame,
        boxes: list[Row] | pl.LazyFrame | None = None,
        masks: list[Row] | None = None,
        vocabulary: pl.DataFrame | None = None,
        unit: str = "pixels of the image",
        drawings: Sequence[Outlined | Coded] = (),
        remote: pl.DataFrame | None = None,
        tags: list[Row] | pl.DataFrame | None = None,
    ) -> Dataset:
        """The data set of these tables.

        Args:
            boxes: As `clean_boxes` takes them.
            unit: What the corners of a box are expected to be, for the error if most are not.
            drawings: Masks that are yet to be drawn.
            remote: Table REMOTE.
            tags: Rows of table TAGS; those of images that are not there are left out.

        Raises:
            DataError: too large a share of a kind of item failed, or of the boxes lies where no box can lie.
        """
        raw = boxes if isinstance(boxes, pl.LazyFrame) else self.table(boxes or [])
        self.judge()
        cleaned = clean_boxes(raw, images, MOST_ROWS)
        self._listed.update(cleaned.counts)
        self._judge_boxes(cleaned.problems, cleaned.counts, cleaned.placed, cleaned.in_first_pixel, unit)
        more = {word: count for word, count in self._listed.items() if count > MOST_ROWS and word not in IMAGE_PROBLEMS}
        counted = [
            problem(word, f"{count - MOST_ROWS:,} more like these are counted and not listed")
            for word, count in sorted(more.items())
        ]
        problems = pl.concat([from_rows(self.rows, PROBLEMS), cleaned.problems, from_rows(counted, PROBLEMS)])
        return Dataset(
            images,
            cleaned.boxes,
            from_rows(masks or [], MASKS),
            problems,
            empty(VOCABULARY) if vocabulary is None else vocabulary,
            {word: count - MOST_ROWS - 1 for word, count in more.items()},
            drawings,
            empty(REMOTE) if remote is None else remote,
            _tags(tags, images),
        ).checked(str(self.root))

    def table(self, rows: list[Row]) -> pl.DataFrame:
        """Rows of boxes as a table of the columns `RAW_BOXES`."""
        self._seen["boxes"] += len(rows)
        return self._storable(rows)

    def _storable(self, rows: list[Row]) -> pl.DataFrame:
        """The rows as a table; one that no table can hold is listed, and found by halving."""
        try:
            return pl.DataFrame(rows, schema=RAW_BOXES, orient="row") if rows else empty(RAW_BOXES)
        except FAULTS as error:
            if len(rows) > 1:
                half = len(rows) // 2
                return pl.concat([self._storable(rows[:half]), self._storable(rows[half:])])
            place = Place("box", str(rows[0].get("image_id")))
            self.fail("boxes", place, f"{reason(error)}; found {shown(rows[0])}, expected numbers and a label")
            return empty(RAW_BOXES)

    def judge(self) -> None:
        """Refuse the source if too large a share of one kind of item failed.

        Raises:
            DataError: with the first example.
        """
        for what, failed in self._failed.items():
            seen = max(failed, self._seen[what])
            if failed > FAILED_SHARE * seen:
                raise DataError(
                    f"{self.root}: {failed:,} of {seen:,} {what} cannot be read (first: {self._first[what]}). Is this "
                    "the format of these files? Correct or remove what is wrong; at most half may fail."
                )

    def _judge_boxes(
        self, problems: pl.DataFrame, counts: Counter[str], placed: int, in_first_pixel: int, unit: str
    ) -> None:
        lost = sum(counts[word] for word in BOX_PROBLEMS if word not in ("box_clipped", "box_without_image"))
        if lost > FAILED_SHARE * placed:
            first = problems.filter(~pl.col("problem").is_in(["box_clipped", "box_without_image"])).row(0, named=True)
            raise DataError(
                f"{self.root}: {lost:,} of {placed:,} boxes are empty or outside their image (first: "
                f"{first['image_id']}: {first['detail']}). Expected {unit}; of what are these?"
            )
        if in_first_pixel > FAILED_SHARE * placed:
            raise DataError(
                f"{self.root}: {in_first_pixel:,} of {placed:,} boxes lie within the first pixel of their image. "
                f"Expected {unit}; are these shares of the image (0..1)? Multiply them by its width and height."
            )


def _tags(tags: list[Row] | pl.DataFrame | None, images: pl.DataFrame) -> pl.DataFrame:
    """Table TAGS of images that are there, each once."""
    rows = from_rows(tags or [], TAGS) if not isinstance(tags, pl.DataFrame) else tags
    return rows.join(images, on="image_id", how="semi").unique().sort("image_id", "label", "objects")


#: The columns of boxes as a reader hands them on, before they are clipped.
RAW_BOXES = {name: pl.Float64 if dtype == pl.Float32 else dtype for name, dtype in BOXES.items()}


def absolute(root: Path) -> Path:
    """The place with its full path, as tables hold it."""
    return Path(os.path.abspath(root))
