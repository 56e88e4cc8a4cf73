"""Pictures of a comparison: what three of its networks decide on a few images, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from thresher.comparison.settings import BASELINES, NONE, Trial
from thresher.comparison.statistics import summary
from thresher.data.label_maps import coloured
from thresher.drawings.prediction_sheet import Panel, prediction_sheet
from thresher.files import replacing
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.record import Record
from thresher.training.images import strong_images, validation_images
from thresher.training.settings import TrainSettings

if TYPE_CHECKING:
    from thresher.data.taxonomy import Taxonomy

#: How many images are shown, evenly spread over the order of their ids; and which seed's networks.
IMAGES, SEED = 4, 0


def pictures(record: Record) -> list[Path]:
    """The pictures of a comparison, in order."""
    return sorted((record.folder / "predictions").glob("*.png"))


def draw_predictions(
    run: Run, training: TrainSettings, record: Record, done: Sequence[Trial], results: pl.DataFrame
) -> list[Path]:
    """Draw `predictions/N.png` in the comparison's folder anew: image, truth, and what each shown network decides.

    Args:
        done: The trials that have ended.
        results: Table RESULTS of them.

    Raises:
        DataError: an image or mask of the validation set can no longer be read.
    """
    for stale in pictures(record):
        stale.unlink()
    trials = shown_trials(done, results)
    if not trials:
        return []
    images = validation_images(run, training)
    images = images[sorted({n * images.height // IMAGES for n in range(IMAGES)})]
    rows: list[list[Panel]] = []
    for trial in trials:
        taxonomy, decided = _decided(run, trial, images)
        if not rows:
            rows = [_truth(name, each, taxonomy) for name, each in zip(images["image_id"], decided, strict=True)]
        words = _words(trial, results)
        for row, each in zip(rows, decided, strict=True):
            row.append(Panel(words, coloured(each.classes, taxonomy)))
    legend = [(each.name, each.colour) for each in taxonomy.classes] + [("no label", (0, 0, 0))]
    for number, row in enumerate(rows, 1):
        with replacing(record.folder / "predictions" / f"{number}.png") as file:
            prediction_sheet(row, legend).save(file, "PNG")
    return pictures(record)


def _words(trial: Trial, results: pl.DataFrame) -> list[str]:
    """The caption of a trial's panels."""
    over_classes = (pl.col("seed") == SEED) & (pl.col("set") == "validation") & pl.col("class").is_null()
    miou = results.filter(over_classes & _is(trial))["iou"][0]
    return [f"{trial.method} {trial.budget or ''}".strip(), f"{trial.mode}, mIoU {100 * (miou or 0):.1f} %"]


def shown_trials(done: Sequence[Trial], results: pl.DataFrame) -> list[Trial]:
    """The trials of one seed that are drawn, those of these three that there are: the one without weakly labelled
    images; random with its largest selection; and the best of the other methods.

    The best has the highest mean mIoU over seeds among those with as many images as random has, or with the most.
    """
    of_seed = [trial for trial in done if trial.seed == SEED]
    means = summary(results).filter(pl.col("class").is_null() & (pl.col("set") == "validation"))
    sizes = {trial.training: _number(means, trial, "images") for trial in of_seed}
    chosen = [trial for trial in of_seed if trial.method == NONE][:1]
    random = [trial for trial in of_seed if trial.method == "random"]
    chosen += sorted(random, key=lambda trial: -sizes[trial.training])[:1]
    others = [trial for trial in of_seed if trial.budget is not None and trial.method not in ("random", *BASELINES)]
    if others:
        most = max(sizes[trial.training] for trial in others)
        largest = [trial for trial in others if sizes[trial.training] == most]
        chosen.append(max(largest, key=lambda trial: _number(means, trial, "iou")))
    return chosen


def _is(trial: Trial) -> pl.Expr:
    budget = pl.col("budget").eq_missing(trial.budget)
    return (pl.col("method") == trial.method) & (pl.col("mode") == trial.mode) & budget


def _number(means: pl.DataFrame, trial: Trial, column: str) -> float:
    return float(means.filter(_is(trial))[column][0] or 0)


class _Decided(NamedTuple):
    """An image, its labels, and the class that a network decides on at each pixel."""

    pixels: np.ndarray
    labels: np.ndarray
    classes: np.ndarray


def _decided(run: Run, trial: Trial, images: pl.DataFrame) -> tuple[Taxonomy, list[_Decided]]:
    """The taxonomy of a trial's network, and its decisions on each image."""
    from thresher.run.perform import untracked
    from thresher.segmentation.examples import pixels_and_labels
    from thresher.segmentation.inference import Images, segmented
    from thresher.segmentation.trained import ready, trained_network

    trained = trained_network(OpenedRun(run).checkpoint(trial.training))
    read = [pixels_and_labels(each) for each in strong_images(images, trained.taxonomy)]

    def use(number: int, pixels: np.ndarray, labels: Any, classes: np.ndarray) -> _Decided:
        return _Decided(pixels, labels.numpy(), classes)

    decided = segmented(ready(trained), Images(len(read), read.__getitem__), use, untracked)
    return trained.taxonomy, decided


def _truth(name: str, image: _Decided, taxonomy: Taxonomy) -> list[Panel]:
    return [Panel(["image", name], image.pixels), Panel(["truth"], coloured(image.labels, taxonomy))]
