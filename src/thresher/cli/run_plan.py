"""run --dry-run: what the whole job would take, each stage from what is there or what those before it will make."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from thresher.cli.run_settings import RunFile
from thresher.comparison.compare import compare
from thresher.comparison.time_left import in_words
from thresher.data.source_text import parsed_sources
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, Track
from thresher.selection.compared import Compared
from thresher.selection.coverage import shortlist_count
from thresher.selection.methods import budget_count
from thresher.stages.embed import planned_embed
from thresher.stages.fit import fit, planned_fit
from thresher.stages.index import index
from thresher.stages.plan import (
    ONCE_SECONDS,
    Slices,
    disk_free,
    listed_images,
    pictures_plan,
    score_plan,
    select_plan,
)
from thresher.stages.score import score
from thresher.stages.select import SelectSettings, select
from thresher.training.train import train
from thresher.workers.settings import EngineSettings

#: Photos that are drawn: of a sheet, of insight, of a report; and the seconds that insight and report take besides.
SHEET_PHOTOS, INSIGHT_PHOTOS, REPORT_PHOTOS = 48, 150, 150
INSIGHT_SECONDS, REPORT_SECONDS = 4.0, 2.5
#: An index that takes longer, in seconds, is not made for the plan; images are listed by their files instead.
LONGEST_INDEX = 60.0


def planned(settings: RunFile, engine: EngineSettings | None, track: Track[Any]) -> Iterator[StageResult]:
    """The plan of every stage in the order of the run, and last the sums over all (`run`)."""
    told: list[StageResult] = []
    for result in _stages(settings, engine or EngineSettings(), track):
        told.append(result)
        yield result
    seconds = {result.stage: result.summary["seconds"] for result in told}
    known = sum(result.summary["seconds"] or 0.0 for result in told)
    sums: dict[str, Any] = {
        "bytes": sum(result.summary.get("bytes", 0) for result in told),
        "disk_free_bytes": disk_free(settings.folder),
        "memory_bytes": max(result.summary.get("memory_bytes", 0) for result in told),
        "seconds": round(known, 1),
        "time": f"about {in_words(known)} (rough)",
    }
    if unknown := [stage for stage, each in seconds.items() if each is None]:
        sums["time_not_known_yet"] = unknown
    yield StageResult("run", "planned", sums)


def _stages(settings: RunFile, engine: EngineSettings, track: Track[Any]) -> Iterator[StageResult]:
    run = Run(settings.folder)
    first = index(run, settings.index, dry_run=True)
    yield first
    with _indexed(run, settings, first.summary["seconds"]) as indexed:
        sources = parsed_sources(settings.index.target, settings.index.pool, settings.index.guard)
        images = OpenedRun(indexed).images if indexed else listed_images(sources, settings.index.limit)
        told, slices = planned_embed(run, images, settings.embed, engine, track)
        yield StageResult("embed", "planned", told)
        yield from _Rest(run, settings, images.filter(pl.col("role") != "guard"), slices).stages()
        if settings.compare is not None or settings.train is not None:
            yield _training(run, settings, indexed, engine)
        if settings.report is not None:
            yield _drawn(run, "report", REPORT_PHOTOS, images.height, REPORT_SECONDS)


@contextlib.contextmanager
def _indexed(run: Run, settings: RunFile, seconds: float) -> Iterator[Run | None]:
    """Context manager yielding a run with an index: this one, or one made to be thrown away; None if that is long."""
    if run.images.is_file():
        yield run
    elif seconds > LONGEST_INDEX:
        yield None
    else:
        with tempfile.TemporaryDirectory(prefix="thresher-") as folder:
            other = Run(folder)
            index(other, settings.index)
            yield other


@dataclass(frozen=True)
class _Rest:
    """The stages between embed and the trainings."""

    run: Run
    settings: RunFile
    images: pl.DataFrame
    slices: Slices | None

    @property
    def pool(self) -> int:
        """Number of images to choose from."""
        return self.images.filter(pl.col("role") == "pool").height

    def stages(self) -> Iterator[StageResult]:
        """A plan of each."""
        run, settings, count = self.run, self.settings, self.images.height
        if run.images.is_file() and run.pooled.is_file():
            yield fit(run, settings.fit, dry_run=True)
        else:
            sizes = {"target_images": count - self.pool, "components": settings.fit.components}
            plan = planned_fit(self.slices, settings.fit, count - self.pool, count)
            yield StageResult("fit", "planned", sizes | plan.summary(run))
        if run.images.is_file() and run.evidence.is_file():
            yield score(run, settings.score, dry_run=True)
        else:
            scores = len(settings.score.similarities)
            yield StageResult("score", "planned", score_plan(run, self.slices, self.pool, scores).summary(run))
        for chosen in settings.select:
            yield from self._selection(chosen)
        for wanted in settings.export:
            told = {"selection": wanted.name, "format": wanted.format, "path": str(wanted.out)}
            chosen_images = self._images_of(wanted.name)
            yield StageResult("export", "planned", told | pictures_plan(0, chosen_images, ONCE_SECONDS).summary(run))
        if settings.insight is not None:
            sampled = min(count, settings.insight.map_images + settings.insight.pool_images)
            yield _drawn(run, "insight", INSIGHT_PHOTOS, sampled, INSIGHT_SECONDS, mapped=sampled)

    def _images_of(self, selection: str) -> int:
        """How many images a selection holds, or will hold."""
        path = self.run.selection_path(selection)
        if path.is_file():
            return int(pl.scan_parquet(path).select(pl.len()).collect().item())
        budgets = {chosen.selection_name: chosen.budget for chosen in self.settings.select}
        return budget_count(budgets[selection], self.pool) if selection in budgets else self.pool

    def _selection(self, chosen: SelectSettings) -> Iterator[StageResult]:
        run = self.run
        if run.scores_path.is_file():
            result = select(run, chosen, dry_run=True)
        else:
            count, target = budget_count(chosen.budget, self.pool), self.images.height - self.pool
            shortlist = shortlist_count(chosen.shortlist, count, self.pool) if chosen.coverage != "off" else 0
            width = self.slices.channels if self.slices else 0
            compared = Compared.by(width, self.pool, target, 0, shortlist, self.pool if chosen.duplicate_cosine else 0)
            plan = select_plan(run, self.pool, count, compared)
            if chosen.coverage == "objects":  # what is to be cut out is known once the ranking is
                plan = dataclasses.replace(plan, seconds=None)
            told = {"name": chosen.selection_name, "candidates": self.pool}
            result = StageResult("select", "planned", told | plan.summary(run))
        yield result
        photos = min(SHEET_PHOTOS, result.summary["images"])
        yield _drawn(run, "sheet", photos, result.summary["images"], ONCE_SECONDS)


def _drawn(run: Run, stage: str, photos: int, images: int, seconds: float, mapped: int = 0) -> StageResult:
    return StageResult(stage, "planned", pictures_plan(min(photos, images), images, seconds, mapped).summary(run))


def _training(run: Run, settings: RunFile, indexed: Run | None, engine: EngineSettings) -> StageResult:
    """The plan of the comparison or training, timed on images of the index; without a time if there is none yet."""
    stage = "train" if settings.compare is None else "compare"
    if indexed is None:
        return StageResult(stage, "planned", {"seconds": None})
    if settings.compare is not None:
        return compare(indexed, settings.compare, settings.train, engine=engine, dry_run=True)
    training = settings.train
    assert training is not None
    if training.labels and not (run.label_set(training.labels) / "images.parquet").is_file():
        # Steps on boxes take about as long as those on the pixel labels made of them.
        training = dataclasses.replace(training, mode="hierarchical", labels="", name=training.training_name)
    if training.selection in ("none", "all") or run.selection_path(training.selection).is_file():
        return train(indexed, training, dry_run=True)
    told = train(indexed, dataclasses.replace(training, selection="all", name=training.training_name), dry_run=True)
    return StageResult(stage, "planned", {**told.summary, "weak_images": training.selection})
