from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from thresher.data.taxonomy import load_taxonomy
from thresher.errors import SettingsError
from thresher.segmentation.board import opened_board, weak_colours
from thresher.segmentation.tree import class_tree

pytestmark = pytest.mark.slow

CITYSCAPES = load_taxonomy("cityscapes")
TREE = class_tree(CITYSCAPES)
COLOURS = {target.name: target.colour for target in CITYSCAPES.classes}


def test_boxes_have_the_colours_of_what_they_say() -> None:
    """Four pixels: a car; 3/4 car and 1/4 bus; no box at all; a person's box over a car's."""
    vehicle, human = (torch.zeros((len(group.outputs), 1, 4)) for group in TREE.groups)
    car, bus, person = (
        group.outputs.index(n)
        for group, n in zip([TREE.groups[0]] * 2 + [TREE.groups[1]], ["car", "bus", "person"], strict=True)
    )
    vehicle[car, 0] = torch.tensor([1, 0.75, 0, 1])
    vehicle[bus, 0, 1] = 0.25
    vehicle[-1, 0, 2] = 1
    human[person, 0, 3] = 1
    human[-1, 0, :3] = 1
    found = weak_colours([vehicle, human], TREE, CITYSCAPES)[0].tolist()
    assert found[0] == list(COLOURS["car"])
    assert found[1] == [round(0.75 * c + 0.25 * b) for c, b in zip(COLOURS["car"], COLOURS["bus"], strict=True)]
    assert found[2] == [0, 0, 0]
    assert found[3] == [round((c + p) / 2) for c, p in zip(COLOURS["car"], COLOURS["person"], strict=True)]


def test_steps_taken_again_are_shown_once_and_a_new_training_starts_empty(tmp_path: Path) -> None:
    def shown() -> list[tuple[int, float]]:
        events = EventAccumulator(str(tmp_path))
        events.Reload()
        return [(event.step, event.value) for event in events.Scalars("loss")]

    for begun_at, values in ((0, {1: 1.0, 2: 2.0, 3: 3.0}), (1, {2: 20.0})):
        board = opened_board(tmp_path, begun_at)
        for step, value in values.items():
            board.add_scalar("loss", value, step)
        board.close()
    assert shown() == [(1, 1.0), (2, 20.0)]
    board = opened_board(tmp_path, 0)
    board.add_scalar("loss", 7.0, 1)
    board.close()
    assert shown() == [(1, 7.0)]


def test_words_of_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(SettingsError, match=r"training needs tensorboard: .*install .*\[train\]"):
        opened_board(tmp_path, 0)
