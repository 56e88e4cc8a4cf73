from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from torch.nn import functional

from thresher.data.taxonomy import load_taxonomy
from thresher.errors import SettingsError
from thresher.pretrained import pretrained_weights
from thresher.segmentation.loop import new_optimiser
from thresher.segmentation.network import SegmentationNetwork, new_network
from thresher.segmentation.pyramid import _doubled, _quadrupled, folded_pyramid
from thresher.segmentation.settings import NetworkSettings
from thresher.segmentation.tree import class_tree

pytestmark = pytest.mark.slow

TREE = class_tree(load_taxonomy("cityscapes"))
LITE = "tf_efficientnet_lite0"


def network(decoder: str = "fpn", seed: int = 0, channels: int = 0) -> SegmentationNetwork:
    start = pretrained_weights(LITE)
    settings = NetworkSettings(decoder=decoder, encoder=LITE, decoder_channels=channels, seed=seed)
    return new_network(TREE, settings, start)


@pytest.mark.parametrize("decoder", ["fpn", "deeplabv3plus", "unet", "upernet"])
def test_a_head_for_each_classifier_at_every_pixel(decoder: str) -> None:
    images = torch.zeros((2, 3, 64, 96), dtype=torch.uint8)
    with torch.inference_mode():
        found = network(decoder).eval()(images)
    assert [tuple(part.shape) for part in found] == [(2, 14, 64, 96), (2, 7, 64, 96), (2, 3, 64, 96)]


@pytest.mark.parametrize(
    ("decoder", "seen_by_the_head"), [("fpn", 64), ("deeplabv3plus", 64), ("unet", 4), ("upernet", 64)]
)
def test_channels_tell_how_wide_the_decoder_is(decoder: str, seen_by_the_head: int) -> None:
    built = network(decoder, channels=64)
    assert built.body.segmentation_head[0].in_channels == seen_by_the_head
    of_its_own = network(decoder, channels=256).state_dict()
    assert {name: value.shape for name, value in of_its_own.items()} == {
        name: value.shape for name, value in network(decoder).state_dict().items()
    }  # 256 is what each of them has by default


def test_the_encoder_starts_from_the_packaged_weights_and_scaling() -> None:
    """Its features equal those of timm's own model on the same pixels."""
    built = network().eval()
    model = timm.create_model(LITE, pretrained=False).eval()
    model.load_state_dict(pretrained_weights(LITE).tensors)
    images = torch.randint(0, 255, (1, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    scaled = (images.float() - 127) / 128
    with torch.inference_mode():
        found = built.body.encoder((images.float() - built.mean) / built.std)[-1]
        expected = model.blocks(model.bn1(model.conv_stem(scaled)))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("height", [32, 64])
def test_the_folded_pyramid_equals_the_plain_one_and_so_do_its_gradients(
    height: int, layout: torch.memory_format
) -> None:
    built = network(channels=64).double()
    decoder = built.body.decoder.eval()  # no dropout
    generator = torch.Generator().manual_seed(0)
    for parameter in decoder.parameters():  # biases too, which start as nought
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) / 8
    images = torch.randint(0, 255, (2, 3, height, 96), dtype=torch.uint8, generator=generator)
    encoded = built.body.encoder((images.double() - built.mean) / built.std)
    features = [feature.detach().contiguous(memory_format=layout).requires_grad_() for feature in encoded]
    asked = [*decoder.parameters(), *features[-4:]]
    gradients = []
    found = [folded_pyramid(decoder, features), decoder(features)]
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-9)
    for each in found:
        gradients.append(torch.autograd.grad(each.sin().sum(), asked))
    torch.testing.assert_close(*gradients, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolutions_of_enlarged_maps_need_not_enlarge_them(layout: torch.memory_format) -> None:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn((2, 5, 3, 4), generator=generator).contiguous(memory_format=layout)
    weight = torch.randn((6, 5, 3, 3), generator=generator)
    for convolved, times in ((_doubled, 2), (_quadrupled, 4)):
        large = coarse.repeat_interleave(times, 2).repeat_interleave(times, 3)
        found = convolved(coarse, weight)
        torch.testing.assert_close(found, functional.conv2d(large, weight, padding=1), rtol=1e-5, atol=1e-5)
        assert found.is_contiguous(memory_format=layout)


def test_the_seed_decides_where_the_heads_start() -> None:
    weights = [network(seed=seed).body.segmentation_head[0].weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("decoder", ["fpn", "deeplabv3plus", "unet", "upernet"])
def test_decoder_and_heads_start_alike_whatever_other_heads_there_are(decoder: str) -> None:
    settings = NetworkSettings(decoder=decoder, encoder=LITE, seed=3)
    start = pretrained_weights(LITE)
    taxonomy = load_taxonomy("cityscapes")
    plain = new_network(class_tree(taxonomy), settings, start).state_dict()
    boxed = new_network(class_tree(taxonomy, box_head=True), replace(settings, mode="box_head"), start).state_dict()
    for name, weight in plain.items():
        assert torch.equal(
            weight, boxed[name][: len(weight)] if name.startswith("body.segmentation_head") else boxed[name]
        )
    other = new_network(class_tree(load_taxonomy("camvid")), settings, start).state_dict()
    assert all(torch.equal(plain[name], other[name]) for name in plain if name.startswith("body.decoder"))


def test_a_head_learns_without_touching_another() -> None:
    built = network().train()
    built(torch.zeros((2, 3, 64, 96), dtype=torch.uint8))[1].sum().backward()
    gradient = built.body.segmentation_head[0].weight.grad
    assert gradient[14:21].abs().sum() > 0
    assert gradient[:14].abs().sum() == gradient[21:].abs().sum() == 0


def test_words_of_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = pretrained_weights(LITE)
    with pytest.raises(SettingsError, match="tensors are missing or of another shape .* checkpoint of this model"):
        new_network(TREE, NetworkSettings(encoder="resnet10t"), start)
    with pytest.raises(SettingsError, match="expected a timm model with packaged weights"):
        (tmp_path / "w.pth").write_bytes(b"")
        pretrained_weights("nothing", tmp_path / "w.pth")
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    with pytest.raises(SettingsError, match=r"training needs segmentation_models_pytorch: (uv )?pip install"):
        network()


def test_the_encoder_has_a_rate_of_its_own() -> None:
    built = network()
    for optimiser in ("sgd", "adamw"):
        groups = new_optimiser(built, NetworkSettings(optimiser=optimiser, encoder_rate=0.3)).param_groups
        assert [group["share"] for group in groups] == [0.3, 1.0]
        assert {id(weight) for weight in groups[0]["params"]} == {id(each) for each in built.body.encoder.parameters()}
        assert sum(len(group["params"]) for group in groups) == len([*built.parameters()])
