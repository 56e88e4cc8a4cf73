"""Metrics of a segmentation, all from one confusion matrix over the whole set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Integer

from thresher.tables import CLASS_METRICS, CONFUSION, from_rows


def confusion(
    labels: Integer[np.ndarray, "*pixels"], decided: Integer[np.ndarray, "*pixels"], classes: int
) -> Integer[np.ndarray, "classes classes"]:
    """How many pixels of each class (rows) were taken for each class (columns). Pixels labelled void are ignored.

    The matrices of the parts of a set add up to that of the set.

    Args:
        labels: The true class of each pixel; `classes` is void.
        decided: The network's class of each pixel, 0 to `classes` − 1.
    """
    counted = labels != classes
    pairs = labels[counted].astype(np.int64) * classes + decided[counted]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def class_metrics(matrix: Integer[np.ndarray, "classes classes"], names: Sequence[str]) -> pl.DataFrame:
    """Table CLASS_METRICS: IoU, precision and recall (0..1, higher is better) and the pixels they are computed from.

    IoU and recall of a class without labelled pixels are null, and so is the precision of a class never decided on.

    Source: Everingham et al. 2015 (PASCAL VOC), §4.1: IoU = TP / (TP + FP + FN).
    """
    right, labelled, decided = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    rows: list[dict[str, object]] = [
        {
            "class": name,
            "iou": float(hit / (there + taken - hit)) if there else None,
            "precision": float(hit / taken) if taken else None,
            "recall": float(hit / there) if there else None,
            "labelled_px": int(there),
            "decided_px": int(taken),
        }
        for name, hit, there, taken in zip(names, right, labelled, decided, strict=True)
    ]
    return from_rows(rows, CLASS_METRICS)


def confusion_table(matrix: Integer[np.ndarray, "classes classes"], names: Sequence[str]) -> pl.DataFrame:
    """Table CONFUSION: the matrix, with a row per pair of classes, by name."""
    rows: list[dict[str, object]] = [
        {"class": label, "decided_class": decided, "pixels": int(matrix[row, column])}
        for row, label in enumerate(names)
        for column, decided in enumerate(names)
    ]
    return from_rows(rows, CONFUSION)


def mean_iou(metrics: pl.DataFrame) -> float | None:
    """mIoU, 0..1: the mean IoU over the classes that have labelled pixels; None if none has."""
    mean = metrics["iou"].mean()
    return float(mean) if isinstance(mean, float) else None
