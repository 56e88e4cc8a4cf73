"""What was tried for the default score and left, beside what was kept.

Run:     python benchmarks/tried.py runs/camvid   (after: thresher run experiments/camvid.toml)
Prints:  a line per idea over the eight pairs that the CamVid run gives: in how many of 16 AUCs it reaches the best
         simple baseline (within 0.0005), its worst shortfall, the mean AUC, and CamVid's driving / street.
Cost:    about 4 minutes on one core.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from choosing import aucs, best_baseline, told
from pairs import PAIRS, Pair, embedded

from thresher import Run
from thresher.density import mixture, sphere
from thresher.density.em import MixtureSettings, fit_mixture
from thresher.density.layout import (
    QuerySettings,
    bands,
    dots,
    layout_query,
    layouts,
    mean_direction,
    uncentred,
)
from thresher.density.scorers import NEIGHBOURS, SliceBlock
from thresher.density.similarity import cosine_to_mean, mean_of_slices
from thresher.vectors import nearest_rows, random_rows, unit_length

SAMPLED, SEED = 20_000, 0
CHOSEN = QuerySettings()
#: As the weights were before the middle of each band was told from its sides.
EARLIER = QuerySettings(0.2, 1.5, 1.0, 0.5, 0.05)


def standard(score: np.ndarray) -> np.ndarray:
    """In standard deviations from the mean."""
    scaled: np.ndarray = (score - score.mean()) / score.std()
    return scaled


def ranks(score: np.ndarray) -> np.ndarray:
    """Position among all, 0 to 1, higher = nearer."""
    return np.argsort(np.argsort(score, kind="stable")) / len(score)


def kept_mean(values: np.ndarray, starts: np.ndarray, low: float, high: float) -> np.ndarray:
    """The mean of each image's values between two quantiles."""
    found = []
    for first, last in itertools.pairwise(starts):
        ordered = np.sort(values[first:last])
        found.append(ordered[int(low * len(ordered)) : int(np.ceil(high * len(ordered)))].mean())
    return np.array(found)


def row_numbers(images: SliceBlock) -> np.ndarray:
    """How far down the picture each slice lies, 0 to 1."""
    shapes = [np.repeat((np.arange(height) + 0.5) / height, width) for height, width in images.grids]
    return np.concatenate(shapes).astype(np.float32)[:, None]


def shared_covariance(rows: np.ndarray, about: np.ndarray, means: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """−(squared Mahalanobis distance) of each scored row to the nearest mean, one covariance for all."""
    residual = rows - means[about]
    covariance = residual.T @ residual / len(rows) + 1e-6 * np.eye(rows.shape[1])
    root = np.linalg.cholesky(np.linalg.inv(covariance)).astype(np.float32)
    ours, theirs = scored @ root, means @ root
    distance = (ours * ours).sum(axis=1)[:, None] - 2 * ours @ theirs.T + (theirs * theirs).sum(axis=1)
    nearest: np.ndarray = -distance.min(axis=1)
    return nearest


def on_slices(pair: Pair, target: SliceBlock, pool: SliceBlock) -> Iterator[tuple[str, np.ndarray]]:
    """Ideas for densities of slices."""
    rng = np.random.default_rng(SEED)
    quick = MixtureSettings(tolerance=1e-2)
    drawn = np.sort(rng.permutation(len(target.slices))[:SAMPLED])
    ours, theirs = target.slices[drawn].astype(np.float32), pool.slices.astype(np.float32)
    gaussian = fit_mixture(ours, 8, quick, rng).mixture
    unit_ours, unit_theirs = (unit_length(uncentred(each, pair.data.origin)) for each in (ours, theirs))
    vmf = sphere.fit_sphere(unit_ours, 32, rng).sphere
    for name, values in (
        ("full mixture, 8", mixture.log_density(gaussian, theirs)),
        ("sphere, 32", sphere.log_density(vmf, unit_theirs)),
    ):
        yield name, mean_of_slices(values, pool.starts)
        for low, high in ((0.1, 0.9), (0.2, 1.0), (0.5, 1.0)):
            yield f"{name}, mean of quantiles {low} to {high}", kept_mean(values, pool.starts, low, high)
    for weight in (0.1, 0.3):
        with_row, pool_row = (
            np.hstack([each, weight * row])
            for each, row in ((ours, row_numbers(target)[drawn]), (theirs, row_numbers(pool)))
        )
        fitted = fit_mixture(with_row, 8, quick, rng).mixture
        yield (
            f"full mixture, 8, with {weight} × row",
            mean_of_slices(mixture.log_density(fitted, pool_row), pool.starts),
        )
    for components in (1, 8, 32):
        axes = sphere.fit_sphere(unit_ours, components, rng).sphere.directions.astype(np.float32)
        about = (unit_ours @ axes.T).argmax(axis=1)
        means = np.stack(
            [unit_ours[about == k].mean(axis=0) if (about == k).any() else axes[k] for k in range(len(axes))]
        )
        values = shared_covariance(unit_ours, about, means, unit_theirs)
        yield f"Mahalanobis++ of slices, {components} means, tied covariance", mean_of_slices(values, pool.starts)


def fisher(vectors: np.ndarray, score: np.ndarray, nearest: int, shrinkage: float) -> np.ndarray:
    """Along Fisher's direction between the pool's own nearest and its farther half, within-covariance shrunk."""
    order = np.argsort(-score, kind="stable")
    near, far = vectors[order[:nearest]], vectors[order[len(order) // 2 :]]
    residual = np.concatenate([near - near.mean(axis=0), far - far.mean(axis=0)])
    covariance = residual.T @ residual / len(residual)
    wide = len(covariance)
    shrunk = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / wide * np.eye(wide)
    along: np.ndarray = vectors @ np.linalg.solve(shrunk, near.mean(axis=0) - far.mean(axis=0))
    return along


def second_look(target: np.ndarray, pool: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The query moved once more, towards what stands at the top after the first time."""
    order = np.argsort(-score, kind="stable")
    nearest = max(1, int(min(CHOSEN.top_of_target * len(target), CHOSEN.top_of_pool * len(pool))))
    query = mean_direction(target) + CHOSEN.towards_top * mean_direction(pool[order[:nearest]])
    return dots(pool, query - CHOSEN.from_bottom * mean_direction(pool[order[(len(order) + 1) // 2 :]]))


def on_layouts(pair: Pair, target: SliceBlock, pool: SliceBlock) -> Iterator[tuple[str, np.ndarray]]:
    """What is kept, its parts one by one, and what was to be added to it."""
    origin = pair.data.origin

    def described(images: SliceBlock, share: float, sides: bool = True) -> np.ndarray:
        slices = uncentred(images.slices, origin)
        if sides:
            return layouts(slices, images.starts, images.grids, images.pooled, share)
        rows = np.sqrt(1 - share) * bands(slices, images.starts, images.grids).astype(np.float32)
        return np.hstack([rows, np.sqrt(share) * unit_length(images.pooled)])

    def scored(settings: QuerySettings, sides: bool = True) -> np.ndarray:
        ours, theirs = (described(each, settings.pooled_share, sides) for each in (target, pool))
        return dots(theirs, layout_query(ours, theirs, settings).direction)

    kept = scored(CHOSEN)
    yield "kept: layout", kept
    yield "layout as it was", scored(EARLIER, sides=False)
    yield "layout, sides apart, weights as they were", scored(EARLIER)
    yield "layout, bands only, new weights", scored(CHOSEN, sides=False)
    yield "layout without a look at the pool", scored(replace(CHOSEN, towards_top=0.0, from_bottom=0.0))
    ours, theirs = (described(each, CHOSEN.pooled_share).astype(np.float32) for each in (target, pool))
    yield "layout, two looks", second_look(ours, theirs, kept)
    yield "layout, mean cosine to its 5 nearest", nearest_rows(theirs, ours, NEIGHBOURS)[1].mean(axis=1)
    for shrinkage in (0.3, 0.9):
        nearest = min(len(ours), len(theirs) // 10)
        yield f"layout, Fisher's direction, shrinkage {shrinkage}", fisher(theirs, kept, nearest, shrinkage)
    vmf = sphere.fit_sphere(target.pooled, min(4, len(target.pooled)), np.random.default_rng(SEED)).sphere
    slices = unit_length(uncentred(random_rows(target.slices, SAMPLED, np.random.default_rng(SEED)), origin))
    on_sphere = sphere.fit_sphere(slices, 32, np.random.default_rng(SEED)).sphere
    others = {
        "cosine": cosine_to_mean(pool.pooled, target.pooled),
        "nearest": nearest_rows(pool.pooled, target.pooled, NEIGHBOURS)[1].mean(axis=1),
        "pooled_sphere": sphere.log_density(vmf, pool.pooled),
        "sphere": mean_of_slices(sphere.log_density(on_sphere, uncentred(pool.slices, origin)), pool.starts),
    }
    for name, other in others.items():
        for weight in (0.25, 0.5):
            yield f"layout + {weight} {name}, z-scores", standard(kept) + weight * standard(other)
            yield f"layout + {weight} {name}, ranks", ranks(kept) + weight * ranks(other)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    data = embedded(Run(parser.parse_args().folder))
    pairs = [pair for choice in ("camvid", "sequences", "weak") for pair in PAIRS[choice](data)]
    rows = bands(uncentred(data.images.slices, data.origin), data.images.starts, data.images.grids)
    best = np.concatenate([best_baseline(pair, rows) for pair in pairs])
    found: dict[str, list[float]] = {}
    for pair in pairs:
        target, pool = data.subset(pair.target), data.subset(pair.pool)
        for ideas in (on_layouts, on_slices):
            for name, score in ideas(pair, target, pool):
                found.setdefault(name, []).extend(aucs(pair, score))
    for name, values in found.items():
        print(f"{name:52s} {told(np.array(values), best)} camvid {values[0]:.4f} / {values[1]:.4f}", flush=True)


if __name__ == "__main__":
    main()
