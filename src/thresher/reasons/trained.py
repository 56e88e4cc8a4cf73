"""What the comparisons of a run say on how many images are enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64, Int64

from thresher.run.opened import OpenedRun
from thresher.selection.coverage import parted
from thresher.selection.saturation import (
    FEWEST,
    Saturation,
    saturation,
    smallest_within_noise,
    standard_error_of_best,
)
from thresher.stages.score import known_methods

#: Seed of the redrawn seeds of the intervals.
_SEED = 0


@dataclass(frozen=True)
class Trained:
    """IoU of trainings on more and more images of one method."""

    comparison: str
    method: str
    mode: str
    images: tuple[int, ...]
    """N tried, ascending."""
    means: tuple[float, ...]
    """Mean IoU over seeds for each, 0..1."""
    seeds: int
    smallest: int | None
    """The smallest N tried within one standard error of the best; None with fewer than two seeds."""
    noise: float | None
    """That standard error, as a share of IoU."""
    curve: Saturation | None
    """The saturating curve; None with fewer than `FEWEST` numbers or two seeds."""

    def in_words(self) -> str:
        """What was tried, the smallest N that will do, and what the curve says."""
        tried = f"{self.comparison}: {self.method}, {self.mode}, {self.seeds} seeds at {len(self.images)} numbers"
        noise = f"one standard error, {100 * (self.noise or 0):.2f} points"
        words = f"By trainings ({tried}), {self.smallest:,} are the fewest tried within the noise of the best ({noise})"
        if self.curve is None:
            return f"{words}."
        between = f"{self.curve.low:,} to {self.curve.high:,}"
        return f"{words}; by a saturating curve {self.curve.enough:,} ({between})."


def trained_numbers(opened: OpenedRun) -> Iterator[Trained]:
    """Of each comparison, method and mode that was trained with two or more budgets; mIoU on the validation set."""
    methods = known_methods(opened.run)
    for path in sorted((opened.run.folder / "comparisons").glob("*/results.parquet")):
        results = opened.results(path.parent.name).filter(
            pl.col("class").is_null() & pl.col("budget").is_not_null() & pl.col("iou").is_not_null()
        )
        names = [name for name in results["method"].unique() if parted(name)[0] in methods]  # with any coverage
        own = results.filter(pl.col("method").is_in(names) & (pl.col("set") == "validation"))
        for (method, mode), rows in own.group_by(["method", "mode"], maintain_order=True):
            images, values = _matrix(rows)
            if len(images) > 1 and len(values):
                yield _trained(path.parent.name, str(method), str(mode), images, values)


def _matrix(rows: pl.DataFrame) -> tuple[Int64[np.ndarray, " budgets"], Float64[np.ndarray, "seeds budgets"]]:
    """N of each budget, and IoU of each seed that has them all."""
    means = rows.group_by("seed", "images").agg(pl.col("iou").mean())
    wide = means.sort("images").pivot(on="images", index="seed", values="iou").drop_nulls().sort("seed")
    names = [name for name in wide.columns if name != "seed"]
    return np.array([int(name) for name in names], np.int64), wide.select(names).to_numpy().astype(np.float64)


def _trained(
    comparison: str,
    method: str,
    mode: str,
    images: Int64[np.ndarray, " budgets"],
    values: Float64[np.ndarray, "seeds budgets"],
) -> Trained:
    seeds = len(values)
    curve = None
    if seeds > 1 and len(images) >= FEWEST:
        curve = saturation(images, values, np.random.default_rng(_SEED))
    return Trained(
        comparison,
        method,
        mode,
        tuple(images.tolist()),
        tuple(values.mean(axis=0).tolist()),
        seeds,
        smallest_within_noise(images, values) if seeds > 1 else None,
        standard_error_of_best(values) if seeds > 1 else None,
        curve,
    )
