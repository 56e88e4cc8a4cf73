"""PCA of slices, fitted on target and pool so that it keeps the directions in which they differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from safetensors import safe_open
from safetensors.numpy import load_file, save

from thresher.errors import DataError
from thresher.files import replacing


@dataclass(frozen=True)
class Projection:
    """Centre and axes of a PCA; axes are rows, largest variance first."""

    mean: Float32[np.ndarray, " c"]
    axes: Float32[np.ndarray, "d c"]
    explained: float
    """Share of the variance that the axes keep, 0..1."""

    def projected(self, slices: Float32[np.ndarray, "n c"]) -> Float32[np.ndarray, "n d"]:
        """The slices in the PCA's coordinates, not whitened: small directions stay small.

        Raises:
            DataError: `slices` has another width than the projection.
        """
        if slices.shape[1] != len(self.mean):
            raise DataError(f"projection: slices have {slices.shape[1]} features; it was fitted on {len(self.mean)}.")
        coordinates: Float32[np.ndarray, "n d"] = (slices - self.mean) @ self.axes.T
        return coordinates


def fit_projection(
    target: Float32[np.ndarray, "n c"], pool: Float32[np.ndarray, "m c"] | None, width: int
) -> Projection:
    """The PCA of an equal mix of target and pool slices.

    Both have equal weight, however many slices each has. A PCA of the target alone would discard the very directions
    in which the pool differs.

    Args:
        width: d, the number of axes to keep; at most c are kept.

    Source: Jolliffe 2002, Principal Component Analysis, ch. 2; the equal mix is ours.
    """
    sides = [side.astype(np.float64) for side in (target, pool) if side is not None and len(side)]
    if not sides:
        raise DataError("projection: no slices to fit on; every sampled image failed to read.")
    mean = np.mean([side.mean(axis=0) for side in sides], axis=0)
    covariance = np.mean([(side - mean).T @ (side - mean) / len(side) for side in sides], axis=0)
    variance, axes = np.linalg.eigh(covariance)
    order = np.argsort(variance)[::-1][:width]
    kept = axes[:, order].T
    # The sign of an axis is arbitrary; fixing it makes equal inputs give equal files.
    kept *= np.sign(kept[np.arange(len(kept)), np.abs(kept).argmax(axis=1)])[:, None]
    explained = float(variance[order].sum() / max(variance.sum(), np.finfo(float).tiny))
    return Projection(mean.astype(np.float32), kept.astype(np.float32), explained)


def save_projection(projection: Projection, path: Path, fingerprint: str = "") -> None:
    """Write it as safetensors, with a fingerprint of its inputs."""
    arrays = {
        "mean": projection.mean,
        "axes": np.ascontiguousarray(projection.axes),
        "explained": np.array([projection.explained]),
    }
    with replacing(path) as file:
        file.write(save(arrays, metadata={"fingerprint": fingerprint}))


def projection_is_current(path: Path, fingerprint: str) -> bool:
    """Whether the projection exists and has this fingerprint."""
    if not path.is_file():
        return False
    with safe_open(path, framework="numpy") as file:
        return (file.metadata() or {}).get("fingerprint") == fingerprint


def load_projection(path: Path) -> Projection:
    """The projection written by `save_projection`."""
    arrays = load_file(path)
    return Projection(arrays["mean"], arrays["axes"], float(arrays["explained"][0]))
