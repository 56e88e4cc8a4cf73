"""A training from its last checkpoint to its end: steps, then a validation and a checkpoint, and so on."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thresher import tables
from thresher.files import replacing
from thresher.run.perform import Track
from thresher.segmentation.metrics import class_metrics, mean_iou
from thresher.training.images import TrainingImages, steps_of, strong_images

if TYPE_CHECKING:
    from torch import Tensor

    from thresher.pretrained import PretrainedWeights
    from thresher.segmentation.averages import Averages
    from thresher.segmentation.examples import Batch
    from thresher.segmentation.loop import Training
    from thresher.segmentation.network import SegmentationNetwork
    from thresher.training.settings import TrainSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingFiles:
    """What a training writes."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """The network, and all that the training needs to go on."""
        return self.folder / "checkpoint.safetensors"

    @property
    def metrics(self) -> Path:
        """A line of JSON per checkpoint: step, epoch, losses and mIoU."""
        return self.folder / "metrics.jsonl"

    @property
    def classes(self) -> Path:
        """Table CLASS_METRICS of the last validation."""
        return self.folder / "classes.parquet"

    @property
    def tensorboard(self) -> Path:
        """The folder that TensorBoard reads."""
        return self.folder / "tensorboard"

    @property
    def outputs(self) -> list[Path]:
        """Those without which a training is not done."""
        return [self.checkpoint, self.metrics, self.classes]


@dataclass(frozen=True)
class TrainingPlan:
    """What is trained on what, for how long, and where that is written."""

    images: TrainingImages
    settings: TrainSettings
    files: TrainingFiles
    metadata: dict[str, Any]
    """The checkpoint's. A checkpoint with another `fingerprint` is not continued; the training starts anew."""

    @property
    def steps(self) -> int:
        """How many steps the training takes."""
        return steps_of(self.settings, self.images)

    def epoch(self, step: int) -> float:
        """How often the strong images have been seen after so many steps."""
        return round(step * self.settings.strong_batch / self.images.strong.height, 3)

    def next_checkpoint(self, step: int) -> int:
        """The step at which the next checkpoint is due: every few epochs, and at the end."""
        each, strong, batch = self.settings.checkpoint_epochs, self.images.strong.height, self.settings.strong_batch
        due = [-(-epoch * strong // batch) for epoch in range(each, self.settings.epochs, each)]
        return next((end for end in due if end > step), self.steps)


#: Of a checkpoint: its step, its epoch, the mean losses since the last one, and mIoU.
Metrics = dict[str, Any]


def train_to_end(
    plan: TrainingPlan,
    weights: PretrainedWeights,
    batches: Callable[[int], Batch | None],
    accelerator: Any,
    track: Track[Any],
) -> list[Metrics]:
    """Train to the end, with a validation and a checkpoint every few epochs; returns the metrics of all checkpoints.

    Of several processes the first validates and writes; the others wait for it at their next step.

    Args:
        weights: Of the encoder; the training starts from them unless there is a checkpoint to go on from.
        batches: This process's share of the batch of a step (`training.batches`).
        accelerator: accelerate's (`segmentation.devices.accelerator`).
    """
    from thresher.segmentation.averages import Averages
    from thresher.segmentation.checkpoint import save_checkpoint
    from thresher.segmentation.devices import placed, scaler_state
    from thresher.segmentation.loop import Training, learning_rate, new_optimiser, take_steps
    from thresher.segmentation.network import new_network

    tree, settings = plan.images.tree, plan.settings
    network = placed(new_network(tree, settings, weights), accelerator)
    optimiser = new_optimiser(network, settings)
    averages = Averages(network) if settings.ema else None
    history = _continued(plan, network, optimiser, averages, accelerator)
    learner, stepper = accelerator.prepare(network, optimiser)
    training = Training(learner, stepper, accelerator, batches, tree, settings, plan.steps, averages)
    step = history[-1]["step"] if history else 0
    watched = iter(track(range(step, plan.steps), plan.steps - step, "training"))
    shown = network.state_dict() if averages is None else averages.state
    with _validation(plan, training, shown, step, track) as validate:
        while step < plan.steps or (validate is not None and not plan.files.classes.exists()):
            numbers = range(step, plan.next_checkpoint(step))
            losses = take_steps(training, numbers, watched)
            if numbers:
                step = numbers.stop
                history.append({"step": step, "epoch": plan.epoch(step), **losses})
            if validate is not None:
                history[-1]["miou"] = validate(history, learning_rate(settings, step - 1, plan.steps))
                metadata = plan.metadata | {"history": history, "scaler": scaler_state(accelerator)}
                save_checkpoint(plan.files.checkpoint, network, optimiser, averages, metadata)
    next(watched, None)  # so that whoever watches sees the end
    return history


def _continued(
    plan: TrainingPlan, network: SegmentationNetwork, optimiser: Any, averages: Averages | None, accelerator: Any
) -> list[Metrics]:
    """Load the checkpoint of this very training, if there is one; returns its metrics."""
    from thresher.segmentation.checkpoint import checkpoint_metadata, is_whole, load_checkpoint
    from thresher.segmentation.devices import restore_scaler

    if plan.files.checkpoint.is_file() and not is_whole(plan.files.checkpoint):
        log.warning("train: %s is damaged; the training starts anew", plan.files.checkpoint)
        return []
    metadata = checkpoint_metadata(plan.files.checkpoint)
    if metadata is None or metadata["fingerprint"] != plan.metadata["fingerprint"]:
        return []
    load_checkpoint(plan.files.checkpoint, network, optimiser, averages)
    restore_scaler(accelerator, metadata.get("scaler"))
    history: list[Metrics] = metadata["history"]
    return history


#: Validates the network, given the metrics so far and the learning rate, and writes what it finds; returns mIoU.
Validate = Callable[[list[Metrics], float], float | None]


@contextlib.contextmanager
def _validation(
    plan: TrainingPlan, training: Training, state: Mapping[str, Tensor], step: int, track: Track[Any]
) -> Iterator[Validate | None]:
    """Context manager yielding what validates the network and writes tables and TensorBoard's curves; None in all
    processes but the first.

    Args:
        state: Of the network, or the averages of that; changes with each step.
    """
    if not training.accelerator.is_main_process:
        yield None
        return
    from thresher.segmentation import board
    from thresher.segmentation.inference import measured
    from thresher.segmentation.trained import segmenter_of

    tree, taxonomy = plan.images.tree, plan.images.taxonomy
    validation = strong_images(plan.images.validation, taxonomy)

    def watched(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
        return track(items, total, "validating")

    def validate(history: list[Metrics], rate: float) -> float | None:
        segmenter = segmenter_of(state, tree, plan.settings)
        classes = class_metrics(measured(segmenter, validation, watched), tree.classes)
        miou = mean_iou(classes)
        metrics = history[-1] | {"miou": miou}
        with replacing(plan.files.metrics) as file:
            file.write("".join(json.dumps(each) + "\n" for each in [*history[:-1], metrics]).encode())
        tables.write(classes, plan.files.classes)
        board.add_scalars(writer, metrics, classes, rate)
        board.add_decisions(writer, metrics["step"], segmenter, validation, taxonomy)
        if plan.images.weak.height and (batch := training.batches(metrics["step"] - 1)) is not None:
            board.add_weak_image(writer, metrics["step"], batch, tree, taxonomy)
        writer.flush()
        return miou

    with contextlib.closing(board.opened_board(plan.files.tensorboard, step)) as writer:
        yield validate
