"""Where in an image its layout is like the target's: the layout score, shared out to the slices."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from thresher.density.layout import BANDS, middle_and_sides, uncentred
from thresher.density.scorers import FittedScorers
from thresher.density.slice_block import SliceBlock
from thresher.vectors import unit_length


def local_layout(fitted: FittedScorers, images: SliceBlock) -> list[Float64[np.ndarray, "h w"]]:
    """How near each slice is to what the layout query looks for in its place.

    Returns:
        Of each image a number per slice, higher is nearer the target, on the scale of the score `layout`: it is their
        mean if each of the 14 parts of the layout counts as much as the others, as in the score, and no slice lies in
        two of them. What the whole image adds to the score is in all its slices.

    Source: the score is a sum of dot products with the directions of sums of slices, so each slice has its share in it.
    """
    width = len(fitted.origin)
    share = fitted.query_settings.pooled_share
    wanted = fitted.query[: 2 * BANDS * width].reshape(BANDS, 2, width)
    whole = np.sqrt(share) * (unit_length(images.pooled, np.float64) @ fitted.query[2 * BANDS * width :])
    slices = uncentred(images.slices, fitted.origin)
    found = []
    for number, (height, columns) in enumerate(images.grids.tolist()):
        own = slices[images.starts[number] : images.starts[number + 1]].astype(np.float64)
        weights = _weights(height, columns)
        counts, lengths = weights.sum(axis=2), np.linalg.norm(np.tensordot(weights, own, 1), axis=2)
        near = np.einsum("id,bpd->bpi", own, wanted) * (counts / np.where(lengths > 0, lengths, 1))[:, :, None]
        local = (weights * near).sum(axis=(0, 1)) / weights.sum(axis=(0, 1))
        found.append((np.sqrt(2 * BANDS * (1 - share)) * local + whole[number]).reshape(height, columns))
    return found


def _weights(height: int, width: int) -> Float64[np.ndarray, "bands parts n"]:
    """How much of each slice of a grid belongs to each band's middle and sides (`layout.part_sums`)."""
    rows = np.zeros((BANDS, height))
    for band in range(BANDS):
        rows[band, band * height // BANDS : -(-(band + 1) * height // BANDS)] = 1
    weights: Float64[np.ndarray, "bands parts n"] = np.einsum("bh,pw->bphw", rows, middle_and_sides(width))
    return weights.reshape(BANDS, 2, height * width)
