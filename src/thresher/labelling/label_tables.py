"""The tables of a label set: their columns."""

from __future__ import annotations

import polars as pl

from thresher.tables import LABELLED_IMAGES, Schema

#: `images` as the stage writes it: beside each image, size and digest of its label map, so that a changed file is seen.
LABEL_FILES: Schema = {**LABELLED_IMAGES, "bytes": pl.Int64, "sha256": pl.String}

#: One row per box. Corners are shares of the image's width and height. `share_labelled`: of the box's pixels, 0..1;
#: `agreement`: IoU of the box and the rectangle around the pixels in it that are labelled as its class, 0..1;
#: `expected_iou`: of the class on held-out masks, null if it was not measured; `warning`: null if there is none.
LABELLED_BOXES: Schema = {"image_id": pl.String, "class": pl.String} | {
    "x0": pl.Float32,
    "y0": pl.Float32,
    "x1": pl.Float32,
    "y1": pl.Float32,
    "share_labelled": pl.Float64,
    "agreement": pl.Float64,
    "expected_iou": pl.Float64,
    "route": pl.String,
    "warning": pl.String,
}

#: One row per route and class, on held-out masks; `class` null for the mean over the classes that boxes are drawn
#: around. `iou` counts a pixel of the class without label as missed; `low` to `high` is its 95 % bootstrap interval, by
#: image. `images` and `objects` hold the class. `chosen`: whether this route gives the class's labels.
LABEL_ROUTES: Schema = {"route": pl.String, "class": pl.String} | {
    "iou": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "precision": pl.Float64,
    "images": pl.Int64,
    "objects": pl.Int64,
    "chosen": pl.Boolean,
}
