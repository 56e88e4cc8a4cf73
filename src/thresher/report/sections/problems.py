"""Redundancy and problems: what was left out or repaired, by kind, and labels without a class."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from thresher.report.blocks import Block, Cell, Grid, Missing, Section, Words, number

_EXAMPLES, _LABELS = 5, 40


def problems_section(
    problems: pl.DataFrame | None, labels: pl.DataFrame | None, redundant: Sequence[Block] = ()
) -> Section:
    """The section from tables PROBLEMS and LABELS; None before index.

    Args:
        redundant: The blocks on near-duplicates, if they were computed.
    """
    blocks: list[Block] = [*redundant]
    if problems is None:
        blocks.append(Missing("Nothing has been indexed.", "thresher index RUN"))
    elif problems.is_empty():
        blocks.append(Words("No problems: every image and box was used unchanged."))
    else:
        blocks += _kinds(problems)
    if labels is not None:
        blocks.append(_unmapped(labels))
    return Section("problems", "Redundancy and problems", blocks)


def _kinds(problems: pl.DataFrame) -> list[Block]:
    counts = (
        problems.group_by("stage", "problem")
        .agg(rows=pl.len(), images=pl.col("image_id").n_unique())
        .sort(["rows", "stage", "problem"], descending=[True, False, False])
    )
    rows: list[list[Cell]] = [
        [
            row["problem"].replace("_", " "),
            row["stage"],
            number(row["rows"], column="rows"),
            number(row["images"], column="images"),
        ]
        for row in counts.iter_rows(named=True)
    ]
    examples: list[list[Cell]] = []
    for row in counts.iter_rows(named=True):
        own = problems.filter(stage=row["stage"], problem=row["problem"]).sort("image_id", "path", "detail")
        examples += [
            [row["problem"].replace("_", " "), one["image_id"] or one["path"], one["detail"]]
            for one in own.head(_EXAMPLES).iter_rows(named=True)
        ]
    return [
        Grid("problem-kinds", "Left out or repaired", ["problem", "stage", "times", "images"], rows),
        Grid(
            "problem-examples",
            f"Examples, at most {_EXAMPLES} of each",
            ["problem", "image", "detail"],
            examples,
            folded=True,
        ),
    ]


def _unmapped(labels: pl.DataFrame) -> Block:
    without = labels.filter(pl.col("class").is_null()).sort(
        ["boxes", "dataset", "label"], descending=[True, False, False]
    )
    if without.is_empty():
        return Words("Every label has a class of the taxonomy.")
    rows: list[list[Cell]] = [
        [
            row["label"],
            row["name"],
            row["dataset"],
            number(row["boxes"], column="boxes"),
            number(row["images"], column="images"),
        ]
        for row in without.head(_LABELS).iter_rows(named=True)
    ]
    more = f", the {_LABELS} most frequent of {without.height:,}" if without.height > _LABELS else ""
    heads = ["label", "name", "data set", "boxes", "images"]
    return Grid("unmapped", f"Labels without a class{more}", heads, rows, folded=True)
