"""How much faster a training by proxy is than the full one, at equal steps and images per step; and whether both put
the arms of two comparisons in the same order.

Run:     python benchmarks/proxy.py RUN [--validation FORMAT:ROOT#SPLIT] [--strong-limit 100] [--side 192]
         [--channels 128] [--epochs 20] [--rounds 3] [--encode] [--agree FULL,PROXY]
         where RUN is a scored run whose target has masks.
Needs:   a minute per round; an idle machine for the seconds, not for the ratio: both are timed in turn, each in a
         worker with one thread.
Prints:  one line `name value` each: seconds of a full training (from a few of its own steps, validations and
         checkpoints, as `thresher train --dry-run` tells them) and of a head trained and validated to its end, medians
         over the rounds, without weak images and on the whole pool; their ratios. With --encode also seconds and
         kilobytes per image of the features, which then are made anew; without it those of the run are taken, if there
         are any. With --agree only the rank agreement of two comparisons of the run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path

from thresher.comparison.agreement import rank_agreement
from thresher.comparison.crew import crew
from thresher.comparison.job import as_job
from thresher.comparison.proxy.plan import ProxyPlan
from thresher.comparison.settings import CompareSettings, Trial
from thresher.run.folder import Run
from thresher.run.perform import untracked
from thresher.training.settings import TrainSettings
from thresher.training.time_needed import seconds_of
from thresher.training.train import planned_steps
from thresher.workers.pool import pool
from thresher.workers.settings import EngineSettings

ONE = EngineSettings(workers=1)
#: Linked into a run of their own, so that nothing is left behind.
TABLES = (
    *("images.parquet", "boxes.parquet", "masks.parquet", "labels.parquet", "taxonomy.toml"),
    *("problems.parquet", "manifest.json"),
)


def full_seconds(run: Run, training: TrainSettings, weak: bool) -> float:
    """Seconds of a full training, from a few steps in a worker with one thread."""
    own = dataclasses.replace(training, mode="strong", selection="none", name="timed", fill_batch=True)
    if weak:
        own = dataclasses.replace(own, mode="hierarchical", selection="all", fill_batch=False)
    with crew(ONE) as workers:
        (outcome,) = workers.outcomes([as_job(run, own, kind="time")])
    if outcome.failure:
        raise SystemExit(outcome.failure)
    planned = planned_steps(run, dataclasses.replace(own, mode="strong", selection="none"))
    return seconds_of(outcome.times, own, planned["steps"], planned["validation_images"])


def proxy_seconds(plan: ProxyPlan, trials: list[Trial]) -> list[float]:
    """Seconds of each training by proxy, in a worker with one thread that has done the first one before."""
    line = json.dumps([dataclasses.asdict(trial) for trial in trials])
    with pool("thresher.comparison.proxy.job", plan.as_line(), ONE) as workers:
        (answer,) = workers.answers([line])
    outcomes = json.loads(answer.text)
    for outcome in outcomes:
        if outcome["failure"]:
            raise SystemExit(outcome["failure"] + outcome["trace"])
    return [outcome["seconds"] for outcome in outcomes]


def main() -> None:
    """Print every line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--validation", default="")
    parser.add_argument("--strong-limit", type=int, default=100)
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--encode", action="store_true")
    parser.add_argument("--agree", default="")
    given = parser.parse_args()
    if given.agree:
        one, other = given.agree.split(",")
        found = rank_agreement(Run(given.run), one, other)
        print(f"arms {found.arms}\nspearman {found.spearman:.3f} ({found.low:.3f} to {found.high:.3f})")
        return
    training = TrainSettings(
        strong_limit=given.strong_limit,
        validation=given.validation,
        height_px=given.side,
        width_px=given.side,
        decoder_channels=given.channels,
        strong_batch=4,
        weak_batch=4,
        epochs=given.epochs,
        optimiser="adamw",
        learning_rate=0.002,
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder)
        for name in TABLES if given.encode else (*TABLES, "frozen"):
            if (given.run / name).exists():
                (run.folder / name).symlink_to((given.run / name).absolute())
        times: dict[str, list[float]] = {"full none": [], "full all": [], "proxy none": [], "proxy all": []}
        for turn in range(given.rounds):
            # Each under a name of its own, so that none is done already.
            settings = CompareSettings(methods=(), modes=("hierarchical",), seeds=1, proxy=True, name=f"turn{turn}")
            plan = ProxyPlan(run, settings, training)
            started = time.monotonic()
            plan.prepare(untracked)
            if turn == 0 and given.encode:
                images = len(plan.weak(settings.trials())) + sum(
                    map(len, (plan.files.strong, *plan.files.sets.values()))
                )
                size = sum(path.stat().st_size for path in plan.files.features.glob("*.npy"))
                print(f"features_s_per_image {(time.monotonic() - started) / images:.4f}")
                print(f"features_kb_per_image {size / images / 1000:.1f}")
            none, everything = proxy_seconds(plan, settings.trials())
            times["proxy none"].append(none)
            times["proxy all"].append(everything)
            times["full none"].append(full_seconds(run, training, weak=False))
            times["full all"].append(full_seconds(run, training, weak=True))
        print(f"steps {plan.files.steps}")
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, seconds in medians.items():
        print(f"{name.replace(' ', '_')}_s {seconds:.2f}")
    for name in ("none", "all"):
        print(f"ratio_{name} {medians[f'full {name}'] / medians[f'proxy {name}']:.1f}")


if __name__ == "__main__":
    main()
