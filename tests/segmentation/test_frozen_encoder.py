from __future__ import annotations

import numpy as np
import pytest
import torch

from thresher.errors import SettingsError
from thresher.pretrained import PretrainedWeights
from thresher.segmentation.frozen_encoder import frozen_encoder

pytestmark = pytest.mark.slow


def random_weights(name: str) -> PretrainedWeights:
    import timm

    torch.manual_seed(0)
    return PretrainedWeights(timm.create_model(name).state_dict(), (0.4, 0.5, 0.6), (0.2, 0.2, 0.2))


def test_levels_are_those_of_the_whole_network_at_strides_8_16_and_32() -> None:
    import timm

    weights = random_weights("mobilenetv3_small_050")
    encoder = frozen_encoder("mobilenetv3_small_050", weights)
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    found = encoder.levels(image, (64, 96))
    plain = timm.create_model("mobilenetv3_small_050", features_only=True).eval()
    plain.load_state_dict({key: weights.tensors[key] for key in plain.state_dict()})
    mean, std = (torch.tensor(each)[:, None, None] for each in (weights.mean, weights.std))
    with torch.inference_mode():
        maps = plain(((image / 255 - mean) / std)[None])[-3:]
    assert [level.shape for level in found] == [(8, 12, 16), (4, 6, 24), (2, 3, 288)]
    assert tuple(level.shape[2] for level in found) == encoder.channels
    for level, expected in zip(found, maps, strict=True):
        np.testing.assert_allclose(level, expected[0].permute(1, 2, 0).numpy(), atol=2e-3, rtol=2e-3)


def test_an_encoder_without_a_pyramid_of_maps_is_refused() -> None:
    weights = PretrainedWeights({}, (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(SettingsError, match="the proxy needs 8, 16 and 32"):
        frozen_encoder("vit_tiny_patch16_224", weights)
    with pytest.raises(SettingsError, match="missing or of another shape"):
        frozen_encoder("mobilenetv3_small_050", weights)
