"""What the networks of a comparison decide on a few images, beside the truth: without weak images, random, the best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from thresher.comparison.settings import NONE, Cell
from thresher.comparison.statistics import summary
from thresher.data.label_maps import coloured
from thresher.drawings.prediction_sheet import Panel, prediction_sheet
from thresher.files import replacing
from thresher.run.contents import checkpoint_of
from thresher.run.folder import Record, Run
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
    run: Run, training: TrainSettings, record: Record, done: Sequence[Cell], results: pl.DataFrame
) -> list[Path]:
    """Draw `predictions/N.png` in the comparison's folder anew: image, truth, and what each shown network decides.

    Args:
        done: The trainings that ended.
        results: Table RESULTS of them.

    Raises:
        DataError: an image or mask by which they were judged cannot be read any more.
    """
    for stale in pictures(record):
        stale.unlink()
    cells = shown_cells(done, results)
    if not cells:
        return []
    images = validation_images(run, training)
    images = images[sorted({n * images.height // IMAGES for n in range(IMAGES)})]
    rows: list[list[Panel]] = []
    for cell in cells:
        taxonomy, found = _decided(run, cell, images)
        miou = results.filter(
            (pl.col("seed") == SEED) & (pl.col("set") == "validation") & pl.col("class").is_null() & _is(cell)
        )["iou"][0]
        words = [f"{cell.method} {cell.budget or ''}".strip(), f"{cell.mode}, mIoU {100 * (miou or 0):.1f} %"]
        if not rows:
            rows = [_truth(name, *each[:2], taxonomy) for name, each in zip(images["image_id"], found, strict=True)]
        for row, (_, _, decided) in zip(rows, found, strict=True):
            row.append(Panel(words, coloured(decided, taxonomy)))
    legend = [(each.name, each.colour) for each in taxonomy.classes] + [("no label", (0, 0, 0))]
    for number, row in enumerate(rows, 1):
        with replacing(record.folder / "predictions" / f"{number}.png") as file:
            prediction_sheet(row, legend).save(file, "PNG")
    return pictures(record)


def shown_cells(done: Sequence[Cell], results: pl.DataFrame) -> list[Cell]:
    """Of the seed shown: without weak images; random at its largest selection; the other method with the best mean.

    Whichever of these there is. The best is of those with as many images as random has, or with the most.
    """
    of_seed = [cell for cell in done if cell.seed == SEED]
    means = summary(results).filter(pl.col("class").is_null() & (pl.col("set") == "validation"))
    sizes = {cell.training: _number(means, cell, "images") for cell in of_seed}
    chosen = [cell for cell in of_seed if cell.method == NONE][:1]
    drawn = [cell for cell in of_seed if cell.method == "random"]
    chosen += sorted(drawn, key=lambda cell: -sizes[cell.training])[:1]
    others = [cell for cell in of_seed if cell.budget is not None and cell.method != "random"]
    if others:
        most = max(sizes[cell.training] for cell in others)
        largest = [cell for cell in others if sizes[cell.training] == most]
        chosen.append(max(largest, key=lambda cell: _number(means, cell, "iou")))
    return chosen


def _is(cell: Cell) -> pl.Expr:
    return (pl.col("method") == cell.method) & (pl.col("mode") == cell.mode) & pl.col("budget").eq_missing(cell.budget)


def _number(means: pl.DataFrame, cell: Cell, column: str) -> float:
    return float(means.filter(_is(cell))[column][0] or 0)


def _decided(run: Run, cell: Cell, images: pl.DataFrame) -> tuple[Taxonomy, list[tuple[Any, Any, np.ndarray]]]:
    """The taxonomy of a network, and pixels, labels and decisions of each image."""
    from thresher.run.perform import untracked
    from thresher.segmentation.examples import pixels_and_labels
    from thresher.segmentation.inference import ready, segmented
    from thresher.segmentation.trained import trained_network

    found = trained_network(checkpoint_of(run, cell.training))
    strong = strong_images(images, found.taxonomy)

    def use(number: int, pixels: np.ndarray, labels: Any, decided: np.ndarray) -> tuple[Any, Any, np.ndarray]:
        return pixels, labels.numpy(), decided

    read = [pixels_and_labels(each) for each in strong]
    return found.taxonomy, segmented(ready(found), len(read), read.__getitem__, use, untracked)


def _truth(name: str, pixels: np.ndarray, labels: np.ndarray, taxonomy: Taxonomy) -> list[Panel]:
    return [Panel(["image", name], pixels), Panel(["truth"], coloured(labels, taxonomy))]
