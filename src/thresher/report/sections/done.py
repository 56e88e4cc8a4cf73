"""What was done: target, pool, settings, versions, counts, and the commands to reproduce it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from thresher.report.blocks import Block, Cell, Code, Facts, Grid, Section, number
from thresher.selection.methods import SEEDED

_ROLES = ("target", "pool")


def done_section(
    recorded: Mapping[str, Any],
    images: pl.DataFrame,
    boxes: pl.DataFrame,
    masks: pl.DataFrame,
    read: pl.DataFrame | None,
    broken: pl.DataFrame,
    commands: Sequence[str],
) -> Section:
    """The section from the manifest and the tables.

    Args:
        recorded: The manifest's stages, of the selections only the one shown.
        images: Table INDEXED_IMAGES.
        boxes: image_id, boxes and mapped (those with a class) of each image with boxes.
        masks: image_id of each image with a mask.
        read: image_id of each image that embed read; None before embed.
        broken: image_id of each image that was missing or could not be read, also of those that index left out.
        commands: What makes the run again, in order.
    """
    blocks: list[Block] = [
        Facts([*_facts(recorded), *_left_out(images, broken)]),
        _counts(images, boxes, masks, read, broken),
        _datasets(images, boxes),
        Code("Commands to reproduce this run", commands),
        _settings(recorded),
    ]
    return Section("done", "What was done", blocks)


def _facts(recorded: Mapping[str, Any]) -> list[tuple[str, Cell | Sequence[Cell]]]:
    settings = {stage: entry.get("settings", {}) for stage, entry in recorded.items()}
    summaries = {stage: entry.get("summary", {}) for stage, entry in recorded.items()}
    index, embed, fit = (settings.get(stage, {}) for stage in ("index", "embed", "fit"))
    rows: list[tuple[str, Cell | Sequence[Cell]]] = [
        ("Target", index.get("target", [])),
        ("Pool", index.get("pool", [])),
        ("Taxonomy", index.get("taxonomy")),
        ("Label map", index.get("label_map")),
        ("Vectors", embed.get("vectors")),
        ("Backbone", None if embed.get("vectors") else embed.get("backbone")),
        ("Input", _input_words(embed) if embed else None),
        (
            "Mixture",
            f"{summaries['fit']['components']} components, {fit['covariance']}" if summaries.get("fit") else None,
        ),
        ("Seeds", ", ".join(f"{name} {each['seed']}" for name, each in settings.items() if _draws(each))),
        ("Versions", _versions(recorded)),
    ]
    return [(name, value) for name, value in rows if value]


def _input_words(embed: Mapping[str, Any]) -> str:
    kept = f"{embed['width']} dimensions per slice"
    return f"at most {kept}" if embed.get("vectors") else f"short side {embed['short_side']} px, {kept}"


def _draws(settings: Mapping[str, Any]) -> bool:
    """Whether a stage's result depends on its seed: of the selections only random ones do."""
    return "seed" in settings and settings.get("method", "random") in SEEDED


def _left_out(images: pl.DataFrame, broken: pl.DataFrame) -> list[tuple[str, Cell | Sequence[Cell]]]:
    count = broken.join(images, on="image_id", how="anti").height
    return [("Images that index left out", number(count, column="left_out"))] if count else []


def _versions(recorded: Mapping[str, Any]) -> list[str]:
    """Of each set of versions, the stages that ran under it."""
    stages: dict[str, list[str]] = {}
    for stage, entry in recorded.items():
        if versions := entry.get("versions"):
            words = ", ".join(f"{name} {each}" for name, each in sorted(versions.items()))
            stages.setdefault(words, []).append(stage)
    if len(stages) == 1:
        return list(stages)
    return [f"{words} ({', '.join(of)})" for words, of in stages.items()]


def _counts(
    images: pl.DataFrame, boxes: pl.DataFrame, masks: pl.DataFrame, read: pl.DataFrame | None, broken: pl.DataFrame
) -> Grid:
    labelled = pl.concat([boxes.select("image_id"), masks.select("image_id")])
    rows: list[list[Cell]] = []
    for role in _ROLES:
        own = images.filter(role=role)
        rows.append(
            [
                role,
                number(own.height, column="found"),
                None if read is None else number(own.join(read, on="image_id", how="semi").height, column="read"),
                number(own.join(broken, on="image_id", how="semi").height, column="broken"),
                number(own.join(labelled, on="image_id", how="anti").height, column="unlabelled"),
                number(own.join(masks, on="image_id", how="semi").height, column="masks"),
            ]
        )
    columns = ["", "found", "read", "broken", "unlabelled (no box, no mask)", "with a mask"]
    return Grid("counts", "Images", columns, rows)


def _datasets(images: pl.DataFrame, boxes: pl.DataFrame) -> Grid:
    joined = images.join(boxes, on="image_id", how="left").group_by("dataset", "role")
    found = joined.agg(pl.len().alias("images"), pl.col("boxes", "mapped").sum()).sort(
        ["role", "images", "dataset"], descending=[True, True, False]
    )
    rows: list[list[Cell]] = [
        [row["dataset"], row["role"], *(number(row[name], column=name) for name in ("images", "boxes", "mapped"))]
        for row in found.iter_rows(named=True)
    ]
    return Grid(
        "datasets", "Data sets", ["data set", "role", "images", "boxes", "boxes with a class"], rows, len(rows) > 8
    )


def _settings(recorded: Mapping[str, Any]) -> Grid:
    rows: list[list[Cell]] = [
        [stage, name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)]
        for stage, entry in recorded.items()
        for name, value in entry.get("settings", {}).items()
    ]
    return Grid(
        "settings", "Settings of the stages and of this selection", ["stage", "setting", "value"], rows, folded=True
    )
