"""select: scores → selections/NAME.parquet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import polars as pl

from thresher import tables
from thresher.errors import SettingsError
from thresher.run import Run, StageResult, file_digest, perform
from thresher.selection.diversity import class_frequencies
from thresher.selection.explain import with_reasons
from thresher.selection.methods import METHODS, budget_count, ranking
from thresher.stages.plan import select_plan
from thresher.stages.score import labelled_pool


@dataclass(frozen=True)
class SelectSettings:
    """Which images are taken, and how many."""

    method: str = "layout_and_diversity"
    """How the pool is ranked: layout (the best similarity), diversity, similarity and both (the paper's), …"""
    budget: str = "10%"
    """How many: a number (500), or a share of the images that can be ranked (10%)."""
    seed: int = 0
    """Seed of `random`; the other methods use none."""
    name: str = ""
    """What to call the selection; METHOD-BUDGET by default."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: unknown method, or a name that is no plain file name.
        """
        if self.method not in METHODS:
            raise SettingsError(f"method '{self.method}': unknown. Known: {', '.join(METHODS)}.")
        if not re.fullmatch(r"[\w][\w.+-]*", self.selection_name):
            raise SettingsError(f"name '{self.name}': expected letters, digits, '.', '-', '+' or '_'.")

    @property
    def selection_name(self) -> str:
        """The name given, or METHOD-BUDGET, with the seed where it matters."""
        seed = f"-seed{self.seed}" if self.method == "random" else ""
        return self.name or f"{self.method}-{self.budget.replace('%', 'pct')}{seed}"


def select(run: Run, settings: SelectSettings | None = None, *, dry_run: bool = False) -> StageResult:
    """Choose images from the pool and say why each was chosen.

    Raises:
        SettingsError: the budget asks for more than can be ranked.
        DataError: score has not run.
    """
    settings = settings or SelectSettings()
    name = settings.selection_name
    scores = tables.read(run.scores, tables.SCORES, key="image_id")
    order = ranking(scores, settings.method, settings.seed)
    if order.order.is_empty():
        needed = " Run score --network TRAINING first." if settings.method == "yield" else ""
        raise SettingsError(f"method '{settings.method}': no image has what it ranks by.{needed}")
    count = budget_count(settings.budget, order.order.height)
    if dry_run:
        told = {"name": name, "candidates": order.order.height}
        plan = select_plan(run, order.order.height + order.not_ranked, count)
        return StageResult("select", "planned", told | plan.told(run))
    read = {"scores": run.scores, "images": run.images, "boxes": run.boxes, "taxonomy": run.taxonomy}
    inputs = {key: file_digest(path) for key, path in read.items()}

    def work() -> tuple[dict[str, Any], int]:
        needed = tables.some(tables.INDEXED_IMAGES, "image_id", "dataset", "role")
        images = tables.read(run.images, needed, key="image_id")
        counts, labelled = labelled_pool(run, images.filter(pl.col("role") == "pool").select("image_id", "dataset"))
        frequencies = class_frequencies(counts, labelled.height)
        chosen = with_reasons(order.order.head(count), scores, counts, frequencies)
        tables.write(tables.checked(chosen, tables.SELECTION, f"selection {name}", key="image_id"), run.selection(name))
        sets = images.join(chosen, on="image_id", how="semi")["dataset"].value_counts(sort=True)
        return {
            "name": name,
            "method": settings.method,
            "images": chosen.height,
            "candidates": order.order.height,
            "not_ranked": order.not_ranked,
            "datasets": dict(sets.sort(["count", "dataset"], descending=[True, False]).iter_rows()),
            "rare_classes": sorted(frequencies.rare),
        }, 0

    return perform(run, f"select:{name}", settings, inputs, [run.selection(name)], work)


def selected(run: Run, name: str) -> pl.DataFrame:
    """The selection of that name with the images' columns beside it, rank 1 first.

    Raises:
        SettingsError: there is no such selection.
    """
    path = run.selection(name)
    if not path.is_file():
        names = sorted(file.stem for file in path.parent.glob("*.parquet"))
        raise SettingsError(
            f"selection '{name}': none in {run.folder}. There is: {', '.join(names) or 'no selection'}."
        )
    chosen = tables.read(path, tables.SELECTION, key="image_id")
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id")
    return chosen.join(images, on="image_id", how="left", maintain_order="left").sort("rank")
