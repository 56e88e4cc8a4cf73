"""How much a network would learn from the boxes of pool images: column yield_area of `score`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher import tables
from thresher.errors import DataError
from thresher.run.opened import OpenedRun
from thresher.run.perform import Track
from thresher.selection.diversity import shows_a_real_object


def yield_areas(
    opened: OpenedRun, training: str, labelled: pl.DataFrame, track: Track[Any]
) -> tuple[pl.DataFrame, int]:
    """image_id and yield_area of each labelled image that can be read, and how many could not.

    Boxes of depictions, and of objects inside a car or building, do not count. An image without boxes has 0 and is
    not read.

    Args:
        labelled: image_id of the images whose source has box labels.

    Raises:
        SettingsError: no training has this name.
    """
    from thresher.segmentation.examples import pixels_of
    from thresher.segmentation.inference import Images, segmented
    from thresher.segmentation.trained import ready, trained_network
    from thresher.segmentation.weak_labels import yield_area

    trained = trained_network(opened.checkpoint(training))
    boxed = _boxed(opened, labelled, trained.tree.nodes)
    parents = trained.tree.outputs_of_nodes(trained.tree.root)
    rows = boxed.select("image_id", "path", "corners", "nodes").rows()
    problems: list[dict[str, object]] = []

    def unreadable(number: int, error: DataError) -> None:
        name, path = rows[number][:2]
        row = {"image_id": name, "path": path, "problem": "image_unreadable", "detail": str(error)}
        problems.append(row | {"stage": "score"})

    def use(number: int, _: np.ndarray, __: object, probabilities: np.ndarray) -> tuple[str, float]:
        name, _path, corners, nodes = rows[number]
        return name, yield_area(probabilities, np.array(corners, np.float32), parents[nodes])

    def read(number: int) -> tuple[Any, None]:
        return pixels_of(Path(rows[number][1])), None

    network = ready(trained)
    images = Images(len(rows), read, unreadable)
    measured = segmented(network, images, use, track, network.root_probabilities)
    opened.run.add_problems("score", tables.from_rows(problems, tables.PROBLEMS))
    columns = tables.some(tables.SCORES, "image_id", "yield_area")
    known = pl.DataFrame(measured, schema=dict(columns), orient="row")
    empty = labelled.join(boxed, on="image_id", how="anti").with_columns(yield_area=pl.lit(0.0))
    return pl.concat([known, empty]), len(problems)


def _boxed(opened: OpenedRun, labelled: pl.DataFrame, nodes: tuple[str, ...]) -> pl.DataFrame:
    """image_id, path, and lists of corners and nodes (by number) of the images that have boxes that count."""
    numbers = {name: number for number, name in enumerate(nodes)}
    images = opened.images.lazy().select("image_id", "path")
    return (
        opened.all_boxes()
        .filter(pl.col("class").is_in(list(nodes)) & shows_a_real_object())
        .join(labelled.lazy(), on="image_id", how="semi")
        .sort("image_id", "y0", "x0", "y1", "x1", "label")  # sums of floats depend on their order
        .group_by("image_id", maintain_order=True)
        .agg(
            pl.concat_list("x0", "y0", "x1", "y1").alias("corners"),
            pl.col("class").replace_strict(numbers, return_dtype=pl.Int64).alias("nodes"),
        )
        .join(images, on="image_id")
        .sort("image_id")
        .collect()
    )
