from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
import torch

from thresher.errors import SettingsError
from thresher.segmentation.devices import accelerator, restore_scaler, scaler_state


def test_alone_on_a_processor_nothing_is_mixed_or_scaled() -> None:
    here = accelerator()
    assert (here.num_processes, here.process_index, here.is_main_process) == (1, 0, True)
    if not torch.cuda.is_available():
        assert (here.device.type, here.mixed_precision, scaler_state(here)) == ("cpu", "no", None)
        restore_scaler(here, {"scale": 2.0})  # a checkpoint of a GPU goes on here, unscaled


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
    with pytest.raises(SettingsError, match="training needs accelerate: pip install 'thresher"):
        accelerator()
