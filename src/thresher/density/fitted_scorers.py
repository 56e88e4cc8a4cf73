"""The fitted state of all scorers on disk: one file beside the mixture."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt64
from safetensors.numpy import save

from thresher.density.layout import QuerySettings
from thresher.density.mixture import Mixture
from thresher.density.scorers import FittedScorers
from thresher.density.sphere import Sphere
from thresher.files import replacing
from thresher.run_files import read_arrays

_PARTS: dict[str, Any] = {"pool_mixture": Mixture, "sphere": Sphere, "pooled_sphere": Sphere}
#: The array with `FittedScorers.alike_share`.
ALIKE = "alike_share"
_ARRAYS = ("origin", "rows_query", "query", "held_out_nats")


def save_fitted_scorers(fitted: FittedScorers, path: Path, pool_keys: UInt64[np.ndarray, " n"] | None = None) -> None:
    """Write the state, except the target's mixture and pooled vectors, which have files of their own.

    Args:
        pool_keys: What the pool was made of (`run.inputs.pool_keys`), so that it is noticed when it has changed.
    """
    arrays = {name: getattr(fitted, name) for name in _ARRAYS}
    arrays[ALIKE] = np.array([fitted.alike_share])
    if pool_keys is not None:
        arrays["pool_keys"] = pool_keys
    for part in _PARTS:
        arrays |= {f"{part}.{name}": value for name, value in vars(getattr(fitted, part)).items()}
    for field in fields(QuerySettings):
        arrays[f"query_settings.{field.name}"] = np.array([getattr(fitted.query_settings, field.name)], np.float64)
    with replacing(path) as file:
        file.write(save({name: np.ascontiguousarray(value) for name, value in arrays.items()}))


def load_fitted_scorers(path: Path, mixture: Mixture, pooled: Float[np.ndarray, "m c"]) -> FittedScorers:
    """The state written by `save_fitted_scorers`, with the target's mixture and pooled vectors.

    Args:
        pooled: Pooled vectors of the target's images.

    Raises:
        DataError: no such file.
    """
    arrays = read_arrays(path)

    def part(name: str) -> dict[str, np.ndarray]:
        return {key.partition(".")[2]: value for key, value in arrays.items() if key.startswith(f"{name}.")}

    settings = QuerySettings(**{name: float(value[0]) for name, value in part("query_settings").items()})
    models: dict[str, Any] = {name: kind(**part(name)) for name, kind in _PARTS.items()}
    plain = {name: arrays[name] for name in _ARRAYS}
    alike = float(arrays[ALIKE][0])
    return FittedScorers(mixture=mixture, pooled=pooled, query_settings=settings, alike_share=alike, **models, **plain)


def alike_share_of(path: Path) -> float | None:
    """Of the file written by `save_fitted_scorers`: the share of the pool that is as near as the target's own images.

    None if it is not known, as in a file of an older release.

    Raises:
        DataError: there is no such file.
    """
    share = float(read_arrays(path).get(ALIKE, [np.nan])[0])
    return None if np.isnan(share) else share
