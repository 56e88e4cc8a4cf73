from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from thresher.errors import SettingsError
from thresher.segmentation.devices import (
    Precision,
    accelerator,
    chosen_precision,
    mixed,
    placed,
    restore_scaler,
    scaler_state,
)

pytestmark = pytest.mark.slow


def test_alone_on_a_processor_nothing_is_scaled() -> None:
    here = accelerator()
    assert (here.num_processes, here.process_index, here.is_main_process) == (1, 0, True)
    if not torch.cuda.is_available():
        assert (here.device.type, here.mixed_precision, scaler_state(here)) == ("cpu", "no", None)
        restore_scaler(here, {"scale": 2.0})  # a checkpoint of a GPU goes on here, unscaled


@pytest.mark.parametrize(
    ("gpu", "able", "chosen"),
    [(True, True, "bfloat16"), (True, False, "float16"), (False, True, "bfloat16"), (False, False, "float32")],
)
def test_what_multiplies_bfloat16_is_trained_in_it(
    gpu: bool, able: bool, chosen: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: able)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able}, raising=False)
    assert chosen_precision("auto") == chosen
    assert chosen_precision("float32") == "float32"
    if not gpu:
        with pytest.raises(SettingsError, match="precision = float16: expected auto, float32 or bfloat16"):
            chosen_precision("float16")


def test_layers_that_bear_it_compute_in_bfloat16_the_others_as_before() -> None:
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(8, 32, 1), torch.nn.Conv2d(32, 32, 3, groups=32), torch.nn.GroupNorm(8, 32)]
    network, here = torch.nn.Sequential(*layers), SimpleNamespace(device=torch.device("cpu"))
    images = torch.randn((2, 8, 16, 16), requires_grad=True)
    pull = torch.randn((2, 32, 14, 14))
    exact = network(images)
    gradient = torch.autograd.grad((exact * pull).sum(), layers[1].weight)[0]

    placed(network, here)
    torch.testing.assert_close(network(images), exact)
    with mixed(here, "float32"):
        assert layers[0](images).dtype == torch.float32
    with mixed(here, "bfloat16"):
        first = layers[0](images)
        second = layers[1](first)
        last = layers[2](second.bfloat16())
    assert (first.dtype, second.dtype, layers[0].weight.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(last.float(), exact, rtol=0.02, atol=0.05)
    rounded = torch.autograd.grad((last.float() * pull).sum(), layers[1].weight)[0]
    assert torch.nn.functional.cosine_similarity(rounded.flatten(), gradient.flatten(), 0) > 0.99


def test_a_scale_goes_on_where_it_was() -> None:
    begun, other = (SimpleNamespace(scaler=torch.amp.GradScaler("cpu", init_scale=2.0**10)) for _ in range(2))
    weight = torch.nn.Parameter(torch.ones(1))
    optimiser = torch.optim.SGD([weight], 0.1)
    begun.scaler.scale(weight * float("inf")).sum().backward()
    begun.scaler.step(optimiser)
    begun.scaler.update()
    state = scaler_state(begun)
    assert state is not None
    assert state["scale"] == 2.0**9  # halved, since the step overflowed, and was left out
    assert weight.item() == 1
    restore_scaler(other, json.loads(json.dumps(state)))
    assert scaler_state(other) == state


def test_words_of_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(SettingsError, match=r"training needs accelerate: .*install .*\[train\]"):
        accelerator()
