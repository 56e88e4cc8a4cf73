"""A map of images in two dimensions: t-SNE of landmarks, and further images placed near them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Float64

from thresher import tables
from thresher.errors import DataError
from thresher.vectors import nearest_rows, unit_length

#: t-SNE's usual number of effective neighbours (van der Maaten & Hinton 2008 found 5 to 50 much alike).
_PERPLEXITY = 30.0


def similarity_map(
    image_ids: Sequence[str], roles: Sequence[str], vectors: Float[np.ndarray, "n c"], seed: int
) -> pl.DataFrame:
    """t-SNE coordinates of the images: neighbours in feature space stay neighbours; large distances mean nothing.

    Vectors are scaled to unit length first, so that neighbours are those of highest cosine.

    Raises:
        DataError: fewer than four images.

    Source: van der Maaten & Hinton 2008, Visualizing data using t-SNE; start from the PCA: Kobak & Berens 2019.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if len(image_ids) < 4:
        raise DataError(f"map: {len(image_ids)} images; t-SNE needs 4 or more.")
    perplexity = min(_PERPLEXITY, (len(image_ids) - 1) / 3)
    # One thread: several sum in varying order, so that the same seed would give another map.
    with threadpool_limits(limits=1):
        model = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed)
        places = model.fit_transform(unit_length(vectors, np.float64)).astype(np.float64)
    frame = {"image_id": image_ids, "role": roles, "x": places[:, 0], "y": places[:, 1]}
    return pl.DataFrame(frame, schema=dict(tables.MAP)).sort("image_id")


def beside_landmarks(
    landmarks: Float[np.ndarray, "m c"],
    places: Float64[np.ndarray, "m 2"],
    vectors: Float[np.ndarray, "n c"],
    neighbours: int = 3,
) -> Float64[np.ndarray, "n 2"]:
    """Coordinates of further images in a map: a weighted mean over the nearest landmarks.

    A landmark's weight is 1 / (1 − cosine)², so that an image like one landmark goes to it (the weights are ours).

    Args:
        places: Of the landmarks, from `similarity_map`.

    Source: Poličar et al. 2019 (openTSNE): new points start from the places of their nearest neighbours.
    """
    rows, cosines = nearest_rows(vectors, landmarks, neighbours)
    weights = 1 / np.square(1 - cosines + 1e-3)
    placed: Float64[np.ndarray, "n 2"] = (places[rows] * weights[..., None]).sum(1) / weights.sum(1, keepdims=True)
    return placed
