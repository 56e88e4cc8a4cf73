"""A mask that no training could read is found by `index`, whatever format brings it, and said in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from thresher.errors import DataError
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.stages.index import IndexSettings, index

WIDTH, HEIGHT = 8, 4


def mask(path: Path) -> None:
    Image.new("L", (WIDTH, HEIGHT), 3).save(path)


def other_size(path: Path) -> None:
    Image.new("L", (WIDTH // 2, HEIGHT // 2), 3).save(path)


def three_channels(path: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT), (3, 3, 3)).save(path)


def sixteen_bits(path: Path) -> None:
    Image.fromarray(np.full((HEIGHT, WIDTH), 3, np.uint16)).save(path)


def jpeg(path: Path) -> None:
    Image.new("L", (WIDTH, HEIGHT), 3).save(path, "JPEG")


def no_image(path: Path) -> None:
    path.write_bytes(b"\x89PNG and no more")


WRONG: dict[Callable[[Path], None], str] = {
    other_size: "4 × 2 pixels; its image .* has 8 × 4",
    three_channels: "mode RGB; expected a mask of one channel",
    sixteen_bits: "mode I;16; expected a mask of one channel",
    jpeg: "a JPEG, which changes the values of a mask",
    no_image: "not a readable mask",
}


def masks_of(root: Path, *makers: Callable[[Path], None]) -> str:
    """A source of format masks with an image and a mask of each maker."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number, make in enumerate(makers):
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "images" / f"{number}.jpg")
        make(root / "masks" / f"{number}.png")
    return f"t=masks:{root}"


def cityscapes(root: Path, *makers: Callable[[Path], None]) -> str:
    """The same as Cityscapes lays it out."""
    for folder in ("leftImg8bit", "gtFine"):
        (root / folder / "val" / "ulm").mkdir(parents=True)
    for number, make in enumerate(makers):
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "leftImg8bit/val/ulm" / f"{number}_leftImg8bit.png")
        make(root / "gtFine/val/ulm" / f"{number}_gtFine_labelTrainIds.png")
    return f"t=cityscapes:{root}"


@pytest.mark.parametrize("source", [masks_of, cityscapes])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_mask_costs_itself_and_is_said(
    tmp_path: Path, source: Callable[..., str], wrong: Callable[[Path], None]
) -> None:
    text = source(tmp_path / "data", mask, wrong, mask)
    run = Run(tmp_path / "run")
    done = index(run, IndexSettings((text,)))
    summary = done.summary
    assert (summary["target_images"], summary["masks"], summary["problems"]) == (3, 2, {"mask_unreadable": 1})
    assert done.failed_items == 1  # so that the command ends with exit code 4
    problem = OpenedRun(run).problems.row(0, named=True)
    assert re.search(WRONG[wrong], problem["detail"])
    assert problem["image_id"].rsplit("/", 1)[1] == "1" and Path(problem["path"]).is_file()


@pytest.mark.parametrize("wrong", WRONG)
def test_where_most_masks_are_wrong_index_ends_and_shows_the_first(
    tmp_path: Path, wrong: Callable[[Path], None]
) -> None:
    text = masks_of(tmp_path / "data", mask, wrong, wrong)
    with pytest.raises(DataError, match=f"2 of 3 masks cannot be used .*{WRONG[wrong]}"):
        index(Run(tmp_path / "run"), IndexSettings((text,)))


def test_values_that_mean_nothing_in_most_masks_end_index(tmp_path: Path) -> None:
    def ninety(path: Path) -> None:
        Image.new("L", (WIDTH, HEIGHT), 90).save(path)

    text = masks_of(tmp_path / "data", mask, *[ninety] * 9)
    with pytest.raises(DataError, match="7 of 8 masks that were decoded .*values 90 are neither a class nor void"):
        index(Run(tmp_path / "run"), IndexSettings((text,)))


def test_outlines_drawn_at_the_size_that_the_annotations_state_are_checked_against_the_photo(tmp_path: Path) -> None:
    images = tmp_path / "coco" / "images"
    images.mkdir(parents=True)
    for number in range(3):
        size = (WIDTH, HEIGHT) if number else (WIDTH * 2, HEIGHT * 2)
        Image.new("RGB", size).save(images / f"{number}.jpg")
    outline = {"category_id": 1, "bbox": [0, 0, 4, 4], "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]]}
    content = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "width": WIDTH, "height": HEIGHT} for n in range(3)],
        "annotations": [{"id": n, "image_id": n, **outline} for n in range(3)],
        "categories": [{"id": 1, "name": "car"}],
    }
    (images.parent / "instances_train.json").write_text(json.dumps(content), "utf-8")
    run = Run(tmp_path / "run")
    summary = index(run, IndexSettings((f"t=coco:{images.parent}",))).summary
    assert (summary["masks"], summary["problems"]) == (2, {"mask_unreadable": 1})
    assert "8 × 4 pixels; its image" in OpenedRun(run).problems["detail"][0]


def test_a_photo_that_is_turned_by_its_metadata_is_compared_upright(tmp_path: Path) -> None:
    text = masks_of(tmp_path / "data", mask)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / "data" / "images" / "0.jpg", exif=exif)
    assert index(Run(tmp_path / "run"), IndexSettings((text,))).summary["masks"] == 1


def test_masks_in_colours_are_told_although_the_first_is_black(tmp_path: Path) -> None:
    def road(path: Path) -> None:
        Image.new("RGB", (WIDTH, HEIGHT), (128, 64, 128)).save(path)

    def black(path: Path) -> None:
        Image.new("RGB", (WIDTH, HEIGHT)).save(path)

    text = masks_of(tmp_path / "data", black, road)
    summary = index(Run(tmp_path / "run"), IndexSettings((text,))).summary
    assert (summary["masks"], summary["problems"]) == (2, {})
