"""A training from its last checkpoint to its end: steps, then a checkpoint with all that tells how it stands."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from thresher import tables
from thresher.files import replacing
from thresher.run.perform import Track
from thresher.segmentation.metrics import class_metrics, mean_iou
from thresher.training.images import Material, strong_images

if TYPE_CHECKING:
    from thresher.segmentation.examples import Batch
    from thresher.segmentation.network import SegmentationNetwork
    from thresher.training.settings import TrainSettings


def learnt(
    material: Material,
    settings: TrainSettings,
    start: Any,
    batch_of: Callable[[int], Batch | None],
    steps: int,
    outputs: list[Path],
    said: dict[str, Any],
    here: Any,
    track: Track[Any],
) -> list[dict[str, Any]]:
    """Train to the end, with a checkpoint and a line of metrics every few epochs; the lines of all of them.

    Of several processes the first validates and writes; the others wait for it at their next step.

    Args:
        start: Weights of the encoder (`features.backbone.pretrained_weights`).
        outputs: Where the checkpoint, the metrics and the table of classes are written.
        said: What the checkpoint is to say of itself; another fingerprint than a checkpoint's starts anew.
        here: accelerate's view of this process (`segmentation.devices.accelerator`).
    """
    from thresher.segmentation import loop as training
    from thresher.segmentation.checkpoint import (
        checkpoint_about,
        load_checkpoint,
        save_checkpoint,
    )
    from thresher.segmentation.devices import placed, restore_scaler, scaler_state
    from thresher.segmentation.network import new_network

    checkpoint, _, classes = outputs
    tree, first = material.tree, here.is_main_process
    network = placed(new_network(tree, settings, start.tensors, start.mean, start.std), here)
    optimiser = training.new_optimiser(network, settings)
    about = checkpoint_about(checkpoint)
    history: list[dict[str, Any]] = []
    if about is not None and about["fingerprint"] == said["fingerprint"]:
        history = about["history"]
        load_checkpoint(checkpoint, network, optimiser)
        restore_scaler(here, about.get("scaler"))
    learner, stepper = here.prepare(network, optimiser)
    step = history[-1]["step"] if history else 0
    ends = _checkpoint_steps(settings, material.strong.height, steps)
    watched = iter(track(range(step, steps), steps - step, "training"))
    with _shown(material, settings, batch_of, outputs, step) if first else contextlib.nullcontext() as show:
        while step < steps or (first and not classes.exists()):
            todo = range(step, next((end for end in ends if end > step), steps))
            means = training.train(learner, stepper, here, batch_of, tree, settings, todo, steps, watched)
            step = todo.stop
            if todo:
                history.append({"step": step, "epoch": _epoch(step, settings, material.strong.height), **means})
            if show is not None:
                history[-1]["miou"] = show(network, history, training.learning_rate(settings, step - 1, steps), track)
                whole = said | {"history": history, "scaler": scaler_state(here)}
                save_checkpoint(checkpoint, network, optimiser, whole)
    next(watched, None)  # so that whoever watches sees the end
    return history


@contextlib.contextmanager
def _shown(
    material: Material,
    settings: TrainSettings,
    batch_of: Callable[[int], Batch | None],
    outputs: list[Path],
    step: int,
) -> Iterator[Callable[[SegmentationNetwork, list[dict[str, Any]], float, Track[Any]], float | None]]:
    """What validates a network and writes how it stands, for tables and for TensorBoard; it gives mIoU."""
    from thresher.segmentation import board
    from thresher.segmentation import loop as training

    checkpoint, metrics, classes = outputs
    judges = strong_images(material.validation, material.taxonomy)
    short_side = min(settings.height_px, settings.width_px)
    tree = material.tree

    def show(
        network: SegmentationNetwork, history: list[dict[str, Any]], rate: float, track: Track[Any]
    ) -> float | None:
        table = class_metrics(training.validated(network, tree, judges, short_side, track), tree.classes)
        miou = mean_iou(table)
        line = history[-1] | {"miou": miou}
        with replacing(metrics) as file:
            file.write("".join(json.dumps(each) + "\n" for each in [*history[:-1], line]).encode())
        tables.write(table, classes)
        _on_board(writer, line, table, rate, network)
        return miou

    def _on_board(writer: Any, line: dict[str, Any], table: pl.DataFrame, rate: float, network: Any) -> None:
        board.add_scalars(writer, line, table, rate)
        batch = batch_of(line["step"] - 1) if material.weak.height else None
        board.add_pictures(
            writer,
            line["step"],
            judges,
            lambda pixels: training.decided(network, tree, pixels, short_side),
            batch,
            tree,
            material.taxonomy,
        )
        writer.flush()

    with contextlib.closing(board.opened_board(checkpoint.parent / "tensorboard", step)) as writer:
        yield show


def _epoch(step: int, settings: TrainSettings, strong: int) -> float:
    return round(step * settings.strong_batch / strong, 3)


def _checkpoint_steps(settings: TrainSettings, strong: int, steps: int) -> list[int]:
    """The steps by which every so many epochs are done, and the last."""
    each = settings.checkpoint_epochs
    return [-(-epoch * strong // settings.strong_batch) for epoch in range(each, settings.epochs, each)] + [steps]
