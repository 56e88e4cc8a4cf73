"""Sheets of predictions, pixel by pixel."""

from __future__ import annotations

import numpy as np

from thresher.drawings.prediction_sheet import Panel, prediction_sheet

RED, BLUE = (200, 10, 20), (10, 20, 200)


def test_every_pixel_of_a_label_map_keeps_its_colour_and_the_legend_shows_each() -> None:
    image = np.full((60, 80, 3), 128, np.uint8)
    labels = np.empty((60, 80, 3), np.uint8)
    labels[:, :40], labels[:, 40:] = RED, BLUE
    sheet = np.asarray(prediction_sheet([Panel(["image"], image), Panel(["truth"], labels)], [("a", RED), ("b", BLUE)]))
    assert sheet.shape[1] == 2 * 230 + 3 * 10
    truth = sheet[45:200, 250:480]
    assert {tuple(each) for each in truth.reshape(-1, 3).tolist()} == {RED, BLUE}
    assert (truth == RED).all(2).mean() == (truth == BLUE).all(2).mean()
    legend = sheet[40 + 172 + 12 :]
    assert all((legend == colour).all(2).sum() > 100 for colour in (RED, BLUE))


def test_a_long_legend_takes_more_lines() -> None:
    panel = Panel(["x" * 200, "second"], np.zeros((10, 20, 3), np.uint8))
    heights = [prediction_sheet([panel], [(f"class {n}", (n, n, n)) for n in range(count)]).height for count in (2, 20)]
    assert heights[1] >= heights[0] + 5 * 20


def test_a_picture_much_wider_than_high_is_a_line() -> None:
    wide = Panel(["wide"], np.full((5, 4000, 3), RED, np.uint8))
    sheet = np.asarray(prediction_sheet([wide, wide], [("a", RED)]))
    assert (sheet[:41] == RED).all(2).sum(1).tolist()[-2:] == [0, 2 * 230]


def test_a_picture_much_higher_than_wide_is_drawn_narrower() -> None:
    tall = Panel(["tall"], np.full((4000, 3, 3), RED, np.uint8))
    sheet = np.asarray(prediction_sheet([tall, tall], [("a", RED)]))
    assert sheet.shape[0] < 1000
    assert (sheet[40:700] == RED).all(2).sum() == 2 * (700 - 40)
