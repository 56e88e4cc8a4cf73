"""insight: slices, mixture, pooled vectors and scores → tables, charts and pictures of the mixture's components."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher import extras, tables
from thresher.density import findings
from thresher.density.components import component_shares, typical_slices
from thresher.density.em import MixtureSettings
from thresher.density.held_out import HeldOut, held_out_similarity
from thresher.density.map import similarity_map
from thresher.density.mixture import (
    Mixture,
    load_mixture,
    log_density,
    responsibilities,
)
from thresher.density.similarity import mean_log_density
from thresher.density.slice_block import SliceBlock
from thresher.drawings.heat_map import heat_scale
from thresher.errors import DataError, SettingsError
from thresher.features.shards import has_grid, slices_of
from thresher.files import replacing
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, Track, perform, untracked
from thresher.run_files import existing
from thresher.settings import Texts, converted, default
from thresher.stages.heat import NO_GRID
from thresher.stages.insight_pictures import draw_components, draw_heat_maps

_CHARTS = ("components_tried", "components", "similarities", "map")


@converted
@dataclass(frozen=True)
class InsightSettings:
    """Sizes of the samples and pictures of `insight`."""

    pool_images: int = 2000
    """Number of random pool images for the component shares, similarities and domain gap."""
    map_images: int = 2000
    """Maximum number of images in the t-SNE map; half are target images, if there are enough."""
    slices_per_component: int = 8
    """Crops drawn per component, each from a different image."""
    heat_maps: int = 4
    """Heat maps drawn of each of the best, median and worst pool images by similarity. 0 = none."""
    heat_ids: Texts = default(())
    """Ids of further target or pool images to draw heat maps of."""
    folds: int = 3
    """Cross-validation folds of held-out similarity and domain gap: blocks of consecutive image ids."""
    resamples: int = 1000
    """Bootstrap resamples for the confidence interval of the domain gap."""
    seed: int = 0
    """Seed of the samples, of the held-out fits and of t-SNE."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        least = {
            "pool_images": 2,
            "map_images": 4,
            "slices_per_component": 1,
            "heat_maps": 0,
            "folds": 2,
            "resamples": 1,
        }
        for name, number in least.items():
            if getattr(self, name) < number:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected {number} or more.")


def insight(
    run: AnyRun, settings: InsightSettings | None = None, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Show the mixture's components and how far the pool is from the target, as tables, charts and pictures.

    Raises:
        SettingsError: the optional part `report` is not installed, or `heat_ids` names an image that has no slices.
        DataError: score has not run, or target or pool has fewer than two readable images.
    """
    run = as_run(run)
    settings = settings or InsightSettings()
    extras.require("report", "insight")
    opened = OpenedRun(run)
    read = {name: getattr(run, name) for name in ("images", "pooled", "projection", "mixture")}
    read["scores"] = run.scores_path
    existing(run.images)
    description = existing(run.mixture.with_suffix(".json"))
    read["mixture_json"] = description
    described = json.loads(description.read_text("utf-8"))
    tried = findings.components_tried(described["tried"], described["variance_floor"])
    drawn = _drawn(opened, settings)
    if dry_run:
        count = {role: len(ids) for role, ids in (("target_images", drawn.target), ("pool_images", drawn.pool))}
        return StageResult("insight", "planned", {**count, "heat_maps": len(drawn.heat), "folder": str(run.insight)})
    charts = [name for name in _CHARTS if name != "components_tried" or tried.height]
    outputs = [run.insight / f"{name}.parquet" for name in (*_TABLES, "heat")]
    outputs += [run.insight / f"{name}.{kind}" for name in charts for kind in ("json", "png")]
    outputs += [run.insight / name for name in ("component_slices.png", "summary.json")]
    outputs += [run.insight / "heat" / f"{name}.png" for name in drawn.heat]

    def work() -> tuple[dict[str, Any], int]:
        return _work(opened, settings, drawn, tried, track)

    return perform(run, "insight", settings, read, outputs, work)


@dataclass(frozen=True)
class _Drawn:
    """Sampled image ids, sorted; heat maps by picture name; ranks of the pool by similarity."""

    target: list[str]
    pool: list[str]
    heat: dict[str, str]
    ranks: dict[str, int]
    paths: dict[str, Path]


def _drawn(opened: OpenedRun, settings: InsightSettings) -> _Drawn:
    readable = opened.images.join(opened.pooled.select("image_id"), on="image_id", how="semi").sort("image_id")
    target, pool = (readable.filter(role=role)["image_id"].to_list() for role in ("target", "pool"))
    for role, ids in (("target", target), ("pool", pool)):
        if len(ids) < 2:
            raise DataError(f"{opened.run.folder}: the {role} has {len(ids)} readable images; insight needs 2 or more.")
    paths = {name: Path(path) for name, path in readable.select("image_id", "path").iter_rows()}
    unknown = [image_id for image_id in settings.heat_ids if image_id not in paths]
    if unknown:
        raise SettingsError(
            f"heat_ids: no readable image '{unknown[0]}' in this run. Ids look like '{target[0]}'; "
            "images.parquet lists them, problems.parquet those that could not be read."
        )
    ranked = opened.scores.sort(["similarity", "image_id"], descending=[True, False])["image_id"].to_list()
    heat: dict[str, str] = {}
    if has_grid(opened.pooled):
        heat = _ranked_places(ranked, settings.heat_maps)
        heat |= {f"asked-{number}": image_id for number, image_id in enumerate(settings.heat_ids, 1)}
    elif settings.heat_ids:
        raise SettingsError(f"heat_ids: {NO_GRID}")
    ranks = {image_id: rank for rank, image_id in enumerate(ranked, 1)}
    return _Drawn(target, _some(pool, settings.pool_images, settings.seed), heat, ranks, paths)


def _some(ids: list[str], most: int, seed: int) -> list[str]:
    """At most `most` of the ids, in their old order."""
    kept = np.sort(np.random.default_rng(seed).permutation(len(ids))[:most])
    return [ids[number] for number in kept]


def _ranked_places(ids: list[str], each: int) -> dict[str, str]:
    """Names of pictures and the pool images, nearest first, that they show: best-1 …, median-1 …, worst-1 ….

    In a small pool an image can have two of these names; it gets the first.
    """
    middle = max(0, (len(ids) - each) // 2)
    places = {"best": ids[:each], "worst": ids[::-1][:each], "median": ids[middle : middle + each]}
    named: dict[str, str] = {}
    for place, chosen in places.items():
        new = {f"{place}-{number}": image_id for number, image_id in enumerate(chosen, 1)}
        named |= {name: image_id for name, image_id in new.items() if image_id not in named.values()}
    return named


_TABLES = {
    "components_tried": tables.COMPONENTS_TRIED,
    "components": tables.COMPONENTS,
    "component_slices": tables.COMPONENT_SLICES,
    "similarities": tables.SIMILARITIES,
    "similarity_bins": tables.SIMILARITY_BINS,
    "map": tables.MAP,
}


def _work(
    opened: OpenedRun, settings: InsightSettings, drawn: _Drawn, tried: pl.DataFrame, track: Track[Any]
) -> tuple[dict[str, Any], int]:
    run = opened.run
    rng = np.random.default_rng(settings.seed)
    mixture = load_mixture(run.mixture)
    target = slices_of(run.slices, set(drawn.target))
    pool = slices_of(run.slices, set(drawn.pool))
    held_out = held_out_similarity(
        target.slices, target.starts, len(mixture.weights), _fit_settings(opened), rng, settings.folds
    )
    similarities = _similarities(mixture, held_out, target, pool)
    shares = component_shares(mixture, target.slices), component_shares(mixture, pool.slices)
    vectors = _vectors(opened, drawn)
    gap = findings.domain_gap(
        vectors["target"], vectors["pool"], rng, folds=settings.folds, resamples=settings.resamples
    )
    made = {
        "components_tried": tried,
        "components": findings.component_sizes(mixture.weights, *shares),
        "component_slices": _component_slices(mixture, target, settings.slices_per_component),
        "similarities": similarities,
        "similarity_bins": findings.similarity_bins(similarities),
        "map": _map(drawn, vectors, settings),
    }
    for name, table in made.items():
        tables.write(tables.checked(table, _TABLES[name], f"insight/{name}"), run.insight / f"{name}.parquet")
    summary = _summary(similarities, gap, held_out, made["components"])
    _draw_charts(run, made, gap, summary)
    problems = draw_components(run, made["component_slices"], made["components"], drawn.paths, target)
    problems |= draw_heat_maps(run, drawn.heat, drawn.ranks, drawn.paths, mixture, held_out, target, track)
    rows: list[dict[str, object]] = [
        {
            "image_id": image_id,
            "path": str(drawn.paths[image_id]),
            "stage": "insight",
            "problem": "image_unreadable",
            "detail": reason,
        }
        for image_id, reason in sorted(problems.items())
    ]
    run.add_problems("insight", tables.from_rows(rows, tables.PROBLEMS))
    with replacing(run.insight / "summary.json") as file:
        file.write((json.dumps(summary, indent=1) + "\n").encode())
    without = {} if drawn.heat or not settings.heat_maps else {"no_heat_maps": NO_GRID}
    return {**summary, **without, "folder": str(run.insight)}, len(rows)


def _fit_settings(opened: OpenedRun) -> MixtureSettings:
    """The settings of the run's mixture, from the manifest."""
    recorded = opened.settings_of("fit")
    known = {field.name for field in dataclasses.fields(MixtureSettings)}
    return MixtureSettings(**{name: value for name, value in recorded.items() if name in known})


def _similarities(mixture: Mixture, held_out: HeldOut, target: SliceBlock, pool: SliceBlock) -> pl.DataFrame:
    """Target and pool under mixtures fitted without them, so that they are comparable; and under the run's own."""
    unseen = np.mean([mean_log_density(fold, pool.slices, pool.starts) for fold in held_out.mixtures], axis=0)
    columns = {
        "image_id": [*target.image_ids, *pool.image_ids],
        "role": ["target"] * len(target.image_ids) + ["pool"] * len(pool.image_ids),
        "similarity": np.concatenate([held_out.similarities, unseen]),
        "fitted_nats": np.concatenate([mean_log_density(mixture, b.slices, b.starts) for b in (target, pool)]),
    }
    return pl.DataFrame(columns, schema=dict(tables.SIMILARITIES)).sort("image_id")


def _component_slices(mixture: Mixture, target: SliceBlock, count: int) -> pl.DataFrame:
    rows = typical_slices(mixture, target.slices, target.starts, count)
    shares = [responsibilities(mixture, target.slices[own])[:, k] for k, own in enumerate(rows)]
    densities = [log_density(mixture, target.slices[own]) for own in rows]
    return findings.component_slices(rows, target.image_ids, target.starts, target.grids, shares, densities)


def _vectors(opened: OpenedRun, drawn: _Drawn) -> dict[str, np.ndarray]:
    """Pooled vectors in the order of the drawn ids."""
    return {
        role: opened.vectors(pl.DataFrame({"image_id": ids}, schema={"image_id": pl.String}))[1]
        for role, ids in (("target", drawn.target), ("pool", drawn.pool))
    }


def _map(drawn: _Drawn, vectors: dict[str, np.ndarray], settings: InsightSettings) -> pl.DataFrame:
    half = max(settings.map_images // 2, settings.map_images - len(drawn.pool))
    target = _some(drawn.target, half, settings.seed)
    pool = _some(drawn.pool, settings.map_images - len(target), settings.seed)
    rows = [
        vectors[role][np.searchsorted(np.array(every), np.array(some))]
        for role, every, some in (("target", drawn.target, target), ("pool", drawn.pool, pool))
    ]
    roles = ["target"] * len(target) + ["pool"] * len(pool)
    return similarity_map(target + pool, roles, np.concatenate(rows), settings.seed)


def _summary(
    similarities: pl.DataFrame, gap: findings.DomainGap, held_out: HeldOut, sizes: pl.DataFrame
) -> dict[str, Any]:
    """The numbers in titles and captions."""
    target, pool = (similarities.filter(pl.col("role") == role) for role in ("target", "pool"))
    reached, share = findings.near_share(similarities)
    scale = heat_scale(held_out.log_densities)
    return {
        "domain_gap": asdict(gap),
        "target_images": target.height,
        "pool_images": pool.height,
        "components": sizes.height,
        "median_nats": {
            "target_held_out": _median(target, "similarity"),
            "target_fitted": _median(target, "fitted_nats"),
            "pool": _median(pool, "similarity"),
            "pool_fitted": _median(pool, "fitted_nats"),
        },
        "nats_reached_by_95_percent_of_target": reached,
        "share_of_pool_that_reaches_it": share,
        "heat_scale_nats": [scale.low, scale.high],
    }


def _median(frame: pl.DataFrame, column: str) -> float:
    return float(np.median(frame[column].to_numpy()))


def _draw_charts(run: Run, made: dict[str, pl.DataFrame], gap: findings.DomainGap, summary: dict[str, Any]) -> None:
    from thresher.drawings import charts

    reached, share = summary["nats_reached_by_95_percent_of_target"], summary["share_of_pool_that_reaches_it"]
    specs = {
        "components": charts.component_sizes_chart(made["components"]),
        "similarities": charts.similarities_chart(made["similarity_bins"], reached, share),
        "map": charts.map_chart(made["map"], gap),
    }
    if made["components_tried"].height:
        specs["components_tried"] = charts.components_tried_chart(made["components_tried"])
    for name in set(_CHARTS) - set(specs):  # left by a run with components = auto
        for kind in ("json", "png"):
            (run.insight / f"{name}.{kind}").unlink(missing_ok=True)
    for name, spec in specs.items():
        with replacing(run.insight / f"{name}.json") as file:
            file.write((json.dumps(spec, sort_keys=True) + "\n").encode())
        with replacing(run.insight / f"{name}.png") as file:
            file.write(charts.png(spec))
