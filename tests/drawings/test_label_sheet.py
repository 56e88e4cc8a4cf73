"""Sheets of images beside their label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thresher.drawings.label_sheet import LabelledPicture, label_sheet

YELLOW = (255, 214, 10)


def sheet_of(folder: Path, size: tuple[int, int], *boxes: tuple[float, float, float, float]) -> np.ndarray:
    path = folder / "image.png"
    Image.new("RGB", size, (40, 90, 160)).save(path)
    colours = np.zeros((size[1], size[0], 3), np.uint8)
    return np.asarray(label_sheet([("All", [LabelledPicture(path, boxes, colours, "image", "detail")])]))


def test_a_box_is_framed_where_it_lies(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path, (200, 140), (0.25, 0.5, 0.75, 1.0))
    rows, columns = np.nonzero((sheet == YELLOW).all(2))
    # The picture begins 8 pixels from the left and 40 from the top.
    assert (columns.min(), columns.max()) == (8 + 50, 8 + 149)
    assert (rows.min(), rows.max()) == (40 + 70, 40 + 139)


@pytest.mark.parametrize(
    "box", [(0.5, 0.2, 0.5004, 0.8), (0.1, 0.5, 0.9, 0.5001), (0.3, 0.3, 0.3, 0.3), (0.0, 0.0, 0.001, 0.001)]
)
@pytest.mark.parametrize("size", [(1920, 1080), (4000, 20), (20, 4000)])
def test_a_box_thinner_than_a_pixel_of_the_sheet_is_framed_all_the_same(
    tmp_path: Path, size: tuple[int, int], box: tuple[float, float, float, float]
) -> None:
    assert (sheet_of(tmp_path, size, box) == YELLOW).all(2).any()


def test_an_image_that_cannot_be_read_leaves_a_grey_place_and_its_labels(tmp_path: Path) -> None:
    gone = LabelledPicture(tmp_path / "gone.png", [(0, 0, 1, 1)], np.full((10, 20, 3), 90, np.uint8), "gone", "")
    sheet = np.asarray(label_sheet([("None", []), ("One", [gone])]))
    assert (sheet[40:140, 8:208] == (228, 228, 231)).all(2).mean() > 0.5
    assert (sheet[40:140, 212:412] == 90).all()
