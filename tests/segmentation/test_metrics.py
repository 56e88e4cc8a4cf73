from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.classification import (
    MulticlassJaccardIndex,
    MulticlassPrecision,
    MulticlassRecall,
)

from thresher.segmentation.metrics import class_metrics, confusion, mean_iou

pytestmark = pytest.mark.slow

CLASSES, VOID = 5, 5


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, CLASSES + 1, (3, 20, 30)), rng.integers(0, CLASSES, (3, 20, 30))


def test_by_hand() -> None:
    matrix = confusion(np.array([[0, 0, 1], [1, 3, 3]]), np.array([[0, 1, 1], [1, 0, 2]]), 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]  # 3 is void
    found = class_metrics(matrix, ["a", "b", "c"])
    assert found["iou"].to_list() == [1 / 2, 2 / 3, None]
    assert found["precision"].to_list() == [1, 2 / 3, None]
    assert found["recall"].to_list() == [1 / 2, 1, None]
    assert found["labelled_px"].to_list() == [2, 2, 0]
    assert mean_iou(found) == pytest.approx(7 / 12)


def test_an_absent_class_is_null_even_if_it_is_decided_on() -> None:
    found = class_metrics(confusion(np.array([0, 0]), np.array([0, 1]), 2), ["a", "b"])
    assert found.select("iou", "precision", "recall").row(1) == (None, 0.0, None)
    assert mean_iou(found) == 0.5
    assert mean_iou(class_metrics(np.zeros((2, 2), np.int64), ["a", "b"])) is None


def test_equal_to_a_loop_and_to_torchmetrics(maps: tuple[np.ndarray, np.ndarray]) -> None:
    labels, decided = maps
    found = class_metrics(confusion(labels, decided, CLASSES), list("abcde"))
    for c in range(CLASSES):
        hit, either = ((labels == c) & (decided == c)), ((labels == c) | (decided == c)) & (labels != VOID)
        assert found["iou"][c] == pytest.approx(hit.sum() / either.sum())
    pair = torch.from_numpy(decided), torch.from_numpy(labels)
    oracles = {"iou": MulticlassJaccardIndex, "precision": MulticlassPrecision, "recall": MulticlassRecall}
    for column, oracle in oracles.items():
        expected = oracle(CLASSES, ignore_index=VOID, average="none")(*pair)
        np.testing.assert_allclose(found[column].to_numpy(), expected, rtol=1e-6)
    mean = MulticlassJaccardIndex(CLASSES, ignore_index=VOID)(*pair)
    assert mean_iou(found) == pytest.approx(float(mean))


def test_parts_add_up_to_the_whole(maps: tuple[np.ndarray, np.ndarray]) -> None:
    labels, decided = maps
    parts = sum(confusion(a, b, CLASSES) for a, b in zip(labels, decided, strict=True))
    assert np.array_equal(parts, confusion(labels, decided, CLASSES))
