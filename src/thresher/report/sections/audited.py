"""The audit: what the selection is made of against pool and target, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import polars as pl

from thresher.reasons.audit import Audit
from thresher.report.blocks import Block, Cell, Grid, Section, Words, number, percent

#: Of each aspect its caption, the head of its first column, and how many rows are shown.
_ASPECTS = {
    "class": ("Images with each class", "class", 60),
    "objects": ("Objects of each class, of all objects", "class", 60),
    "data set": ("Images of each data set", "data set", 60),
    "folder": ("Images of each folder", "folder", 20),
    "sequence": ("Images of each sequence", "sequence", 20),
    "measure": ("Medians", "measure", 60),
}


def audit_section(found: Audit) -> Section:
    """The section: warnings, then a table for each aspect."""
    words = "Nothing to warn of: no rare class is below a random draw, no class is lost, no source is most of it."
    blocks: list[Block] = [Words(line) for line in found.warnings or (words,)]
    known = {"": " Classes of the target are not known.", "masks": " Classes of the target: of its masks."}
    blocks.append(
        Words(
            "Difference from the pool: in points, and as Cohen's h of shares (0.2 small, 0.5 medium, 0.8 large) or "
            "rank-biserial correlation of measures (-1 to 1), with 95 % intervals; 0 is what a random draw has on "
            f"average.{known.get(found.target_classes, '')}"
        )
    )
    return Section("audit", "The selection against pool and target", blocks + _grids(found.table))


def _grids(table: pl.DataFrame) -> list[Block]:
    grids: list[Block] = []
    for aspect, (caption, head, most) in _ASPECTS.items():
        rows = table.filter(pl.col("aspect") == aspect)
        if rows.is_empty():
            continue
        more = f", {most} of {rows.height:,}" if rows.height > most else ""
        points = "difference" if aspect == "measure" else "points"
        heads = [head, "selection", "pool", "target", points, "effect", "from", "to"]
        lines = [_cells(row, aspect == "measure") for row in rows.head(most).iter_rows(named=True)]
        grids.append(Grid(f"audit-{aspect.replace(' ', '-')}", f"{caption}{more}", heads, lines, aspect != "class"))
    return grids


def _cells(row: dict[str, Any], measure: bool) -> list[Cell]:
    effects = [number(row[name], 2, name) for name in ("effect", "low", "high")]
    sides = ("selection", "pool", "target")
    if measure:
        digits = 4 if abs(row["pool"]) < 1 else 1
        return [row["name"], *(number(row[name], digits, name) for name in (*sides, "difference")), *effects]
    points = number(100 * row["difference"], 1, "points")
    return [row["name"], *(percent(row[name], column=name) for name in sides), points, *effects]
