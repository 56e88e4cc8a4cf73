"""What TensorBoard shows of a training: curves, and a few images with the network's decisions at each checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, UInt8

from thresher import extras
from thresher.data.label_maps import coloured
from thresher.data.taxonomy import Taxonomy
from thresher.errors import SettingsError
from thresher.segmentation.examples import Batch, StrongImage, pixels_and_labels
from thresher.segmentation.inference import Segmenter
from thresher.segmentation.tree import ClassTree

#: How many validation images are shown, evenly spread over the set.
SHOWN = 3
#: Pictures are thinned out to at most this length of their longer side, in pixels.
_LONG_SIDE = 512


def opened_board(folder: Path, step: int) -> Any:
    """A writer into this folder for a training that goes on from a step; at step 0 the folder is emptied first.

    What an earlier process wrote about later steps is no longer shown: those steps are taken again.

    Raises:
        SettingsError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise SettingsError(f"training needs {error.name}: {extras.install('train')}") from error
    if step == 0:
        shutil.rmtree(folder, ignore_errors=True)
    return SummaryWriter(str(folder), purge_step=step + 1)


def add_scalars(board: Any, metrics: Mapping[str, Any], classes: pl.DataFrame, rate: float) -> None:
    """The next points of the curves: a checkpoint's metrics, IoU of each class, learning rate; nulls are left out."""
    step = metrics["step"]
    scalars = {"mIoU" if name == "miou" else f"train/{name}": value for name, value in metrics.items()}
    del scalars["train/step"]
    scalars["train/learning_rate"] = rate
    scalars |= {f"IoU/{name}": iou for name, iou in classes.select("class", "iou").iter_rows()}
    for name, value in scalars.items():
        if value is not None:
            board.add_scalar(name, value, step)


def add_decisions(
    board: Any, step: int, network: Segmenter, validation: Sequence[StrongImage], taxonomy: Taxonomy
) -> None:
    """Some validation images, each beside its labels and what the network decides.

    Raises:
        DataError: a validation image or its mask cannot be read.
    """
    shown = min(SHOWN, len(validation))
    for number in range(shown):
        pixels, labels = pixels_and_labels(validation[number * len(validation) // shown])
        decided = network.decided(pixels[None])[0]
        maps = [coloured(each.numpy().astype(np.uint8), taxonomy) for each in (labels, decided)]
        _add(board, f"image, truth, decision/{number}", [pixels.permute(1, 2, 0).numpy(), *maps], step)


def add_weak_image(board: Any, step: int, batch: Batch, tree: ClassTree, taxonomy: Taxonomy) -> None:
    """The first weakly labelled image of a batch beside what its boxes say, if the batch has one."""
    if len(batch.images) == len(batch.labels):
        return
    if batch.weak_labels is not None:
        target = coloured(batch.weak_labels[0].numpy().astype(np.uint8), taxonomy)
    elif batch.shares:
        target = weak_colours([each[0] for each in batch.shares], tree, taxonomy)
    else:
        return
    _add(board, "weak image, its boxes", [batch.images[len(batch.labels)].permute(1, 2, 0).numpy(), target], step)


def weak_colours(
    shares: Sequence[Float[torch.Tensor, "_ h w"]], tree: ClassTree, taxonomy: Taxonomy
) -> UInt8[np.ndarray, "h w 3"]:
    """What boxes say to the groups, as colours: a mixture where they say several classes, black where there is none."""
    colours = np.array([*(target.colour for target in taxonomy.classes), (0, 0, 0)], np.float32)
    mixed = np.zeros((*shares[0].shape[1:], 3), np.float32)
    labelled = np.zeros(shares[0].shape[1:], np.float32)
    for group, each in zip(tree.groups, shares, strict=True):
        of_classes = each[:-1].numpy()
        mixed += np.einsum("chw,cr->hwr", of_classes, colours[tree.classes_of_outputs(group)[:-1]])
        labelled += of_classes.sum(0)
    shown: UInt8[np.ndarray, "h w 3"] = (mixed / np.maximum(labelled, 1)[..., None]).round().astype(np.uint8)
    return shown


def _add(board: Any, name: str, pictures: Sequence[UInt8[np.ndarray, "h w 3"]], step: int) -> None:
    row = np.concatenate(pictures, axis=1)
    thinned = -(-max(pictures[0].shape[:2]) // _LONG_SIDE)
    board.add_image(name, np.ascontiguousarray(row[::thinned, ::thinned]), step, dataformats="HWC")
