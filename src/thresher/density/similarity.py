"""Similarity of images to the target, from their slices."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float64, Int64

from thresher.density.mixture import Mixture, log_density
from thresher.errors import DataError
from thresher.vectors import unit_length


def mean_log_density(
    mixture: Mixture, slices: Float[np.ndarray, "n d"], starts: Int64[np.ndarray, " images_plus_1"]
) -> Float64[np.ndarray, " images"]:
    """Similarity of each image to the target: sim(x) = (1/s) Σ_i log p(φ_i).

    Args:
        starts: Image i owns rows `starts[i]` to `starts[i + 1]`; each has at least one.

    Returns:
        Nats per slice; higher is nearer the target. Comparable within one mixture only.

    Raises:
        DataError: an image has no slices.

    Source: arXiv 1907.07023 §III-B.

    >>> mean_log_density(Mixture.standard(d=1), np.array([[0.0], [0.0], [1.0]]), np.array([0, 2, 3])).round(3)
    array([-0.919, -1.419])
    """
    return mean_of_slices(log_density(mixture, slices, starts=starts), starts)


def mean_of_slices(
    values: Float64[np.ndarray, " n"], starts: Int64[np.ndarray, " images_plus_1"]
) -> Float64[np.ndarray, " images"]:
    """The mean of each image's values.

    Raises:
        DataError: an image has no slices.
    """
    lengths = np.diff(starts)
    if (lengths < 1).any():
        raise DataError(f"similarity: image {int(np.argmin(lengths))} of the block has no slices. Embed it again.")
    means: Float64[np.ndarray, " images"] = np.add.reduceat(values, starts[:-1]) / lengths
    return means


def cosine_to_mean(vectors: Float[np.ndarray, "n c"], target: Float[np.ndarray, "m c"]) -> Float64[np.ndarray, " n"]:
    """Cosine of each pooled vector to the target's mean direction: a baseline; −1..1, higher is nearer."""
    mean = unit_length(unit_length(target).mean(axis=0, keepdims=True))
    cosine: Float64[np.ndarray, " n"] = np.einsum("nc,c->n", unit_length(vectors), mean[0]).astype(np.float64)
    return cosine
