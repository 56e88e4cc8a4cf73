from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn import functional

from thresher.data.taxonomy import load_taxonomy
from thresher.errors import DataError, SettingsError
from thresher.pretrained import pad_statically
from thresher.run.perform import untracked
from thresher.segmentation import inference
from thresher.segmentation.exported import is_exportable, onnx_logits, onnx_network
from thresher.segmentation.inference import Images, Segmenter, segmented, segmenter, upscaled_decision
from thresher.segmentation.losses import decision, highest
from thresher.segmentation.network import SegmentationNetwork
from thresher.segmentation.settings import NetworkSettings
from thresher.segmentation.tree import class_tree

TREE = class_tree(load_taxonomy("camvid"))
CPU = torch.device("cpu")


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def new(decoder: str) -> SegmentationNetwork:
    torch.manual_seed(0)
    network = SegmentationNetwork(TREE, NetworkSettings(decoder=decoder), (0.5,) * 3, (0.5,) * 3).eval()
    pad_statically(network)
    return network


@pytest.fixture(scope="module")
def network() -> SegmentationNetwork:
    return new("fpn")


def decided(network: SegmentationNetwork, image: torch.Tensor, short_side: int) -> torch.Tensor:
    """The decision on one image alone, by torch, as one would write it; the image's sides are multiples of 32."""
    with torch.inference_mode():
        high, wide = (32 * round(side * short_side / min(image.shape[1:]) / 32) for side in image.shape[1:])
        seen = functional.interpolate(image[None].float(), (high, wide), mode="bilinear", antialias=True)
        logits = network(seen.round().clamp(0, 255).to(torch.uint8))
        return decision([functional.interpolate(part, image.shape[1:], mode="bilinear") for part in logits], TREE)[0]


def photos(*sizes: tuple[int, int]) -> list[torch.Tensor]:
    """Blobs of colour, since noise alone would put every pixel at the edge of two classes."""
    rng = np.random.default_rng(0)
    small = [torch.from_numpy(rng.integers(0, 256, (1, 3, 6, 8)).astype(np.float32)) for _ in sizes]
    pairs = zip(small, sizes, strict=True)
    return [functional.interpolate(each, size, mode="bicubic")[0].clamp(0, 255).to(torch.uint8) for each, size in pairs]


def test_highest_by_hand_and_as_argmax() -> None:
    logits = torch.tensor([1.0, 3.0, 3.0, 2.0]).reshape(1, 4, 1, 1)
    assert highest(logits).item() == 1  # the first of equals
    drawn = torch.randn(2, 7, 5, 6)
    assert torch.equal(highest(drawn), drawn.argmax(1))


@pytest.mark.parametrize("most", [1 << 24, 5000, 1])
def test_bands_decide_as_the_whole(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(inference, "_MOST_AT_ONCE", most)
    torch.manual_seed(0)
    for low, size in (((8, 12), (37, 50)), ((16, 20), (9, 7)), ((8, 8), (8, 8))):
        logits = [functional.interpolate(torch.randn(2, len(c.outputs), 4, 4), low) for c in TREE.classifiers]
        whole = decision([functional.interpolate(part, size, mode="bilinear") for part in logits], TREE)
        assert torch.equal(upscaled_decision(logits, TREE, size).long(), whole)


def test_every_image_is_decided_as_alone_by_torch(network: SegmentationNetwork) -> None:
    images = photos((48, 64), (48, 64), (64, 48), (48, 64), (90, 120))
    alone = [decided(network, image, 64).numpy() for image in images]
    fast = segmenter(network, TREE, 64, CPU)
    in_batches = Segmenter(network, TREE, 64, CPU, 3, 2)  # as on a GPU: by torch, alike ones of each three together
    for way in (fast, in_batches):
        read = Images(len(images), lambda number: (images[number], number))
        found = segmented(way, read, lambda n, pixels, beside, classes: (n, beside, pixels.shape, classes), untracked)
        assert [(n, beside) for n, beside, _, _ in found] == [(n, n) for n in range(5)]
        for image, expected, (_, _, shape, classes) in zip(images, alone, found, strict=True):
            assert shape == (*image.shape[1:], 3)
            assert (classes == expected).mean() >= 0.999


def test_images_that_cannot_be_read_are_told_or_raise(network: SegmentationNetwork) -> None:
    (image,) = photos((32, 32))

    def read(number: int) -> tuple[torch.Tensor, None]:
        if number == 1:
            raise DataError("the second is broken")
        return image, None

    way = Segmenter(network, TREE, 32, CPU, 1, 2)
    told: dict[int, str] = {}
    listed = Images(3, read, lambda n, error: told.update({n: str(error)}))
    found = segmented(way, listed, lambda n, *_: n, untracked)
    assert (found, told) == ([0, 2], {1: "the second is broken"})
    before = torch.get_num_threads()
    with pytest.raises(DataError, match="the second is broken"):
        segmented(way, Images(3, read), lambda n, *_: n, untracked)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("decoder", ["fpn", "unet", "deeplabv3plus"])
def test_onnx_gives_the_same_logits_at_any_size(decoder: str) -> None:
    network = new(decoder)
    content = onnx_network(network, TREE, {"classes": json.dumps(TREE.classes)})
    run = onnx_logits(content)
    for size in ((64, 96), (96, 64)):
        images = torch.stack(photos(size, size))
        with torch.inference_mode():
            expected = network(images)
        for ours, theirs in zip(run(images), expected, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=0, atol=2e-4)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["root", "vehicle", "human"]
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]
    assert session.get_inputs()[0].type == "tensor(uint8)"
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(TREE.classes)
    onnx.checker.check_model(onnx.load_from_string(content))


def test_what_onnx_cannot_say_is_run_by_torch() -> None:
    network = new("upernet")
    assert not is_exportable(network)
    with pytest.raises(SettingsError, match="pools to a grid of fixed size"):
        onnx_network(network, TREE)
    (image,) = photos((64, 96))
    by_torch = segmenter(network, TREE, 64, CPU).decided(image[None])[0]
    assert (by_torch == decided(network, image, 64)).float().mean() >= 0.999
