"""The commands audit, budget and why: what a selection is, how many are worth taking, why an image was taken or not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated, Any

import polars as pl
from cyclopts import Parameter

from thresher.cli.main import EXIT_OK
from thresher.cli.output import SCHEMA_VERSION, JsonOutput, print_results, progress_bars
from thresher.cli.stage_command import FLAT, RunFolder, Update
from thresher.cli.terminal import on_terminal
from thresher.reasons.audit import DUPLICATE_COSINE, Audit, audit
from thresher.reasons.budget import BudgetSettings, budget
from thresher.reasons.why import why
from thresher.run.update import update as brought_up_to_date

#: Rows of each part of a table that are printed; --json has them all.
_MOST_ROWS, _MOST_FOLDERS = 40, 8
_BUDGET = BudgetSettings()
_SelectionName = Annotated[str, Parameter(help="Name of the selection.")]


def audit_command(
    run: RunFolder,
    name: _SelectionName,
    *,
    duplicate_cosine: Annotated[
        float, Parameter(help="Near-duplicates have at least this cosine of pooled vectors. 0 = do not look for them.")
    ] = DUPLICATE_COSINE,
    update: Update = False,
    output: JsonOutput = JsonOutput(),
) -> int:
    """Compare a selection with the pool and the target, and warn of what is wrong with it.

    Shares are of images (objects: of all objects), with the difference from the pool in points and Cohen's h; measures
    are medians, with the rank-biserial correlation; in brackets the effect's 95 % interval.
    """
    _first(run, update)
    found = audit(run, name, duplicate_cosine=duplicate_cosine)
    if output.json:
        told = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        told["alike"] = None if found.alike is None else dataclasses.asdict(found.alike)
        print_json(told | {"table": found.table.to_dicts()})
        return EXIT_OK
    print(on_terminal(f"{name}: {found.images:,} of {found.pool:,} images of the pool"))
    for aspect, words in _ASPECTS.items():
        _print_aspect(found, aspect, words)
    for line in found.unknown:
        print(on_terminal(line))
    for line in found.warnings or ("Nothing to warn of.",):
        print(on_terminal(f"! {line}" if found.warnings else line))
    return EXIT_OK


_ASPECTS = {
    "class": "images with class",
    "objects": "objects of class",
    "data set": "data set",
    "folder": "folder",
    "sequence": "sequence",
    "measure": "median",
}


def _print_aspect(found: Audit, aspect: str, words: str) -> None:
    rows = found.table.filter(pl.col("aspect") == aspect)
    if rows.is_empty():
        return
    shares = aspect != "measure"
    heads = [words, "selection", "pool", "target", "points" if shares else "difference", "effect (95 %)"]
    lines = []
    most = _MOST_ROWS if aspect in ("class", "objects", "measure") else _MOST_FOLDERS
    for row in rows.head(most).iter_rows(named=True):
        numbers = [_share(row[name]) if shares else _measure(row[name]) for name in ("selection", "pool", "target")]
        difference = f"{100 * row['difference']:+.1f}" if shares else f"{row['difference']:+.3g}"
        within = "" if row["low"] is None else f" ({row['low']:+.2f} to {row['high']:+.2f})"
        lines.append([row["name"], *numbers, difference, f"{row['effect']:+.2f}{within}"])
    print_columns([heads, *lines])
    if rows.height > most:
        print(f"… and {rows.height - most:,} more (--json shows all)")
    print()


def budget_command(
    run: RunFolder,
    *,
    settings: Annotated[BudgetSettings, FLAT] = _BUDGET,
    update: Update = False,
    output: JsonOutput = JsonOutput(),
) -> int:
    """How many images are worth taking: what the first N add to the target, and what trainings on N have reached.

    nearness: mean cosine of the target's images to the nearest of the N. covered: share of them with one of the N as
    near as their own kind. near: images of the N as near to one image of the target as its images are to their nearest
    other. repeated: share of the images since the last N that near-duplicate an earlier one.
    """
    _first(run, update)
    found = budget(run, settings)
    if output.json:
        told = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
        trained = [dataclasses.asdict(each) for each in found.trained]
        print_json(told | {"table": found.table.to_dicts(), "trained": trained})
        return EXIT_OK
    print(on_terminal(f"{found.candidates:,} candidates by {found.method}"))
    lines = []
    for row in found.table.iter_rows(named=True):
        counts = [f"{row[name]:,}" for name in ("near", "objects", "classes")]
        shares = [_share(row[name]) for name in ("covered", "repeated")]
        lines.append([f"{row['images']:,}", f"{row['nearness']:.3f}", shares[0], *counts, shares[1]])
    print_columns([["images", "nearness", "covered", "near", "objects", "classes", "repeated"], *lines])
    for each in found.trained:
        means = ", ".join(f"{n:,}: {100 * mean:.1f}" for n, mean in zip(each.images, each.means, strict=True))
        print(on_terminal(f"mIoU in {each.comparison} ({each.method}, {each.mode}, {each.seeds} seeds): {means}"))
    print(on_terminal(found.answer))
    return EXIT_OK


def why_command(
    run: RunFolder,
    name: _SelectionName,
    ids: Annotated[
        list[str], Parameter(help="Ids of images, or ends of their paths.", negative="", consume_multiple=True)
    ],
    /,
    *,
    update: Update = False,
    output: JsonOutput = JsonOutput(),
) -> int:
    """Say why images were taken, or why not: what decided, the bar missed and by how much, what was taken instead."""
    _first(run, update)
    found = why(run, name, ids)
    if output.json:
        print_json(dataclasses.asdict(found))
        return EXIT_OK
    print(on_terminal(found))
    return EXIT_OK


def _share(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _measure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _first(run: Any, update: bool) -> None:
    """Bring the run up to date to its selections, if that is asked for."""
    if update:
        print_results(brought_up_to_date(run, before="sheet", track=progress_bars()), JsonOutput())


def print_columns(lines: Sequence[Sequence[str]]) -> None:
    """Print lines of cells in columns; the first to the left, the others to the right."""
    shown = [[on_terminal(cell) for cell in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for line in shown:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip())


def print_json(told: dict[str, Any]) -> None:
    """Print one JSON object, as every command does for --json."""
    print(json.dumps({"schema_version": SCHEMA_VERSION, **told}, default=str))
