"""Speed, memory and accuracy of the mixture against scikit-learn and pomegranate, interleaved in one run.

Run:     python benchmarks/density.py [--threads 1|2] [--quick] [--json FILE]
Needs:   scikit-learn; pomegranate if it is to be compared (pip install pomegranate); an idle machine.
Prints:  one line `name ratio` per pair (peer's seconds / ours, medians of five rounds), then limits and accuracy.

Both sides get the same parameters and the same slices: clustered data with as many clusters as components, so far apart
that at d = 64 as many components share in a slice as do in CamVid's features (about 3 diagonal, 1.4 full, counting
responsibilities above 1e-7). Ours runs in float32 unless it says otherwise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from thresher.density import em
from thresher.density.em import MixtureSettings
from thresher.density.mixture import Mixture, log_density
from thresher.density.moments import expected_moments

ROUNDS = 5
KINDS = {"full": "full", "diagonal": "diag"}
#: Spread of the clusters' centres, by covariance and K.
APART = {("diagonal", 16): 0.22, ("diagonal", 64): 0.285, ("full", 16): 0.28, ("full", 64): 0.34}
#: d, K, slices.
SIZES = [(64, 16, 60_000), (64, 64, 40_000), (320, 16, 13_000), (320, 64, 9_800)]


def seconds(works: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of each work, done in turn so that a slow moment of the machine meets them all."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in taken.items()}


def planted(d: int, k: int, n: int, covariance: str, rng: np.random.Generator) -> tuple[Mixture, np.ndarray]:
    """A mixture like one of image features, and slices drawn from it in float64."""
    means = rng.normal(size=(k, d)) * APART[covariance, k]
    spread = 0.5 * np.exp(rng.normal(size=(k, d)) * 0.3)
    if covariance == "diagonal":
        mixture = Mixture(np.full(k, 1 / k), means, 1 / spread)
    else:
        lower = np.stack([np.tril(rng.normal(size=(d, d)) * 0.1 / np.sqrt(d), -1) + np.diag(s) for s in spread])
        factors = np.linalg.inv(lower).transpose(0, 2, 1)
        mixture = Mixture(np.full(k, 1 / k), means, np.ascontiguousarray(factors))
    owner = rng.integers(k, size=n)
    noise = rng.normal(size=(n, d))
    if covariance == "diagonal":
        return mixture, means[owner] + noise * spread[owner]
    slices = np.empty((n, d))
    for component in range(k):
        mine = owner == component
        slices[mine] = means[component] + noise[mine] @ lower[component].T
    return mixture, slices


def peer(mixture: Mixture, dtype: type) -> GaussianMixture:
    """scikit-learn's mixture with the same parameters."""
    model = GaussianMixture(len(mixture.weights), covariance_type=KINDS[mixture.covariance])
    model.weights_, model.means_ = mixture.weights.astype(dtype), mixture.means.astype(dtype)
    model.precisions_cholesky_ = mixture.factors.astype(dtype)
    model.n_features_in_ = mixture.means.shape[1]
    return model


def peer_iteration(model: GaussianMixture, slices: np.ndarray) -> None:
    """One E-step and one M-step, as scikit-learn's own loop does them."""
    _, log_shares = model._e_step(slices)
    model._m_step(slices, log_shares)


def our_iteration(mixture: Mixture, slices: np.ndarray, settings: MixtureSettings, threads: int) -> Mixture:
    """One E-step and one M-step."""
    moments = expected_moments(mixture, [slices], threads=threads)
    return em._maximisation(mixture, moments, settings)


def pairs(threads: int, sizes: list[tuple[int, int, int]], figures: dict[str, float]) -> None:
    """Log-density and EM iteration, every size and covariance."""
    rng = np.random.default_rng(0)
    for d, k, n in sizes:
        for covariance in KINDS:
            mixture, wide = planted(d, k, n, covariance, rng)
            single = wide.astype(np.float32)
            settings = MixtureSettings(covariance=covariance)  # type: ignore[arg-type]
            double, float_ = peer(mixture, np.float64), peer(mixture, np.float32)
            name = f"d{d} k{k} {covariance}"
            density = seconds(
                {
                    "ours": lambda m=mixture, x=single: log_density(m, x, threads),
                    "f64": lambda m=double, x=wide: logsumexp(m._estimate_weighted_log_prob(x), axis=1),
                    "f32": lambda m=float_, x=single: logsumexp(m._estimate_weighted_log_prob(x), axis=1),
                }
            )
            step = seconds(
                {
                    "ours": lambda m=mixture, x=single, s=settings: our_iteration(m, x, s, threads),
                    "f64": lambda x=wide, m=mixture: peer_iteration(peer(m, np.float64), x),
                    "f32": lambda x=single, m=mixture: peer_iteration(peer(m, np.float32), x),
                }
            )
            for work, taken in (("log-density", density), ("EM iteration", step)):
                for precision in ("f64", "f32"):
                    figures[f"{work} {name} vs scikit-learn {precision}"] = taken[precision] / taken["ours"]
                figures[f"{work} {name} us per slice"] = taken["ours"] / n * 1e6
            if covariance == "full":
                rate = 2 * n * k * d * d / density["ours"] / 1e9
                figures[f"log-density {name} share of sgemm, all of the square counted"] = rate / sgemm_rate()
            for key in [key for key in figures if f" {name} " in key]:
                print(f"{key:70s} {figures[key]:.2f}", flush=True)


def sgemm_rate() -> float:
    """Gflop/s of a large product in float32, now."""
    a = np.random.default_rng(0).normal(size=(1500, 1500)).astype(np.float32)
    return 2 * 1500**3 / seconds({"sgemm": lambda: a @ a}, 3)["sgemm"] / 1e9


def pomegranate_pairs(threads: int, figures: dict[str, float]) -> None:
    """The same against pomegranate, where it is installed."""
    try:
        import torch
        from pomegranate.distributions import Normal
        from pomegranate.gmm import GeneralMixtureModel
    except ImportError:
        print("pomegranate is not installed: not compared")
        return
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    for covariance, kind in (("full", "full"), ("diagonal", "diag")):
        mixture, wide = planted(64, 16, 20_000, covariance, rng)
        single = wide.astype(np.float32)
        deviations = 1 / mixture.factors if covariance == "diagonal" else None
        parts = []
        for j, mean in enumerate(mixture.means):
            spread = (
                deviations[j] ** 2
                if deviations is not None
                else np.linalg.inv(mixture.factors[j] @ mixture.factors[j].T)
            )
            parts.append(Normal(mean.astype(np.float32), spread.astype(np.float32), covariance_type=kind))
        model = GeneralMixtureModel(parts, priors=mixture.weights.astype(np.float32))
        tensor = torch.from_numpy(single)
        taken = seconds(
            {
                "ours": lambda m=mixture, x=single: log_density(m, x, threads),
                "theirs": lambda m=model, x=tensor: m.log_probability(x),
            }
        )
        key = f"log-density d64 k16 {covariance} vs pomegranate f32"
        figures[key] = taken["theirs"] / taken["ours"]
        print(f"{key:70s} {figures[key]:.2f}", flush=True)


def accuracy(figures: dict[str, float]) -> None:
    """float32 against float64, on near and far slices; and the likelihood after equal steps of EM."""
    rng = np.random.default_rng(1)
    for d, k in ((64, 64), (320, 16)):
        for covariance in KINDS:
            mixture, near = planted(d, k, 4000, covariance, rng)
            slices = np.concatenate([near, near * 3]).astype(np.float32)
            single, exact = log_density(mixture, slices), log_density(mixture, slices.astype(np.float64), double=True)
            off = np.abs(single - exact)
            figures[f"accuracy d{d} k{k} {covariance} mean nats"] = float(off.mean())
            figures[f"accuracy d{d} k{k} {covariance} relative maximum"] = float((off / np.abs(exact)).max())
    _, slices = planted(64, 64, 30_000, "full", rng)
    reached = {}
    for double in (False, True):
        settings = MixtureSettings(max_iterations=10, tolerance=1e-300, double=double)
        data = slices if double else slices.astype(np.float32)
        reached[double] = em.fit_mixture(data, 64, settings, np.random.default_rng(0)).log_likelihood
    figures["accuracy likelihood after 10 steps, float32 - float64, nats"] = reached[False] - reached[True]
    for key in [key for key in figures if key.startswith("accuracy")]:
        print(f"{key:70s} {figures[key]:.2e}", flush=True)


_MEMORY = """
import sys
import numpy as np
n, whose = int(sys.argv[1]), sys.argv[2]
data = np.empty((n, 64), np.float32)
for start in range(0, n, 10000):
    data[start:start + 10000] = np.random.default_rng(start).normal(size=(min(10000, n - start), 64))
if whose == "ours":
    from thresher.density.em import MixtureSettings, fit_mixture
    work = lambda x: fit_mixture(x, 64, MixtureSettings(max_iterations=2), np.random.default_rng(0))
else:
    import warnings
    warnings.simplefilter("ignore")
    from sklearn.mixture import GaussianMixture
    # Its float32 fails on the usual floor: "ill-defined empirical covariance".
    work = lambda x: GaussianMixture(64, max_iter=2, init_params="random", reg_covar=1e-2, random_state=0).fit(x)
def megabytes(kind):
    # Not ru_maxrss: a child inherits its parent's peak.
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(kind)) / 1024
work(data[:5000])  # compiles, and loads what is loaded late
before = megabytes("VmRSS")
work(data)
print(megabytes("VmHWM") - before)
"""


def memory(figures: dict[str, float], sizes: tuple[int, ...]) -> None:
    """MB above the data and the libraries at the peak of two EM iterations, each in a process of its own."""
    for whose in ("ours", "scikit-learn f32"):
        for n in sizes:
            command = [sys.executable, "-c", _MEMORY, str(n), whose.split()[0]]
            shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            figures[f"peak MB above the data, {n:,} x 64, k 64, {whose}"] = float(shown)
            print(f"peak MB above the data, {n:,} x 64, k 64, {whose:26s} {float(shown):.0f}", flush=True)


def main() -> None:
    """Print every figure and write them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="the smaller width only, no memory")
    parser.add_argument("--json", default="density.json")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    figures: dict[str, float] = {}
    with threadpool_limits(asked.threads):
        pairs(asked.threads, SIZES[:2] if asked.quick else SIZES, figures)
        pomegranate_pairs(asked.threads, figures)
    accuracy(figures)
    if not asked.quick:
        memory(figures, (250_000, 1_000_000))
    with open(asked.json, "w") as file:
        json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
