"""Masks of the pool from a COCO file (`labels --masks coco_masks:FILE`): whatever stands in it, a mask or one line."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from thresher.data.taxonomy import load_taxonomy
from thresher.errors import DataError
from thresher.labelling.coco_masks import coco_label_map, read_coco_masks

pytestmark = pytest.mark.slow

MUTANTS = int(os.environ.get("THRESHER_MUTANTS", "200"))
FIRST = int(os.environ.get("THRESHER_SEED", "0"))
CITYSCAPES = load_taxonomy("cityscapes")


def fault_of(path: Path) -> str | None:
    """What is wrong with how the masks of the file's first three images are read; None if nothing."""
    read_coco_masks.cache_clear()
    for place in range(3):
        try:
            labels = coco_label_map(f"{path}#{place}", CITYSCAPES)
        except DataError as error:
            if "\n" in str(error) or len(str(error)) > 3_000:
                return f"an error of other than one line: {error}"
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return f"{type(error).__name__}: {error}"
        else:
            if labels.max(initial=0) > len(CITYSCAPES.classes):
                return f"number {labels.max()}, which is no class"
    return None


def test_a_wrong_file_of_given_masks_is_masks_or_one_line(
    sources: Mapping[str, Mapping[str, Any]], mutant: Callable[[Any, random.Random], bytes], tmp_path: Path
) -> None:
    whole, path = sources["coco"]["annotations/instances_train.json"], tmp_path / "masks.json"
    faults = []
    for seed in range(FIRST, FIRST + MUTANTS):
        path.write_bytes(mutant(copy.deepcopy(whole), random.Random(f"given masks {seed}")))
        if fault := fault_of(path):
            faults.append(f"seed {seed}: {fault}")
    assert faults == [], f"{len(faults)} of {MUTANTS}"
