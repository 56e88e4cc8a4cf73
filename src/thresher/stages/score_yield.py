"""How much a network would learn from the boxes of the pool's images: the yield column of `score`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher import tables
from thresher.errors import DataError
from thresher.run.contents import checkpoint_of
from thresher.run.folder import Run
from thresher.run.perform import Track


def yield_areas(run: Run, training: str, labelled: pl.DataFrame, track: Track[Any]) -> tuple[pl.DataFrame, int]:
    """image_id and yield_area of each labelled image that can be read, and how many could not.

    Boxes of depictions, and of what lies inside a car or building, do not count. An image without boxes has 0 and is
    not read.

    Args:
        labelled: image_id of the images whose source labels boxes at all.

    Raises:
        SettingsError: there is no such training.
    """
    from thresher.segmentation.examples import pixels_of
    from thresher.segmentation.inference import Images, segmented
    from thresher.segmentation.trained import ready, trained_network
    from thresher.segmentation.weak_labels import yield_area

    trained = trained_network(checkpoint_of(run, training))
    boxed = _boxed(run, labelled, trained.tree.nodes)
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
    run.add_problems("score", tables.from_rows(problems, tables.PROBLEMS))
    columns = tables.some(tables.SCORES, "image_id", "yield_area")
    known = pl.DataFrame(measured, schema=dict(columns), orient="row")
    empty = labelled.join(boxed, on="image_id", how="anti").with_columns(yield_area=pl.lit(0.0))
    return pl.concat([known, empty]), len(problems)


def _boxed(run: Run, labelled: pl.DataFrame, nodes: tuple[str, ...]) -> pl.DataFrame:
    """image_id, path, and lists of corners and nodes (by number) of the images that have boxes that count."""
    numbers = {name: number for number, name in enumerate(nodes)}
    real = pl.col("is_depiction").ne_missing(True) & pl.col("is_inside").ne_missing(True)
    images = tables.scan(run.images, tables.INDEXED_IMAGES).select("image_id", "path")
    return (
        tables.scan(run.boxes, tables.BOXES)
        .filter(pl.col("class").is_in(list(nodes)) & real)
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
