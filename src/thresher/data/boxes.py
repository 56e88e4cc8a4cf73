"""Normalised boxes: corners as shares of the image, clipped to it, with an area above 0."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import polars as pl

from thresher.tables import BOXES, PROBLEMS, empty

#: Corners up to this far outside are clipped without a problem row, since sets count pixels from 0 or from 1.
SLOPPY_PX = 1.5
#: The same for sources that state no pixel size.
SLOPPY_SHARE = 0.005


#: Kinds of problem of a box; all but the last leave it out.
BOX_PROBLEMS = ("box_without_image", "box_not_finite", "box_empty", "box_outside", "box_clipped")


class Cleaned(NamedTuple):
    """Boxes clipped to their images, and what became of the others."""

    boxes: pl.DataFrame
    problems: pl.DataFrame
    """A row for each box that was dropped or visibly clipped; of each kind at most as many as were asked for."""
    counts: Counter[str]
    """All problems by kind, listed or not."""
    placed: int
    """Boxes whose image is there."""
    in_first_pixel: int
    """Of these, boxes within the first pixel of an image of known size: corners as shares, taken for pixels."""


def clean_boxes(raw: pl.DataFrame | pl.LazyFrame, images: pl.DataFrame, most_rows: int = 10_000) -> Cleaned:
    """Boxes clipped to their image, and a problem row for each that was dropped or visibly clipped.

    `box_without_image`, `box_not_finite`, `box_empty` and `box_outside` were dropped; `box_clipped` was kept, cut at
    the border by more than a rounding error.

    Args:
        raw: Any subset of the columns of `BOXES`, with at least image_id, label, x0, y0, x1, y1 (shares of the image,
            not yet bounded to 0..1). Flags that are missing become null. A lazy frame is never in memory as a whole.
            One that has the columns of `sizes_of` is not joined with the images again.
        images: The images table; boxes of an image that it lacks are dropped and listed.
        most_rows: Problems of one kind that are listed; more are counted alone.
    """
    corners = ["x0", "y0", "x1", "y1"]
    if isinstance(raw, pl.DataFrame) and raw.is_empty():  # it may not even have columns
        return Cleaned(empty(BOXES), empty(PROBLEMS), Counter(), 0, 0)
    present = raw.lazy().collect_schema().names()
    missing = [pl.lit(None, dtype).alias(name) for name, dtype in BOXES.items() if name not in present]
    frame = raw.lazy().with_columns(pl.col(corners).cast(pl.Float64))
    if "is_there" not in present:
        frame = frame.join(sizes_of(images), on="image_id", how="left", maintain_order="left")
    frame = frame.with_columns(problem=_problem_of_box())
    kept = frame.filter(pl.col("problem").is_null() | (pl.col("problem") == "box_clipped"))
    boxes = kept.with_columns(pl.col(corners).clip(0.0, 1.0))
    boxes = boxes.select(pl.col(name).cast(dtype) for name, dtype in BOXES.items() if name in present)
    facts = frame.select(
        *((pl.col("problem") == word).sum().alias(word) for word in BOX_PROBLEMS), _in_first_pixel(), _placed()
    )
    found, counted = pl.collect_all([boxes, facts], engine="streaming")
    found = found.with_columns(missing).select(list(BOXES))  # at the end, where a column of nulls takes no room
    numbers = counted.row(0, named=True)
    counts = Counter({word: numbers[word] for word in BOX_PROBLEMS if numbers[word]})
    paths = images.lazy().select("image_id", "path")
    listed = [
        _listed(
            frame.filter(pl.col("problem") == word)
            .head(most_rows)
            .join(paths, on="image_id", how="left", maintain_order="left")
        )
        for word in counts
    ]
    problems = pl.concat([empty(PROBLEMS), *pl.collect_all(listed, engine="streaming")])
    return Cleaned(found, problems, counts, numbers["placed"], numbers["in_first_pixel"])


def sizes_of(images: pl.DataFrame) -> pl.LazyFrame:
    """What boxes need of their image: image_id, width_px, height_px, is_there (true)."""
    return images.lazy().select("image_id", "width_px", "height_px", is_there=pl.lit(True))


def _placed() -> pl.Expr:
    return pl.col("is_there").sum().alias("placed")


def _in_first_pixel() -> pl.Expr:
    across, down = pl.col("x1") * pl.col("width_px"), pl.col("y1") * pl.col("height_px")
    tiny = (across <= SLOPPY_PX) & (down <= SLOPPY_PX)
    return (tiny & (pl.min_horizontal("width_px", "height_px") > 2 * SLOPPY_PX)).sum().alias("in_first_pixel")


def _listed(boxes: pl.LazyFrame) -> pl.LazyFrame:
    return boxes.select(
        "image_id",
        "path",
        pl.lit("index").alias("stage"),
        "problem",
        pl.format(
            "{} box at x {}..{}, y {}..{} (shares of the image)",
            pl.col("label").fill_null("?"),
            *(pl.col(name).round(4).cast(pl.String).fill_null("?") for name in ("x0", "x1", "y0", "y1")),
        ).alias("detail"),
    )


def _problem_of_box() -> pl.Expr:
    x0, y0, x1, y1 = (pl.col(name) for name in ("x0", "y0", "x1", "y1"))
    slack_x = (SLOPPY_PX / pl.col("width_px")).fill_null(SLOPPY_SHARE)
    slack_y = (SLOPPY_PX / pl.col("height_px")).fill_null(SLOPPY_SHARE)
    # As stored: a box thinner than the precision of Float32 has no area.
    left, top, right, bottom = (corner.clip(0.0, 1.0).cast(pl.Float32) for corner in (x0, y0, x1, y1))
    finite = pl.all_horizontal(corner.is_finite().fill_null(False) for corner in (x0, y0, x1, y1))
    return (
        pl.when(pl.col("is_there").is_null())
        .then(pl.lit("box_without_image"))
        .when(~finite)
        .then(pl.lit("box_not_finite"))
        .when((x1 <= x0) | (y1 <= y0))
        .then(pl.lit("box_empty"))
        .when((x0 >= 1) | (y0 >= 1) | (x1 <= 0) | (y1 <= 0))
        .then(pl.lit("box_outside"))
        .when((right <= left) | (bottom <= top))
        .then(pl.lit("box_empty"))
        .when((x0 < -slack_x) | (y0 < -slack_y) | (x1 > 1 + slack_x) | (y1 > 1 + slack_y))
        .then(pl.lit("box_clipped"))
    )
