from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from thresher.drawings.component_sheet import (
    ComponentRow,
    Crop,
    component_sheet,
    slice_crop,
)
from thresher.drawings.heat_map import HeatScale, heat_colours, heat_map, heat_scale

SCALE = HeatScale(0.0, 100.0)


def brightness(colour: np.ndarray) -> float:
    return float(np.asarray(colour, float) @ [0.299, 0.587, 0.114])


def test_the_scale_is_the_1_and_99_percent_quantile() -> None:
    scale = heat_scale(np.arange(101.0))
    assert (scale.low, scale.high) == (pytest.approx(1.0), pytest.approx(99.0))


def test_colours_grow_brighter_with_density_and_stop_at_the_ends() -> None:
    colours = heat_colours(np.linspace(0, 100, 50), SCALE)
    levels = [brightness(colour) for colour in colours]
    assert levels == sorted(levels)
    assert levels[-1] - levels[0] > 150
    below, low, high, above = heat_colours(np.array([-1e6, 0, 100, 1e6]), SCALE)
    assert (below == low).all()
    assert (above == high).all()


def test_a_scale_without_width_still_gives_colours() -> None:
    assert heat_colours(np.array([[4.0, 6.0]]), HeatScale(5.0, 5.0)).shape == (1, 2, 3)


def test_the_planted_cell_alone_is_bright() -> None:
    density = np.zeros((3, 4))
    density[1, 2] = 100.0
    sheet = np.asarray(heat_map(Image.new("RGB", (400, 300), (120, 120, 120)), density, SCALE, "title", "id"))
    # 420 × 315 pixels each, below a title of 58 and right of the plain picture: gaps of 12.
    left, top, cell = 12 + 420 + 12, 58, 105
    seen = {
        (row, column): brightness(sheet[top + row * cell + 52, left + column * cell + 52])
        for row in range(3)
        for column in range(4)
    }
    bright = seen.pop((1, 2))
    assert bright > max(seen.values()) + 80
    assert max(seen.values()) - min(seen.values()) < 1
    # The picture beside it is left as it was.
    assert (sheet[top + 157, 12 + 210] == 120).all()


def test_long_and_narrow_pictures_and_long_titles_fit() -> None:
    for size in ((1000, 20), (20, 1000), (1, 1)):
        sheet = heat_map(Image.new("RGB", size), np.zeros((2, 2)), SCALE, "long " * 80, "x" * 300)
        assert sheet.width <= 2 * 420 + 36
        assert sheet.height <= 58 + 420 + 56 + 12


def test_a_crop_shows_the_cell_in_its_middle_and_grey_beyond_the_image() -> None:
    pixels = np.zeros((90, 120, 3), np.uint8)
    pixels[30:60, 60:90] = (200, 0, 0)  # row 1, column 2 of a 3 × 4 grid
    picture = Image.fromarray(pixels)
    middle = np.asarray(slice_crop(picture, (3, 4), row=1, column=2, side=120))
    assert middle.shape == (120, 120, 3)
    assert middle[60, 60].tolist() == [200, 0, 0]
    assert middle[20, 20].tolist() == [0, 0, 0]
    corner = np.asarray(slice_crop(picture, (3, 4), row=0, column=0, side=120))
    assert corner[20, 20].tolist() == corner[100, 20].tolist() == [228, 228, 231]
    assert corner[60, 60].tolist() == [0, 0, 0]
    assert corner[100, 110].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("size", "grid"), [((640, 480), (1, 49)), ((640, 480), (49, 1)), ((8000, 100), (7, 7)), ((640, 480), (1, 600))]
)
def test_a_cell_thinner_than_a_pixel_is_framed_in_yellow_all_the_same(
    size: tuple[int, int], grid: tuple[int, int]
) -> None:
    crop = np.asarray(slice_crop(Image.new("RGB", size), grid, row=0, column=0))
    assert max(crop.shape[:2]) <= 120
    assert (crop == (255, 214, 10)).all(2).any()


def test_a_sheet_has_a_row_per_component_and_room_for_what_cannot_be_read() -> None:
    rows = [
        ComponentRow(["component 0", "50% of target slices"], [Crop("gone", "1.0 nats")] * 3),
        ComponentRow(["component 1"], []),
    ]
    one, two = component_sheet(rows[:1], "t", "w"), component_sheet(rows, "t", "w")
    assert two.height > one.height
    assert component_sheet([], "t", "w").height > 0
