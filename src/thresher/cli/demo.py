"""demo: made-up street scenes → every stage on them, and what was planted in them beside what was found."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from thresher import extras, tables
from thresher.cli.run_file import run_all
from thresher.cli.run_settings import RunFile
from thresher.comparison.settings import CompareSettings
from thresher.comparison.verdicts import gains
from thresher.report.report import ReportSettings, write_report
from thresher.run.folder import Run
from thresher.run.perform import StageResult, Track, untracked
from thresher.selection.coverage import parted
from thresher.selection.methods import DEFAULT_METHOD
from thresher.stages.embed import EmbedSettings
from thresher.stages.fit import FitSettings
from thresher.stages.index import IndexSettings
from thresher.stages.insight import InsightSettings
from thresher.stages.score import ScoreSettings
from thresher.stages.select import SelectSettings
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.training.settings import TrainSettings

#: What is planted: streets in the pool; nights among the target and these streets; near-duplicates of streets.
_STREETS, _NIGHTS, _COPIES = 0.4, 0.2, 0.1
#: The default method looks at five times as many images as it takes at most: at no more than there are streets.
_LOOKED_AT = 5
#: The methods shown, the default last; and the default without its coverage.
_RANKED = parted(DEFAULT_METHOD)[0]
_METHODS = ("random", "similarity", _RANKED, DEFAULT_METHOD)
#: Ten masks teach, for 300 steps of eight images; heads on frozen features learn that in seconds, so eight seeds do.
_TRAINING = TrainSettings(height_px=128, width_px=224, strong_limit=10, epochs=120, weak_batch=4)
_SEEDS = 8
#: Points by which the share of nights may differ from the planted one and count as kept.
_CLOSE = 5


def demo(
    folder: Path,
    *,
    target_images: int = 60,
    pool_images: int = 500,
    seed: int = 0,
    dry_run: bool = False,
    track: Track[Any] = untracked,
) -> Iterator[StageResult]:
    """Write made-up scenes, run every stage on them, and tell what was found of what was planted."""
    scenes = SyntheticSettings(
        seed=seed,
        target_images=target_images,
        val_images=30,
        pool_images=pool_images,
        street_share=_STREETS,
        night_share=_NIGHTS,
        duplicate_share=_COPIES,
    )
    summary = {
        "folder": str(folder / "scenes"),
        "target_images": scenes.target_images,
        "pool_images": scenes.pool_images,
    }
    if dry_run:
        yield StageResult("scenes", "planned", summary)
        return
    write_dataset(folder / "scenes", scenes)
    yield StageResult("scenes", "done", summary)
    truth = pl.read_parquet(folder / "scenes" / "truth.parquet")
    run_file = _run_file(folder, str(max(1, int(truth["is_street"].sum()) // _LOOKED_AT)))
    yield from run_all(run_file, track=track)
    run = Run(run_file.folder)
    found = {method: _found(run, method, truth) for method in _METHODS}
    told = planted_words(found, truth)
    if run_file.compare is not None:
        told.append(boxes_words(run, run_file.compare))
        yield write_report(run, ReportSettings(remarks=tuple(told)), track=track)
    report = str(run.folder / "report.html") if run_file.compare is not None else _left_out("train,report")
    yield StageResult("demo", "done", {"planted_and_found": found, "in_words": told, "report": report})


def _run_file(folder: Path, budget: str) -> RunFile:
    """All stages, with insight and comparison if what they need is installed."""
    whole = not extras.missing("train", "report")
    cityscapes = f"cityscapes:{folder / 'scenes' / 'cityscapes'}"
    compare = CompareSettings(
        (DEFAULT_METHOD, "random"),
        (budget,),
        modes=("labels",),
        baselines=("none", "unlabelled"),
        seeds=_SEEDS,
        proxy=True,
    )
    return RunFile(
        folder / "run",
        IndexSettings(target=(f"{cityscapes}#train",), pool=(f"open_images:{folder / 'scenes' / 'open_images'}",)),
        EmbedSettings(),
        FitSettings(),
        ScoreSettings(),
        tuple(SelectSettings(method, budget, name=method) for method in _METHODS),
        (),
        insight=InsightSettings() if whole else None,
        train=dataclasses.replace(_TRAINING, validation=f"{cityscapes}#val") if whole else None,
        compare=compare if whole else None,
    )


def _found(run: Run, name: str, truth: pl.DataFrame) -> dict[str, int]:
    """Of a selection the images, how many are streets, how many at night, and how many repeat another one of it."""
    chosen = tables.read(run.selection_path(name), tables.SELECTION)
    own = chosen.select(image_id=pl.col("image_id").str.split("/").list.last()).join(truth, on="image_id")
    first = pl.coalesce("duplicate_of", "image_id")
    return {
        "images": own.height,
        "streets": int(own["is_street"].sum()),
        "nights": int((own["weather"] == "night").sum()),
        "near_duplicates": own.height - own.select(first.n_unique()).item(),
    }


def planted_words(found: Mapping[str, Mapping[str, int]], truth: pl.DataFrame) -> list[str]:
    """What was found of what was planted, in two sentences.

    Args:
        found: Of each method in `_METHODS` what `_found` counts.
        truth: A row per pool image, with `is_street` and `weather`.
    """
    near, drawn, ranked, covered = (found[name] for name in ("similarity", "random", _RANKED, DEFAULT_METHOD))
    streets = truth.filter("is_street")
    planted = _share({"nights": int((streets["weather"] == "night").sum()), "streets": streets.height})
    head = "Coverage keeps the nights" if abs(_share(covered) - planted) <= _CLOSE else "Nights"
    counts = f"of {near['images']} images chosen by `similarity` {near['streets']} are streets; at random"
    first = "Similarity finds the streets" if near["streets"] > drawn["streets"] else "Streets"
    return [
        f"{first}: {counts} {drawn['streets']}.",
        f"{head}: {planted:.0f} % of the planted streets are at night, and {_nights(covered)} of those that the "
        f"default chooses, with {_pairs(covered)}; by its ranking alone it would be {_nights(ranked)} with "
        f"{_pairs(ranked)}, by `similarity` {_nights(near)} with {_pairs(near)}.",
    ]


def _share(found: Mapping[str, int]) -> float:
    """Nights in per cent of the streets."""
    return 100 * found["nights"] / max(1, found["streets"])


def _nights(found: Mapping[str, int]) -> str:
    return f"{_share(found):.0f} %"


def _pairs(found: Mapping[str, int]) -> str:
    count = found["near_duplicates"]
    return f"{count or 'no'} near-duplicate{'' if count == 1 else 's'}"


def boxes_words(run: Run, settings: CompareSettings) -> str:
    """What the boxes of the default's images are worth, in a sentence, whatever it is."""
    pairs = pl.read_parquet(run.comparison(settings.name) / "differences.parquet").filter(pl.col("class").is_null())
    found = gains(pairs, DEFAULT_METHOD, settings.budgets[0])
    head = "Boxes lift the network" if any(each.way == 1 for each in found) else "Boxes"
    told = "; ".join(each.text for each in reversed(found))
    return f"{head} (mIoU of small heads on frozen features; {_TRAINING.strong_limit} masks): {told}."


def _left_out(parts: str) -> str:
    return f"left out: {extras.install(parts)}"
