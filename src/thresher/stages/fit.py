"""fit: the target's slices → mixture.safetensors, mixture.json."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from thresher import tables
from thresher.density.mixture import Choice, MixtureSettings, choose_components, fit_mixture, save_mixture
from thresher.features.projection import random_rows
from thresher.features.shards import SliceBlock, slices_of
from thresher.run import Run, StageResult, Track, file_digest, perform, untracked

#: Parts that the target is cut into to choose K: each is held out once.
_FOLDS = 3


def fit(
    run: Run, settings: MixtureSettings | None = None, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Fit the mixture to the slices of the target's images.

    Raises:
        DataError: embed has not run, or the target has fewer slices than components.
    """
    settings = settings or MixtureSettings()
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id")
    target = images.filter(pl.col("role") == "target")
    if dry_run:
        return StageResult("fit", "planned", {"target_images": target.height, "components": settings.components})
    inputs = {
        name: file_digest(path)
        for name, path in (("images", run.images), ("pooled", run.pooled), ("projection", run.projection))
    }

    def work() -> tuple[dict[str, Any], int]:
        rng = np.random.default_rng(settings.seed)
        _, block = slices_of(run.slices, set(target["image_id"].to_list()))
        slices = random_rows(block.slices, settings.max_slices, rng).astype(np.float64)
        tried: list[Choice] = []
        if settings.components == "auto":
            tried = choose_components(_folds(block, settings, rng), settings, rng)
            components = max(tried, key=lambda choice: choice.held_out).components
        else:
            components = int(settings.components)
        fitted = fit_mixture(slices, components, settings, rng)
        save_mixture(fitted, tried, run.mixture)
        return {
            "images": len(block.image_ids),
            "slices": len(slices),
            "components": len(fitted.mixture.weights),
            "covariance": settings.covariance,
            "log_likelihood_nats": round(fitted.log_likelihood, 3),
            "iterations": fitted.iterations,
            "converged": fitted.converged,
            "held_out_nats": {str(choice.components): round(choice.held_out, 3) for choice in tried},
        }, 0

    return perform(run, "fit", settings, inputs, [run.mixture, run.mixture.with_suffix(".json")], work)


def _folds(
    block: SliceBlock, settings: MixtureSettings, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(fitted on, held out) slices. Held out are runs of neighbouring image ids, not single images (ours).

    Frames of one drive stand beside each other in the order of their ids; drawn singly, nearly the same picture would
    be on both sides and every K would look better the larger it is.
    """
    images = len(block.image_ids)
    folds = min(_FOLDS, images)
    if folds < 2:
        half = len(block.slices) // 2
        return [(block.slices[:half].astype(np.float64), block.slices[half:].astype(np.float64))]
    borders = [block.starts[images * number // folds] for number in range(folds)] + [block.starts[images]]
    pairs = []
    for number in range(folds):
        inside = np.zeros(len(block.slices), bool)
        inside[borders[number] : borders[number + 1]] = True
        train = random_rows(block.slices[~inside], settings.max_slices, rng).astype(np.float64)
        pairs.append((train, block.slices[inside].astype(np.float64)))
    return pairs
