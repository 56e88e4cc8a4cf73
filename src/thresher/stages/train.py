"""train: masks of the target and boxes of a selection → trainings/NAME: a network, and what it is worth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from thresher import tables
from thresher.data.dataset import Dataset
from thresher.data.label_maps import class_numbers
from thresher.data.readers import READERS
from thresher.data.taxonomy import Taxonomy, load_taxonomy
from thresher.errors import DataError, SettingsError
from thresher.features.backbone import BackboneSettings, pretrained_weights, weights_file
from thresher.files import replacing
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
from thresher.segmentation.metrics import class_metrics, mean_iou
from thresher.segmentation.settings import TrainingSettings
from thresher.segmentation.tree import ClassTree, class_tree
from thresher.stages.index import IndexSettings, parsed_sources
from thresher.stages.select import selected

if TYPE_CHECKING:
    from thresher.segmentation.examples import Batch, StrongImage, WeakImage

#: Streams of chance of one seed: the order of strong images, of weak ones, and the cuts of each.
_STRONG, _WEAK = 0, 1
#: What a training leaves in its folder.
OUTPUTS = ("checkpoint.safetensors", "metrics.jsonl", "classes.parquet")


@dataclass(frozen=True)
class TrainSettings(TrainingSettings):
    """Which images a network is trained on and which ones judge it."""

    selection: str = "none"
    """Weak images: a selection's name, none, or all of the pool."""
    mode: Literal["strong", "hierarchical"] = "hierarchical"
    """strong: no boxes are used (with selection none); hierarchical: the paper's loss."""
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
                                "or mode = hierarchical.")  # fmt: skip
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


@dataclass(frozen=True)
class _Material:
    """What a training reads, as tables: image_id, path and mask; of the weak images image_id and path."""

    taxonomy: Taxonomy
    tree: ClassTree
    strong: pl.DataFrame
    validation: pl.DataFrame
    weak: pl.DataFrame


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
    material = _material(run, settings)
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
    record = Record(run.training(settings.training_name))
    outputs = [record.folder / name for name in OUTPUTS]

    def work() -> tuple[dict[str, Any], int]:
        from thresher.segmentation.trained import rebuilt_from

        start = pretrained_weights(backbone)
        about = {"fingerprint": fingerprint("train", settings, inputs)}
        about |= rebuilt_from(settings, run.taxonomy.read_text("utf-8"))
        problems = _Problems(record)
        history = _trained(material, settings, start, steps, outputs, about, problems, track)
        problems.write()
        last = {key: value for key, value in history[-1].items() if key in ("loss", "miou")}
        return told | last, len(problems.found)

    return perform(run, "train", settings, inputs, outputs, work, record)


def is_trained(run: Run, settings: TrainSettings) -> bool:
    """Whether just this training is done, and what it wrote is still there.

    Raises:
        DataError: a table that it reads is not there.
    """
    record = Record(run.training(settings.training_name))
    inputs = _inputs(run, settings, BackboneSettings(backbone=settings.encoder, weights=settings.weights))
    outputs = [record.folder / name for name in OUTPUTS]
    return is_current(record, "train", fingerprint("train", settings, inputs), outputs)


class _Problems:
    """Images that could not be read, each listed once however often it came up."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.found: dict[str, dict[str, object]] = {}

    def add(self, path: Path, error: DataError) -> None:
        row: dict[str, object] = {
            "path": str(path),
            "stage": "train",
            "problem": "image_unreadable",
            "detail": str(error),
        }
        self.found.setdefault(str(path), row)

    def write(self) -> None:
        self.record.add_problems("train", tables.from_rows([*self.found.values()], tables.PROBLEMS))


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


def _material(run: Run, settings: TrainSettings) -> _Material:
    if not run.taxonomy.is_file():
        raise DataError(f"{run.taxonomy}: not there. Run index first.")
    taxonomy = load_taxonomy(str(run.taxonomy))
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id")
    target = _labelled_target(run, images)
    strong, validation = _split(target, settings)
    if settings.strong_limit is not None and strong.height > settings.strong_limit:
        strong = strong[[n * strong.height // settings.strong_limit for n in range(settings.strong_limit)]]
    if strong.is_empty() or validation.is_empty():
        raise DataError(f"train: {strong.height} images to train on and {validation.height} to validate with; "
                        "expected some of both. Change validation or validation_share.")  # fmt: skip
    tree = class_tree(taxonomy)
    return _Material(taxonomy, tree, strong, validation, _weak_images(run, settings, images, tree))


def _labelled_target(run: Run, images: pl.DataFrame) -> pl.DataFrame:
    masks = tables.read(run.masks, tables.MASKS, key="image_id").rename({"path": "mask"})
    target = images.filter(pl.col("role") == "target").join(masks, on="image_id").sort("image_id")
    if target.is_empty():
        raise DataError(f"{run.masks}: no image of the target has a mask; training needs per-pixel labels.")
    return target


def validation_images(run: Run, settings: TrainSettings) -> pl.DataFrame:
    """image_id, path, mask and encoding of the images by which a training with these settings is judged.

    Raises:
        DataError: the target has no masks.
    """
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id")
    return _split(_labelled_target(run, images), settings)[1]


def _split(target: pl.DataFrame, settings: TrainSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Images to train on and to validate with.

    Neighbouring frames of a video are nearly alike, and have neighbouring ids: so what is held out is one block at the
    end of their order, not a random draw (ours).
    """
    if settings.validation:
        source = parsed_sources(IndexSettings((settings.validation,)))[0]
        read: Dataset = READERS[source.format](source.root, source.split, source.name)
        masks = read.masks.rename({"path": "mask"})
        validation = read.images.join(masks, on="image_id").sort("image_id")
        return target.join(validation, on="path", how="anti").sort("image_id"), validation
    named = pl.col("split").eq_missing("val")
    if target.select(named.any()).item():
        return target.filter(~named), target.filter(named)
    held_out = round(target.height * settings.validation_share)
    return target.head(target.height - held_out), target.tail(held_out)


def _weak_images(run: Run, settings: TrainSettings, images: pl.DataFrame, tree: ClassTree) -> pl.DataFrame:
    """image_id, path and lists of corners and nodes of the images that have at least one box that tells a child.

    Depictions, and what lies inside a car or building, show no street's objects, as for diversity.
    """
    if settings.selection == "none":
        images = images.clear()
    elif settings.selection == "all":
        images = images.filter(pl.col("role") == "pool")
    else:
        images = selected(run, settings.selection)
    real = pl.col("is_depiction").ne_missing(True) & pl.col("is_inside").ne_missing(True)
    children = [name for group in tree.groups for name in group.outputs[:-1]]
    numbers = {name: number for number, name in enumerate(tree.nodes)}
    boxes = (
        tables.scan(run.boxes, tables.BOXES)
        .join(images.lazy().select("image_id", "path"), on="image_id")
        .filter(pl.col("class").is_in(list(numbers)) & real)
        .sort("image_id", "y0", "x0", "y1", "x1", "label")
        .group_by("image_id", maintain_order=True)
        .agg(
            pl.col("path").first(),
            pl.concat_list("x0", "y0", "x1", "y1").alias("corners"),
            pl.col("class").replace_strict(numbers, return_dtype=pl.Int64).alias("nodes"),
            pl.col("class").is_in(children).any().alias("teaches"),
        )
    )
    return boxes.filter("teaches").drop("teaches").collect()


def _strong_images(frame: pl.DataFrame, taxonomy: Taxonomy) -> list[StrongImage]:
    from thresher.segmentation.examples import StrongImage

    numbers = {encoding: class_numbers(taxonomy, encoding) for encoding in frame["encoding"].unique()}
    rows = frame.select("path", "mask", "encoding").iter_rows()
    return [StrongImage(Path(path), Path(mask), numbers[encoding]) for path, mask, encoding in rows]


def _batches(material: _Material, settings: TrainSettings, problems: _Problems) -> Callable[[int], Batch | None]:
    """The batch of a step, a pure function of its number; images that cannot be read are listed and left out of it."""
    from thresher.segmentation.examples import WeakImage, gathered, places, strong_example, weak_example

    size, zoom = (settings.height_px, settings.width_px), settings.zoom
    strong_images = _strong_images(material.strong, material.taxonomy)
    rows = material.weak.select("path", "corners", "nodes").iter_rows()
    weak_images: list[WeakImage] = [
        WeakImage(Path(path), np.array(corners, np.float32), np.array(nodes, np.int64)) for path, corners, nodes in rows
    ]

    def drawn(step: int, stream: int, images: list[Any], batch: int, example: Callable[..., Any]) -> list[Any]:
        examples = []
        chosen = places(step, batch, len(images), settings.seed, stream) if images else []
        for number, place in enumerate(chosen):
            rng = np.random.default_rng([settings.seed, 2 + stream, step, number])
            try:
                examples.append(example(images[place], rng))
            except DataError as error:
                problems.add(images[place].path, error)
        return examples

    def batch_of(step: int) -> Batch | None:
        strong = drawn(step, _STRONG, strong_images, settings.strong_batch,
                       lambda image, rng: strong_example(image, size, zoom, rng))  # fmt: skip
        weak = drawn(step, _WEAK, weak_images, settings.weak_batch,
                     lambda image, rng: weak_example(image, material.tree, size, zoom, rng))  # fmt: skip
        return gathered(strong, weak, material.tree, size) if strong else None

    return batch_of


def _trained(
    material: _Material,
    settings: TrainSettings,
    start: Any,
    steps: int,
    outputs: list[Path],
    said: dict[str, Any],
    problems: _Problems,
    track: Track[Any],
) -> list[dict[str, Any]]:
    """Train from the last checkpoint to the end, with a checkpoint and a line of metrics every few epochs."""
    from thresher.segmentation import training
    from thresher.segmentation.network import new_network

    checkpoint, metrics, classes = outputs
    tree = material.tree
    network = new_network(
        tree, settings.decoder, settings.encoder, start.tensors, start.mean, start.std, settings.seed
    ).to(training.fastest_device())
    optimiser = training.new_optimiser(network, settings)
    about = training.checkpoint_about(checkpoint)
    history: list[dict[str, Any]] = []
    if about is not None and about["fingerprint"] == said["fingerprint"]:
        history = about["history"]
        training.load_checkpoint(checkpoint, network, optimiser)
    batch_of, judges = _batches(material, settings, problems), _strong_images(material.validation, material.taxonomy)
    step = history[-1]["step"] if history else 0
    ends = _checkpoint_steps(settings, material.strong.height, steps)
    while step < steps or not classes.exists():
        todo = range(step, next((end for end in ends if end > step), steps))
        means = training.train(network, optimiser, batch_of, tree, settings, todo, steps, track)
        step = todo.stop
        matrix = training.validated(network, tree, judges, min(settings.height_px, settings.width_px), track)
        table = class_metrics(matrix, tree.classes)
        if todo:
            history.append({"step": step, "epoch": round(step * settings.strong_batch / material.strong.height, 3),
                            **means, "miou": mean_iou(table)})  # fmt: skip
        with replacing(metrics) as file:
            file.write("".join(json.dumps(line) + "\n" for line in history).encode())
        tables.write(table, classes)
        training.save_checkpoint(checkpoint, network, optimiser, said | {"history": history})
    return history


def _checkpoint_steps(settings: TrainSettings, strong: int, steps: int) -> list[int]:
    """The steps by which every so many epochs are done, and the last."""
    each = settings.checkpoint_epochs
    return [-(-epoch * strong // settings.strong_batch) for epoch in range(each, settings.epochs, each)] + [steps]
