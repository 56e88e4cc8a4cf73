"""train: masks of the target and boxes of a selection → trainings/NAME: a network, and what it is worth."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal  # noqa: F401 - the inherited settings' annotations name it

import numpy as np

from thresher import tables
from thresher.errors import DataError, SettingsError
from thresher.features.backbone import BackboneSettings, pretrained_weights, weights_file
from thresher.run import (
    Record,
    Run,
    StageResult,
    Track,
    file_digest,
    fingerprint,
    folder_digest,
    is_current,
    perform,
    untracked,
)
from thresher.segmentation.settings import NEEDS_TWO_IMAGES, TrainingSettings
from thresher.stages.index import IndexSettings, parsed_sources
from thresher.stages.learning import learnt
from thresher.stages.material import Material, strong_images, training_material

if TYPE_CHECKING:
    from thresher.segmentation.examples import Batch, WeakImage

#: Streams of chance of one seed: the order of strong images, of weak ones, and the cuts of each.
_STRONG, _WEAK = 0, 1
#: What a training leaves in its folder.
OUTPUTS = ("checkpoint.safetensors", "metrics.jsonl", "classes.parquet")


@dataclass(frozen=True)
class TrainSettings(TrainingSettings):
    """Which images a network is trained on and which ones judge it."""

    selection: str = "none"
    """Weak images: a selection's name, none, or all of the pool."""
    strong_limit: int | None = None
    """Train on at most this many strong images, evenly spread over the order of their ids."""
    validation: str = ""
    """FORMAT:ROOT[#SPLIT] of the images that judge; without it the target's split val, or its last ids."""
    validation_share: float = 0.2
    """Share of the target's images, the last in the order of their ids, that are held out where nothing else judges."""
    checkpoint_epochs: int = 5
    """Epochs between checkpoints, each of which is validated."""
    name: str = ""
    """What to call the training; SELECTION[-strongN]-seedN by default."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        super().__post_init__()
        if self.mode == "strong" and self.selection != "none":
            raise SettingsError(f"mode = strong uses no boxes, but selection = {self.selection}. Give none, "
                                "or a mode that uses them.")  # fmt: skip
        for name in ("strong_limit", "checkpoint_epochs"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)}: expected 1 or more.")
        if not 0 < self.validation_share < 1:
            raise SettingsError(f"validation_share = {self.validation_share}: expected a share between 0 and 1.")
        if not re.fullmatch(r"[\w][\w.+-]*", self.training_name):
            raise SettingsError(f"name '{self.training_name}': expected letters, digits, '.', '-', '+' or '_'.")

    @property
    def training_name(self) -> str:
        """The name given, or SELECTION[-strongN]-seedN."""
        limited = "" if self.strong_limit is None else f"-strong{self.strong_limit}"
        return self.name or f"{self.selection}{limited}-seed{self.seed}"


def train(
    run: Run, settings: TrainSettings | None = None, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Train a segmentation network on the target's masks and the boxes of a selection, and measure it.

    RUN/trainings/NAME gets `checkpoint.safetensors` (the network, and all that a training goes on from),
    `metrics.jsonl` (a line per checkpoint) and `classes.parquet` (the last validation). A training that was broken off
    goes on from its last checkpoint, and on a CPU ends with the weights that it would have had. It locks and records
    in its own folder: several trainings of one run may go on at once.

    Raises:
        SettingsError: no such selection or encoder, or segmentation_models_pytorch is not installed.
        DataError: the target has no masks, none are left to train on or to validate with, or one of the validation
            set cannot be read.
    """
    settings = settings or TrainSettings()
    material = training_material(run, settings)
    steps = -(-settings.epochs * material.strong.height // settings.strong_batch)
    told = {
        "name": settings.training_name,
        "strong_images": material.strong.height,
        "weak_images": material.weak.height,
        "validation_images": material.validation.height,
        "steps": steps,
    }
    backbone = BackboneSettings(backbone=settings.encoder, weights=settings.weights)
    inputs = _inputs(run, settings, backbone)
    if dry_run:
        return StageResult("train", "planned", told)
    from thresher.segmentation.devices import accelerator, chosen_precision

    record = Record(run.training(settings.training_name))
    outputs = [record.folder / name for name in OUTPUTS]

    def work() -> tuple[dict[str, Any], int]:
        from thresher.segmentation.devices import told_by_all
        from thresher.segmentation.trained import rebuilt_from

        here = accelerator(settings.precision)
        start = pretrained_weights(backbone)
        about = {"fingerprint": fingerprint("train", settings, inputs)}
        about |= rebuilt_from(settings, run.taxonomy.read_text("utf-8"))
        problems = Problems()
        watch = track if here.is_main_process else untracked
        batch_of = batches(material, settings, problems, here.process_index, here.num_processes)
        history = learnt(material, settings, start, batch_of, steps, outputs, about, here, watch)
        problems.found |= {str(row["path"]): row for row in told_by_all(here, [*problems.found.values()])}
        if here.is_main_process:
            problems.write(record)
        last = {key: value for key, value in history[-1].items() if key in ("loss", "miou")}
        return told | {"precision": chosen_precision(settings.precision)} | last, len(problems.found)

    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        return perform(run, "train", settings, inputs, outputs, work, record)
    _refuse_indivisible(settings, processes)
    here = accelerator(settings.precision)
    return _as_one_of_many(here, lambda first: perform(run, "train", settings, inputs, outputs, first, record), work)


def _refuse_indivisible(settings: TrainSettings, processes: int) -> None:
    for name in ("strong_batch", "weak_batch"):
        if getattr(settings, name) % processes:
            raise SettingsError(f"{name} = {getattr(settings, name)}: expected a multiple of {processes}, as so many "
                                "processes share each step's images.")  # fmt: skip
    if settings.decoder in NEEDS_TWO_IMAGES and settings.strong_batch < 2 * processes:
        raise SettingsError(f"strong_batch = {settings.strong_batch}: expected {2 * processes} or more for "
                            f"{settings.decoder}, two images in each of {processes} processes.")  # fmt: skip


def _as_one_of_many(
    here: Any,
    performed: Callable[[Callable[[], tuple[dict[str, Any], int]]], StageResult],
    work: Callable[[], tuple[dict[str, Any], int]],
) -> StageResult:
    """The first process locks, records and writes, and tells the others whether there is anything to train."""
    from thresher.segmentation.devices import told_to_all

    if here.is_main_process:

        def first() -> tuple[dict[str, Any], int]:
            told_to_all(here, True)
            return work()

        result = performed(first)
        if result.status == "unchanged":
            told_to_all(here, False)
    elif told_to_all(here, None):
        summary, failed = work()
        result = StageResult("train", "done", summary, failed)
    else:
        result = StageResult("train", "unchanged")
    here.end_training()
    return result


def is_trained(run: Run, settings: TrainSettings) -> bool:
    """Whether just this training is done, and what it wrote is still there.

    Raises:
        DataError: a table that it reads is not there.
    """
    record = Record(run.training(settings.training_name))
    inputs = _inputs(run, settings, BackboneSettings(backbone=settings.encoder, weights=settings.weights))
    outputs = [record.folder / name for name in OUTPUTS]
    return is_current(record, "train", fingerprint("train", settings, inputs), outputs)


class Problems:
    """Images that could not be read, each listed once however often it came up."""

    def __init__(self) -> None:
        """None so far."""
        self.found: dict[str, dict[str, object]] = {}

    def add(self, path: Path, error: DataError) -> None:
        """List an image with the reason."""
        row: dict[str, object] = {
            "path": str(path),
            "stage": "train",
            "problem": "image_unreadable",
            "detail": str(error),
        }
        self.found.setdefault(str(path), row)

    def write(self, record: Record) -> None:
        """Put them where the training is recorded."""
        record.add_problems("train", tables.from_rows([*self.found.values()], tables.PROBLEMS))


def _inputs(run: Run, settings: TrainSettings, backbone: BackboneSettings) -> dict[str, str]:
    read = {"images": run.images, "boxes": run.boxes, "masks": run.masks, "taxonomy": run.taxonomy}
    if settings.selection not in ("none", "all"):
        read["selection"] = run.selection(settings.selection)
    weights = weights_file(backbone)
    if weights is not None:
        read["weights"] = weights
    inputs = {key: file_digest(path) for key, path in read.items()}
    if settings.validation:
        inputs["validation"] = folder_digest(parsed_sources(IndexSettings((settings.validation,)))[0].root)
    return inputs


def batches(
    material: Material, settings: TrainSettings, problems: Problems, process: int, processes: int
) -> Callable[[int], Batch | None]:
    """This process's share of the batch of a step, a pure function of seed, step and process.

    Images that cannot be read are listed and left out of it.
    """
    from thresher.segmentation.examples import WeakImage, gathered, places, strong_example, weak_example

    size, zoom = (settings.height_px, settings.width_px), settings.zoom
    least = 2 if settings.decoder in NEEDS_TWO_IMAGES else 1
    strongs = strong_images(material.strong, material.taxonomy)
    rows = material.weak.select("path", "corners", "nodes", "labelled").iter_rows()
    weaks: list[WeakImage] = [
        WeakImage(Path(path), np.array(corners, np.float32), np.array(nodes, np.int64), np.array(labelled, np.bool_))
        for path, corners, nodes, labelled in rows
    ]

    def drawn(step: int, stream: int, images: list[Any], batch: int, example: Callable[..., Any]) -> list[Any]:
        examples = []
        chosen = places(step, batch, len(images), settings.seed, stream) if images else []
        for number, place in list(enumerate(chosen))[process::processes]:
            rng = np.random.default_rng([settings.seed, 2 + stream, step, number])
            try:
                examples.append(example(images[place], rng))
            except DataError as error:
                problems.add(images[place].path, error)
        return examples

    def batch_of(step: int) -> Batch | None:
        strong = drawn(step, _STRONG, strongs, settings.strong_batch,
                       lambda image, rng: strong_example(image, size, zoom, rng))  # fmt: skip
        weak = drawn(step, _WEAK, weaks, settings.weak_batch,
                     lambda image, rng: weak_example(image, material.tree, size, zoom, rng))  # fmt: skip
        enough = strong and len(strong) + len(weak) >= least
        return gathered(strong, weak, material.tree, size) if enough else None

    return batch_of
