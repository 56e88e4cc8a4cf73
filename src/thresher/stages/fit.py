"""fit: slices of target and pool → mixture.safetensors, mixture.json, evidence.safetensors."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float16, Float32, Float64

from thresher.density.em import (
    CANDIDATES,
    FLOORS,
    Fit,
    MixtureSettings,
    Tried,
    choose_mixture,
    fit_blocks,
    fit_mixture,
    fit_stepwise,
)
from thresher.density.fitted_scorers import save_fitted_scorers
from thresher.density.held_out import component_folds, held_out_similarity
from thresher.density.layout import QuerySettings, layouts, origin_of, uncentred
from thresher.density.mixture import save_mixture
from thresher.density.scorers import FittedScorers, queries
from thresher.density.slice_block import SliceBlock
from thresher.density.sphere import fit_sphere
from thresher.errors import SettingsError
from thresher.features.projection import load_projection
from thresher.features.shards import owned, read_blocks, shards_with_slices, slices_of
from thresher.files import replacing
from thresher.run.digests import Input
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.inputs import embedded_pool, embedded_target, pool_keys
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, Track, fingerprint, is_current, perform, untracked
from thresher.settings import converted
from thresher.stages.plan import Plan, Slices, fit_plan
from thresher.vectors import random_rows

#: Cross-validation folds to choose K.
_FOLDS = 3
#: Images of the target whose slices are one block, where all of them are used.
_BLOCK_IMAGES = 512
#: Slices to a component, about, where "auto" finds the best K for full covariances of 64 dimensions.
_SLICES_OF_A_COMPONENT = 500
#: Nats per slice by which the target's unseen images may be less likely than those that a mixture was fitted to.
_MOST_OVERFITTING = 1000.0
#: Fewer pool images than this as near as the target's own: the pool holds hardly anything alike.
_FEWEST_ALIKE = 10


@converted
@dataclass(frozen=True)
class FitSettings(MixtureSettings, QuerySettings):
    """Models of target and pool: the Gaussian mixture of the paper, and those of the other scores."""

    slice_directions: int = 32
    """Components of the von Mises–Fisher mixture of slices (score sphere)."""
    pooled_directions: int = 4
    """Components of the von Mises–Fisher mixture of pooled vectors (score pooled_sphere), at most one per image."""
    pool_images: int = 100_000
    """Number of random pool images that the layout query and the pool's mixture (score ratio) are fitted on."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        MixtureSettings.__post_init__(self)
        QuerySettings.__post_init__(self)
        for name in ("slice_directions", "pooled_directions", "pool_images"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected 1 or more.")


def fit(
    run: AnyRun,
    settings: FitSettings | None = None,
    *,
    refit: bool = False,
    dry_run: bool = False,
    track: Track[Any] = untracked,
) -> StageResult:
    """Fit the mixture to the slices of the target's images, and the models of the other scores.

    All of it is kept while the target stays and less than a fifth of the pool's images have come or gone.

    Args:
        run: The run, or the path of its folder.
        refit: Fit again to the pool as it is now, however little of it has changed.
        dry_run: Only estimate images, bytes, memory and time.
        track: Wraps an iterable to show progress.

    Raises:
        DataError: embed has not run, or the target has fewer slices than components.
    """
    run = as_run(run)
    settings = settings or FitSettings()
    opened = OpenedRun(run)
    images, target = opened.images, opened.target
    if dry_run:
        sizes = {"target_images": target.height, "components": settings.components}
        plan = planned_fit(Slices.of(run), settings, target.height, images.height)
        return StageResult("fit", "planned", sizes | plan.summary(run))
    inputs: dict[str, Input] = {
        "projection": run.projection,
        "embedded_target": embedded_target(run.folder),
        "embedded_pool": embedded_pool(run.folder, None if refit else _recorded_pool(run)),
    }
    outputs = [run.mixture, run.mixture.with_suffix(".json"), run.evidence]
    if not is_current(run, "fit", fingerprint("fit", settings, inputs), outputs):
        # Where it is fitted again, whatever for, it is fitted to the pool as it is now.
        inputs["embedded_pool"] = embedded_pool(run.folder)

    def work() -> tuple[dict[str, Any], int]:
        rng = np.random.default_rng(settings.seed)
        wanted = set(target["image_id"].to_list())
        block = slices_of(run.slices, wanted)
        tried = _tried(block, settings, rng, track)
        used = _with_best(settings, tried)
        for components in track([int(used.components)], 1, "fitting the mixture"):
            fitted, slices = _fitted(block, components, used, rng)
        save_mixture(fitted.mixture, run.mixture)
        _write_description(fitted, tried, used.floor, run)
        pool = opened.pool["image_id"].sort()
        drawn = pool.gather(np.sort(rng.permutation(len(pool))[: settings.pool_images]))
        for ids in track([drawn.to_list()], 1, "learning from the pool"):
            scorers, alike = _fitted_scorers(run, block, ids, fitted, used, rng)
            save_fitted_scorers(scorers, run.evidence, pool_keys(run.folder))
        return _warnings(fitted, scorers, slices, alike, len(drawn)) | {
            "slices": slices,
            "data": settings.data,
            "components": len(fitted.mixture.weights),
            "covariance": settings.covariance,
            "variance_floor": used.floor,
            "log_likelihood_nats": round(fitted.log_likelihood, 3),
            "iterations": fitted.iterations,
            "converged": fitted.converged,
            "held_out_nats": {
                str(choice.components): round(choice.held_out, 3)
                for choice in tried
                if choice.variance_floor == used.floor
            },
            "pool_as_near_as_the_target": f"{alike} of {len(drawn)}",
        }, 0

    return perform(run, "fit", settings, inputs, outputs, work)


def _tried(block: SliceBlock, settings: FitSettings, rng: np.random.Generator, track: Track[Any]) -> list[Tried]:
    """What each number of components, and each variance floor, reached on slices not fitted on; none if K is given."""
    if settings.components != "auto":
        return []
    candidates = track(CANDIDATES, len(CANDIDATES), "choosing the number of components")
    return choose_mixture(component_folds(block, _FOLDS, settings.max_slices, rng), settings, rng, candidates)


def _with_best(settings: FitSettings, tried: list[Tried]) -> FitSettings:
    if not tried:
        return settings
    best = max(tried, key=lambda choice: choice.held_out)
    return replace(settings, components=best.components, variance_floor=best.variance_floor)


def _recorded_pool(run: Run) -> str | None:
    """What was recorded of the pool when the evidence was fitted; None if it was not."""
    inputs: dict[str, str] = run.recorded().get("fit", {}).get("inputs", {})
    return inputs.get("embedded_pool")


def _warnings(fitted: Fit, scorers: FittedScorers, slices: int, alike: int, pool: int) -> dict[str, Any]:
    """Whether the mixture fits single images of the target rather than what they have in common; and a foreign pool."""
    warnings = {}
    if pool and alike < _FEWEST_ALIKE:
        warnings["foreign_pool"] = (
            f"{alike} of {pool} pool images are as near to the target as its own images are to each other. Scores "
            "still rank the pool, but look at the first of them before you label or train: `thresher sheet RUN "
            "NAME`. Where you can, give a pool that holds scenes like the target's."
        )
    unseen = float(np.median(scorers.held_out_nats)) if len(scorers.held_out_nats) else -np.inf
    if fitted.log_likelihood - unseen <= _MOST_OVERFITTING:
        return warnings
    width = fitted.mixture.means.shape[1]
    return warnings | {
        "warning": f"the mixture overfits: {slices} slices of {width} numbers are too few, and images of the target "
        "that it has not seen are far less likely than those it was fitted to. Do not rank by similarity: give more "
        "images of the target, embed with a smaller --width, or use --method cosine."
    }


def planned_fit(slices: Slices | None, settings: FitSettings, target: int, images: int) -> Plan:
    """Estimates: each K is fitted on every fold, the chosen one to target, pool and once more per fold."""
    pool = images - target
    if settings.components == "auto":
        used = min(settings.max_slices, target * (slices.per_image if slices else 0))
        chosen = max(k for k in CANDIDATES if k == 1 or k * _SLICES_OF_A_COMPONENT <= used)
        # Two more are tried after the best.
        tried = sum(k for k in CANDIDATES if k <= 4 * chosen) * _FOLDS
        if settings.variance_floor == "auto":
            tried += len(FLOORS) * chosen * _FOLDS
    else:
        tried, chosen = 0, int(settings.components)
    fits = tried + chosen * (2 + _FOLDS) + settings.slice_directions / 8
    return fit_plan(slices, target, pool, min(pool, settings.pool_images), fits, settings.max_slices)


def _fitted(block: SliceBlock, components: int, settings: MixtureSettings, rng: np.random.Generator) -> tuple[Fit, int]:
    """The fit, and the number of slices that it used."""
    if settings.data == "sample":
        slices = random_rows(block.slices, settings.max_slices, rng).astype(np.float32)
        return fit_mixture(slices, components, settings, rng), len(slices)
    cuts = [*block.starts[:-1:_BLOCK_IMAGES], len(block.slices)]
    parts = [block.slices[first:last] for first, last in itertools.pairwise(cuts)]
    # Stepwise EM weights recent blocks more, so images must not come in the order of recording.
    if settings.data == "stepwise":
        parts = [parts[number] for number in rng.permutation(len(parts))]
    fit_all = fit_stepwise if settings.data == "stepwise" else fit_blocks
    return fit_all(lambda: iter(parts), components, settings, rng), len(block.slices)


def _fitted_scorers(
    run: Run, target: SliceBlock, pool: list[str], fitted: Fit, settings: FitSettings, rng: np.random.Generator
) -> tuple[FittedScorers, int]:
    """The other models of the scorers: mixtures of the pool and on the sphere, layout query, held-out similarity.

    And how many images of the pool are as near as the target's own.
    """
    projection = load_projection(run.projection)
    origin = origin_of(projection.mean, projection.axes)
    slices = random_rows(target.slices, settings.max_slices, rng).astype(np.float32)
    components = len(fitted.mixture.weights)
    pool_slices, pool_layouts = _pool_sample(run, pool, origin, settings, rng)
    rows_query, query = queries(target, pool_layouts, origin, settings)
    enough = max(1, min(settings.slice_directions, len(slices)))
    pool_fit = fit_mixture(pool_slices, min(components, len(pool_slices)), settings, rng) if len(pool_slices) else None
    held_out = np.empty(0)
    if len(target.image_ids) > 1:
        held_out = held_out_similarity(target.slices, target.starts, components, settings, rng, _FOLDS).similarities
    scorers = FittedScorers(
        mixture=fitted.mixture,
        pool_mixture=(pool_fit or fitted).mixture,
        sphere=fit_sphere(uncentred(slices, origin), enough, rng).sphere,
        pooled_sphere=fit_sphere(target.pooled, min(settings.pooled_directions, len(target.pooled)), rng).sphere,
        pooled=target.pooled,
        origin=origin,
        rows_query=rows_query,
        query=query.direction,
        held_out_nats=held_out,
        query_settings=settings,
        alike_share=query.alike / len(pool) if pool else float("nan"),
    )
    return scorers, query.alike


def _pool_sample(
    run: Run, pool: list[str], origin: Float64[np.ndarray, " d_plus_1"], settings: FitSettings, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "n d"], Float16[np.ndarray, "images wide"]]:
    """At most `max_slices` slices of these pool images, and the layout of each image, in the order of their ids.

    How images are spread over shards has no part in it, so that a pool that has grown gives what a fresh run does.
    """
    there = shards_with_slices(run.slices, set(pool)).sort("image_id")
    place = {image_id: number for number, image_id in enumerate(there["image_id"])}
    starts = np.concatenate([[0], np.cumsum(there["slices"].to_numpy())]).astype(np.int64)
    drawn = random_rows(np.arange(starts[-1])[:, None], settings.max_slices, rng).ravel()
    cuts = np.searchsorted(drawn, starts)
    slices = np.empty((len(drawn), len(origin) - 1), np.float32)
    found = np.empty((0, 0), np.float16)
    for block in read_blocks(run.slices, there["shard"].unique().sort()):
        mine = owned(block, [image_id in place for image_id in block.image_ids])
        places = np.array([place[image_id] for image_id in mine.image_ids], np.int64)
        layout = layouts(uncentred(mine.slices, origin), mine.starts, mine.grids, mine.pooled, settings.pooled_share)
        found = found if found.size else np.empty((len(place), layout.shape[1]), np.float16)
        found[places] = layout
        for first, number in zip(mine.starts, places, strict=False):
            rows = slice(cuts[number], cuts[number + 1])
            slices[rows] = mine.slices[first + drawn[rows] - starts[number]]
    return slices, found


def _write_description(fitted: Fit, tried: list[Tried], floor: float, run: Run) -> None:
    """Write mixture.json: how the mixture was fitted, and each K and variance floor tried."""
    description = {
        "components": len(fitted.mixture.weights),
        "covariance": fitted.mixture.covariance,
        "variance_floor": floor,
        "log_likelihood_nats": fitted.log_likelihood,
        "iterations": fitted.iterations,
        "converged": fitted.converged,
        "tried": [asdict(choice) for choice in tried],
    }
    with replacing(run.mixture.with_suffix(".json")) as file:
        file.write((json.dumps(description, indent=1) + "\n").encode())
