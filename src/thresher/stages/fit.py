"""fit: the target's slices → mixture.safetensors, mixture.json."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from thresher import tables
from thresher.density.em import Choice, Fit, MixtureSettings, choose_components, fit_blocks, fit_mixture, fit_stepwise
from thresher.density.held_out import contiguous_folds
from thresher.density.mixture import save_mixture
from thresher.features.projection import random_rows
from thresher.features.shards import SliceBlock, shard_files, slices_in_shards, slices_of
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
        wanted = set(target["image_id"].to_list())
        tried: list[Choice] = []
        if settings.components == "auto":
            tried = choose_components(_folds(slices_of(run.slices, wanted)[1], settings, rng), settings, rng)
            components = max(tried, key=lambda choice: choice.held_out).components
        else:
            components = int(settings.components)
        fitted, slices = _fitted(run, wanted, components, settings, rng)
        save_mixture(fitted.mixture, run.mixture)
        _tell(fitted, tried, run)
        return {
            "slices": slices,
            "data": settings.data,
            "components": len(fitted.mixture.weights),
            "covariance": settings.covariance,
            "log_likelihood_nats": round(fitted.log_likelihood, 3),
            "iterations": fitted.iterations,
            "converged": fitted.converged,
            "held_out_nats": {str(choice.components): round(choice.held_out, 3) for choice in tried},
        }, 0

    return perform(run, "fit", settings, inputs, [run.mixture, run.mixture.with_suffix(".json")], work)


def _fitted(
    run: Run, wanted: set[str], components: int, settings: MixtureSettings, rng: np.random.Generator
) -> tuple[Fit, int]:
    """The fit, and how many slices it was made on."""
    if settings.data == "sample":
        _, block = slices_of(run.slices, wanted)
        slices = random_rows(block.slices, settings.max_slices, rng).astype(np.float32)
        return fit_mixture(slices, components, settings, rng), len(slices)
    # Stepwise EM forgets, so that its blocks must not come in the order of the drives they were recorded on.
    order = rng.permutation(len(shard_files(run.slices))).tolist() if settings.data == "stepwise" else None
    count = sum(len(block) for block in slices_in_shards(run.slices, wanted, None))
    fit_all = fit_stepwise if settings.data == "stepwise" else fit_blocks
    return fit_all(lambda: slices_in_shards(run.slices, wanted, order), components, settings, rng), count


def _tell(fitted: Fit, tried: list[Choice], run: Run) -> None:
    """How the mixture came about, as JSON beside it."""
    told = {
        "components": len(fitted.mixture.weights),
        "covariance": fitted.mixture.covariance,
        "log_likelihood_nats": fitted.log_likelihood,
        "iterations": fitted.iterations,
        "converged": fitted.converged,
        "tried": [asdict(choice) for choice in tried],
    }
    with tables.replacing(run.mixture.with_suffix(".json")) as file:
        file.write((json.dumps(told, indent=1) + "\n").encode())


def _folds(
    block: SliceBlock, settings: MixtureSettings, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(fitted on, held out) slices: whole images, in runs of neighbours; the halves of a lone image."""
    if len(block.image_ids) > 1:
        borders = block.starts[contiguous_folds(len(block.image_ids), _FOLDS)]
    else:
        borders = np.array([0, len(block.slices) // 2, len(block.slices)])
    pairs = []
    for first, last in itertools.pairwise(borders):
        inside = np.zeros(len(block.slices), bool)
        inside[first:last] = True
        train = random_rows(block.slices[~inside], settings.max_slices, rng).astype(np.float32)
        pairs.append((train, block.slices[inside].astype(np.float32)))
    return pairs
