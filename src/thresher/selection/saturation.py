"""A curve that saturates, through the results of trainings on more and more images, and its uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

#: Exponents tried: a curve that hardly bends on a log axis, to one that is flat at once.
_EXPONENTS = np.geomspace(0.05, 3, 60)
#: Fewest different numbers of images for a curve of three parameters.
FEWEST = 4


@dataclass(frozen=True)
class Saturation:
    """y = a − b · N^−c, and the smallest N that is within the noise of the best."""

    limit: float
    """a: what endless images like these would reach, in the unit of the results."""
    gain: float
    """b, 0 or more."""
    exponent: float
    """c, above 0."""
    enough: int
    """The smallest N at which the curve is within `noise` of its value at the largest N tried."""
    low: int
    high: int
    """95 % interval of `enough`, from redrawn seeds."""
    noise: float
    """Standard error of the best mean over seeds, in the unit of the results."""

    def at(self, images: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        """The curve at these numbers of images."""
        found: Float64[np.ndarray, " n"] = self.limit - self.gain * images**-self.exponent
        return found


def saturation(
    images: Int64[np.ndarray, " budgets"],
    results: Float64[np.ndarray, "seeds budgets"],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Saturation:
    """The saturating curve of least squares through all results, and how many images are enough.

    Args:
        images: N of each budget, ascending, at least `FEWEST`.
        results: Of each seed and budget, such as mIoU; two seeds or more.
        rng: Draws seeds anew for the interval.
        resamples: How often.

    Source: power law of learning curves, Hestness et al. 2017, arXiv 1712.00409; the rule of one standard error:
        Breiman et al. 1984, Classification and Regression Trees, §3.4.3; bootstrap of whole seeds is ours.
    """
    drawn = rng.integers(0, len(results), (resamples, len(results)))
    curves = np.concatenate([results.mean(axis=0)[None], results[drawn].mean(axis=1)])
    limit, gain, exponent = _fitted(images.astype(np.float64), curves)
    noise = standard_error_of_best(results)
    between = np.unique(np.geomspace(images[0], images[-1], 2000).astype(np.int64))
    # Of many curves only where they are within the noise is kept, block by block.
    enough = np.empty(len(curves), np.int64)
    for start in range(0, len(curves), 256):
        part = slice(start, start + 256)
        values = limit[part, None] - gain[part, None] * between ** -exponent[part, None]
        enough[part] = between[(values >= values[:, -1:] - noise).argmax(axis=1)]
    low, high = np.quantile(enough[1:], [0.025, 0.975], method="nearest").astype(int).tolist()
    return Saturation(float(limit[0]), float(gain[0]), float(exponent[0]), int(enough[0]), low, high, noise)


def standard_error_of_best(results: Float64[np.ndarray, "seeds budgets"]) -> float:
    """The standard error over seeds of the budget with the highest mean."""
    best = int(results.mean(axis=0).argmax())
    return float(results[:, best].std(ddof=1) / np.sqrt(len(results)))


def smallest_within_noise(images: Int64[np.ndarray, " budgets"], results: Float64[np.ndarray, "seeds budgets"]) -> int:
    """The smallest N tried whose mean is within one standard error of the best mean.

    >>> smallest_within_noise(np.array([100, 200, 400]), np.array([[0.5, 0.61, 0.6], [0.5, 0.59, 0.64]]))
    200
    """
    means = results.mean(axis=0)
    return int(images[np.flatnonzero(means >= means.max() - standard_error_of_best(results))[0]])


def _fitted(
    images: Float64[np.ndarray, " budgets"], curves: Float64[np.ndarray, "curves budgets"]
) -> tuple[Float64[np.ndarray, " curves"], Float64[np.ndarray, " curves"], Float64[np.ndarray, " curves"]]:
    """a, b and c of each curve: for each exponent tried the line of least squares in N^−c, b not below 0."""
    least = np.full(len(curves), np.inf)
    limit, gain, exponent = (np.zeros(len(curves)) for _ in range(3))
    middle = curves.mean(axis=1)
    for tried in _EXPONENTS:
        falling = images**-tried
        centred = falling - falling.mean()
        slope = np.maximum(0.0, -((curves - middle[:, None]) @ centred) / (centred @ centred))
        start = middle + slope * falling.mean()
        wrong = ((curves - start[:, None] + slope[:, None] * falling) ** 2).sum(axis=1)
        better = wrong < least
        for kept, value in ((least, wrong), (limit, start), (gain, slope), (exponent, np.full(len(curves), tried))):
            kept[better] = value[better]
    return limit, gain, exponent
