from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from thresher.data.label_maps import class_numbers
from thresher.data.taxonomy import load_taxonomy
from thresher.errors import DataError
from thresher.segmentation.examples import (
    Cutting,
    StrongImage,
    WeakImage,
    drawn_cut,
    gathered,
    label_example,
    places,
    strong_example,
    weak_example,
)
from thresher.segmentation.tree import class_tree

pytestmark = pytest.mark.slow

CAMVID = load_taxonomy("camvid")
TREE = class_tree(CAMVID, box_head=True)
CAR, SIZE = 8, (96, 128)
LOOKED_FOR = np.ones(len(TREE.boxed), np.bool_)
NUMBERS = class_numbers(CAMVID, "class_index")


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """A white car on a black road, and its mask beside it."""
    pixels, mask = np.zeros((120, 200, 3), np.uint8), np.full((120, 200), 3, np.uint8)
    pixels[30:90, 50:150], mask[30:90, 50:150] = 255, CAR
    Image.fromarray(pixels).save(tmp_path / "image.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


def test_image_mask_and_boxes_stay_over_one_another(scene: Path) -> None:
    strong = StrongImage(scene / "image.png", scene / "mask.png", NUMBERS)
    corners = np.array([[50 / 200, 30 / 120, 150 / 200, 90 / 120]], np.float32)
    weak = WeakImage(scene / "image.png", corners, np.array([TREE.nodes.index("Car")]), LOOKED_FOR)
    seen, border, strayed = set(), 0.0, 0
    for seed in range(12):
        image, labels = strong_example(strong, Cutting(SIZE, 2.0), np.random.default_rng(seed))
        again, (vehicle, human), cover = weak_example(weak, TREE, Cutting(SIZE, 2.0), np.random.default_rng(seed))
        assert torch.equal(cover.inside[TREE.boxed.index("Car")], vehicle[0] == 1)
        assert image.shape == (3, *SIZE)
        assert torch.equal(image, again)
        white, car, boxed = image[0] > 127, labels == CAR, vehicle[0] == 1
        assert set(labels.unique().tolist()) <= {3, CAR}
        border, strayed = (
            border + 4 * float(car.sum()) ** 0.5,
            strayed + int((white != car).sum() + (boxed != car).sum()),
        )
        assert torch.equal(human[-1], torch.ones(SIZE))
        seen.add(int(car.sum()))
    # Edges that fall on the middle of a pixel may be rounded either way; half a pixel of shift would show in a third.
    assert strayed / border < 0.1
    assert len(seen) > 6


def test_a_mirrored_cut_is_the_mirror_image(tmp_path: Path) -> None:
    ramp = np.broadcast_to(np.arange(128, dtype=np.uint8)[None, :, None], (96, 128, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / "ramp.png")
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "mask.png")
    found = set()
    for seed in range(8):
        image, _ = strong_example(
            StrongImage(tmp_path / "ramp.png", tmp_path / "mask.png", NUMBERS),
            Cutting(SIZE, 1.0),
            np.random.default_rng(seed),
        )
        row = image[0, 0].tolist()
        assert row in (list(range(128)), list(range(127, -1, -1)))
        found.add(row[0])
    assert found == {0, 127}


def test_boxes_outside_the_cut_leave_nothing_behind(scene: Path) -> None:
    corners = np.array([[0, 0, 0.01, 1], [0.99, 0, 1, 1], [0, 0, 1, 0.01]], np.float32)
    weak = WeakImage(scene / "image.png", corners, np.full(3, TREE.nodes.index("Car")), LOOKED_FOR)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cut = drawn_cut((120, 200), SIZE, 2.0, np.random.default_rng(seed))
        _, (vehicle, _), _ = weak_example(weak, TREE, Cutting(SIZE, 2.0), rng)
        right = cut.left + cut.window[1]
        clear = cut.left > 0.01 * 200 and right < 0.99 * 200 and cut.top > 0.01 * 120
        if clear:
            assert vehicle[0].sum() == 0
            return
    pytest.fail("no cut was clear of the boxes")


def test_batches_hold_strong_before_weak(scene: Path) -> None:
    strong = StrongImage(scene / "image.png", scene / "mask.png", NUMBERS)
    weak = WeakImage(scene / "image.png", np.zeros((0, 4), np.float32), np.zeros(0, np.int64), LOOKED_FOR)
    rng = np.random.default_rng(0)
    examples = (
        [strong_example(strong, Cutting(SIZE, 1.5), rng)],
        [weak_example(weak, TREE, Cutting(SIZE, 1.5), rng) for _ in range(2)],
    )
    batch = gathered(*examples, TREE, SIZE)
    assert (batch.images.shape, batch.labels.shape) == ((3, 3, *SIZE), (1, *SIZE))
    assert [part.shape for part in batch.shares] == [(2, 2, *SIZE), (2, 3, *SIZE)]
    assert batch.cover.inside.shape == batch.cover.known.shape == (3, len(TREE.boxed), *SIZE)
    assert gathered(*examples, class_tree(CAMVID), SIZE).cover is None
    alone = gathered(examples[0], [], TREE, SIZE)
    assert [part.shape for part in alone.shares] == [(0, 2, *SIZE), (0, 3, *SIZE)]


def test_every_item_comes_once_before_any_comes_again() -> None:
    taken = [place for step in range(5) for place in places(step, 4, 10, seed=1, stream=0)]
    assert sorted(taken[:10]) == sorted(taken[10:]) == list(range(10))
    assert taken[:10] != taken[10:]
    assert places(3, 4, 10, 1, 0) == taken[12:16]
    assert places(0, 10, 10, 1, 0) != places(0, 10, 10, 1, 1) != places(0, 10, 10, 2, 1)


def test_a_mask_of_another_size_is_refused(scene: Path) -> None:
    Image.fromarray(np.zeros((60, 100), np.uint8)).save(scene / "small.png")
    strong = StrongImage(scene / "image.png", scene / "small.png", NUMBERS)
    with pytest.raises(DataError, match=r"small.png: 100 × 60 pixels; its image .* has 200 × 120"):
        strong_example(strong, Cutting(SIZE, 1.5), np.random.default_rng(0))


def test_labels_from_boxes_are_cut_as_masks_are_and_may_be_smaller(scene: Path) -> None:
    """A car of 100 × 60 pixels in both; the labels are stored at half the image's size."""
    whole = Image.open(scene / "mask.png")
    whole.resize((100, 60), Image.Resampling.NEAREST).save(scene / "half.png")
    strong = StrongImage(scene / "image.png", scene / "mask.png", NUMBERS)
    weak = StrongImage(scene / "image.png", scene / "half.png", NUMBERS)
    for seed in range(6):
        cutting = Cutting(SIZE, 2.0, colour=0.3)
        expected = strong_example(strong, cutting, np.random.default_rng(seed))
        found = label_example(weak, cutting, np.random.default_rng(seed))
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])


def test_colours_vary_and_the_cuts_stay(scene: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(60, 190, (120, 200, 3), np.uint8)).save(scene / "image.png")
    strong = StrongImage(scene / "image.png", scene / "mask.png", NUMBERS)
    plain, *varied = (
        strong_example(strong, Cutting(SIZE, 1.0, colour), np.random.default_rng(3)) for colour in (0.0, 0.3, 0.3)
    )
    assert torch.equal(varied[0][0], varied[1][0])
    assert all(torch.equal(each[1], plain[1]) for each in varied)
    brightness = varied[0][0].float().mean() / plain[0].float().mean()
    assert not torch.equal(varied[0][0], plain[0])
    assert 0.6 < brightness < 1.4
    # Pixels that were brighter stay brighter: colours change, the picture does not.
    together = torch.stack([varied[0][0].float().flatten(), plain[0].float().flatten()])
    assert torch.corrcoef(together)[0, 1] > 0.9
