from __future__ import annotations

import threading

import pytest
import torch

from thresher.errors import SettingsError
from thresher.segmentation.averages import Averages
from thresher.segmentation.loop import ahead, learning_rate
from thresher.segmentation.settings import NetworkSettings

pytestmark = pytest.mark.slow


def test_the_rate_is_halved_twice() -> None:
    rates = [learning_rate(NetworkSettings(), step, 8) for step in range(8)]
    assert rates == [0.01] * 4 + [0.005] * 2 + [0.0025] * 2


def test_the_paper_halves_it_after_8_and_15_of_17_epochs() -> None:
    rates = [learning_rate(NetworkSettings(schedule="paper"), step, 17) for step in range(17)]
    assert rates == [0.01] * 8 + [0.005] * 7 + [0.0025] * 2


def test_the_average_follows_the_weights_and_starts_near_them() -> None:
    """Weights of 1, 2, 3, … by step. The first decays are 1/10, 2/11, 3/12; later ones are `ema`."""
    layer = torch.nn.BatchNorm1d(1)
    averages, expected = Averages(layer), 1.0
    for step in range(200):
        with torch.no_grad():
            layer.weight.fill_(step + 1)
            layer.num_batches_tracked.fill_(step)
        averages.add(step, 0.9)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step + 1)
    assert averages.state["weight"].item() == pytest.approx(expected)
    assert averages.state["weight"].item() == pytest.approx(200 - 9, abs=0.1)  # 0.9 lags by 0.9 / 0.1 steps
    assert averages.state["num_batches_tracked"] == 199
    other = Averages(layer)
    other.load(averages.state)
    assert torch.equal(other.state["weight"], averages.state["weight"])


def test_the_next_batch_is_made_while_one_is_used_and_the_order_stays() -> None:
    made = [threading.Event() for _ in range(5)]

    def make(number: int) -> int:
        made[number].set()
        return number

    seen = []
    for number in ahead(make, range(5)):
        assert number == 4 or made[number + 1].wait(10)
        seen.append(number)
    assert seen == list(range(5))
    assert list(ahead(make, range(0))) == []


def test_a_failure_in_the_making_comes_out() -> None:
    def make(number: int) -> int:
        raise KeyError(number)

    with pytest.raises(KeyError):
        list(ahead(make, range(3)))


def test_words_of_errors() -> None:
    with pytest.raises(SettingsError, match="height_px = 100: expected a multiple of 32"):
        NetworkSettings(height_px=100)
    with pytest.raises(SettingsError, match="zoom = 0.5: expected 1 or more"):
        NetworkSettings(zoom=0.5)
    with pytest.raises(SettingsError, match="epochs = 0: expected 1 or more"):
        NetworkSettings(epochs=0)
    with pytest.raises(SettingsError, match="learning_rate = 0.0: expected more than 0"):
        NetworkSettings(learning_rate=0.0)
    with pytest.raises(SettingsError, match="decoder_channels = 96: expected a multiple of 64 for fpn, or 0"):
        NetworkSettings(decoder_channels=96)
    with pytest.raises(SettingsError, match="decoder_channels = -16: expected a multiple of 16 for unet"):
        NetworkSettings(decoder="unet", decoder_channels=-16)
    with pytest.raises(SettingsError, match="strong_batch = 1: expected 2 or more for upernet"):
        NetworkSettings(decoder="upernet", strong_batch=1)
    with pytest.raises(SettingsError, match=r"ema = 1.0: expected 0 \(off\) or more, and less than 1"):
        NetworkSettings(ema=1.0)
