"""A training step: the loop that one would write, and ours, with the same network, loss, images and cuts of them.

Run:     python benchmarks/training.py DATA [--steps 4] [--rounds 3] [--threads 1] [--channels 0] [--precision auto]
         [--json FILE]
         where DATA holds camvid/ (train, trainannot) and weak/street/kitti/.
Needs:   an idle machine, for wall times; processor times bear company.
Prints:  one line `name value` each: seconds per step (wall and processor time, medians over interleaved rounds), the
         ratios, the losses of both over the steps from the same start, and where the time of a step goes, in ms.

Naive is Pillow in the main process, whole images resized and then cut, tensors in torch's usual memory format,
segmentation_models_pytorch's own decoder, float32, and the losses read at every step. Ours is `thresher train` but for
validation and checkpoints; `--precision float32` shows it without bfloat16.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from thresher.pretrained import pretrained_weights
from thresher.run.folder import Run
from thresher.segmentation import loop as training
from thresher.segmentation.devices import accelerator, mixed, placed
from thresher.segmentation.examples import Batch, WeakImage, drawn_cut, gathered, places
from thresher.segmentation.losses import hierarchical_loss
from thresher.segmentation.network import SegmentationNetwork, new_network
from thresher.segmentation.weak_labels import box_shares
from thresher.stages.index import IndexSettings, index
from thresher.training.batches import Problems, batches
from thresher.training.images import TrainingImages, strong_images, training_images
from thresher.training.settings import TrainSettings


class Laps:
    """Processor seconds by name: from the last lap to this one."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.seconds: dict[str, float] = {}
        self.last = time.process_time()

    def again(self) -> Laps:
        """The same, from now on: what has gone by since the last lap counts nowhere."""
        self.last = time.process_time()
        return self

    def lap(self, name: str) -> None:
        """Add what has gone by since the last lap."""
        now = time.process_time()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self.last
        self.last = now


def naive_cut(
    image: Image.Image, settings: TrainSettings, rng: np.random.Generator, how: Image.Resampling
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """The whole image resized, cut and mirrored; and what does the same to corners given as shares of its sides."""
    height, width = settings.height_px, settings.width_px
    found = drawn_cut((image.height, image.width), (height, width), settings.zoom, rng)
    down, right = height / found.window[0], width / found.window[1]
    whole = image.resize((round(image.width * right), round(image.height * down)), how)
    left = min(round(found.left * right), whole.width - width)
    top = min(round(found.top * down), whole.height - height)
    part = whole.crop((left, top, left + width, top + height))
    part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if found.mirrored else part

    def moved(corners: torch.Tensor) -> torch.Tensor:
        inside = corners * torch.tensor([whole.width, whole.height] * 2) - torch.tensor([left, top] * 2)
        x0, y0, x1, y1 = inside.clamp(min=0).minimum(torch.tensor([width, height] * 2)).unbind(1)
        return torch.stack([width - x1, y0, width - x0, y1] if found.mirrored else [x0, y0, x1, y1], 1)

    return torch.from_numpy(np.array(part)), moved


def naive_batches(material: TrainingImages, settings: TrainSettings) -> Callable[[int, Laps], Batch]:
    """The same images and cuts as ours, by Pillow."""
    tree, size = material.tree, (settings.height_px, settings.width_px)
    strong = strong_images(material.strong, material.taxonomy)
    rows = material.weak.select("path", "corners", "nodes").iter_rows()
    weak = [
        WeakImage(Path(path), np.array(boxes, np.float32), np.array(nodes), np.zeros(0, np.bool_))
        for path, boxes, nodes in rows
    ]

    def drawn(step: int, stream: int, images: list[Any], count: int) -> list[tuple[Any, Image.Image, list[int]]]:
        chosen = places(step, count, len(images), settings.seed, stream)
        seeds = [[settings.seed, 2 + stream, step, number] for number in range(count)]
        return [(images[at], Image.open(images[at].path).convert("RGB"), seeds[n]) for n, at in enumerate(chosen)]

    def cut(image: Image.Image, seed: list[int], how: Image.Resampling) -> tuple[torch.Tensor, Any]:
        return naive_cut(image, settings, np.random.default_rng(seed), how)

    def batch_of(step: int, laps: Laps) -> Batch:
        strong_read = drawn(step, 0, strong, settings.strong_batch)
        masks = [np.asarray(Image.open(image.mask)) for image, _, _ in strong_read]
        weak_read = drawn(step, 1, weak, settings.weak_batch)
        laps.lap("decode")
        labelled, boxed = [], []
        for (image, pixels, seed), mask in zip(strong_read, masks, strict=True):
            classes = Image.fromarray(image.numbers[mask].astype(np.uint8))
            shown = cut(pixels, seed, Image.Resampling.BILINEAR)[0].permute(2, 0, 1).contiguous()
            labelled.append((shown, cut(classes, seed, Image.Resampling.NEAREST)[0].long()))
        for image, pixels, seed in weak_read:
            seen, moved = cut(pixels, seed, Image.Resampling.BILINEAR)
            corners = moved(torch.from_numpy(image.corners))
            outputs = [torch.from_numpy(tree.outputs_of_nodes(group)[image.nodes]) for group in tree.groups]
            shares = [box_shares(corners, o, len(g.outputs), size) for o, g in zip(outputs, tree.groups, strict=True)]
            boxed.append((seen.permute(2, 0, 1).contiguous(), tuple(shares), None))
        batch = gathered(labelled, boxed, tree, size)
        laps.lap("transform")
        return batch

    return batch_of


def step_taken(
    network: SegmentationNetwork,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    loss: Callable[[list[torch.Tensor], Batch], torch.Tensor],
    laps: Laps,
    within: AbstractContextManager[object],
) -> float:
    """One step as both loops take it, lap by lap, the forward pass `within` a precision; its loss."""
    with within:
        logits = [part.float() for part in network(batch.images)]
    laps.lap("forward")
    total = loss(logits, batch)
    laps.lap("loss")
    optimiser.zero_grad()
    total.backward()
    laps.lap("backward")
    optimiser.step()
    laps.lap("optimiser")
    return total.item()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    for name, value in (("steps", 4), ("rounds", 3), ("threads", 1), ("channels", 0), ("height", 192), ("width", 256)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    size = {"height_px": given.height, "width_px": given.width, "decoder_channels": given.channels}
    # Without the parts that a plain loop does not have.
    settings = TrainSettings(selection="all", precision=given.precision, colour=0, ema=0, **size)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(folder)
        sources = (f"masks:{given.data / 'camvid'}#train",), (f"kitti:{given.data / 'weak/street/kitti'}",)
        index(run, IndexSettings(*sources, taxonomy="camvid"))
        material = training_images(run, settings)
        found = measured(material, settings, given.steps, given.rounds)
    for name, value in found.items():
        print(name, round(value, 4))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


class Loops:
    """Both loops, each with a network of its own that starts from the same weights."""

    def __init__(self, material: TrainingImages, settings: TrainSettings) -> None:
        """Build them."""
        weights = pretrained_weights(settings.encoder)
        plain, other = (new_network(material.tree, settings, weights).train() for _ in range(2))
        plain.folded = False
        self.material, self.settings, self.here = material, settings, accelerator(settings.precision)
        self.naive, self.ours = plain, placed(other, self.here)
        self.naive_optimiser = training.new_optimiser(self.naive, settings)
        self.our_optimiser = training.new_optimiser(self.ours, settings)
        self.prepared = self.here.prepare(self.ours, self.our_optimiser)
        self.naive_batch = naive_batches(material, settings)
        self.our_batch = batches(material, settings, Problems(), 0, 1)

    def loss(self, logits: list[torch.Tensor], batch: Batch) -> torch.Tensor:
        """The loss of both loops."""
        tree, weight = self.material.tree, self.settings.group_weight
        return hierarchical_loss(logits, batch.labels, batch.shares, tree, weight).total

    def naive_steps(self, todo: range, laps: Laps) -> float:
        """The mean loss of some steps of the naive loop."""
        total = 0.0
        for step in todo:
            batch = self.naive_batch(step, laps)
            torch.manual_seed(self.settings.seed * 1_000_003 + step)
            total += step_taken(self.naive, self.naive_optimiser, batch, self.loss, laps, nullcontext())
        return total / len(todo)

    def our_steps(self, todo: range, laps: Laps) -> float:
        """The same of ours, just as `thresher train` does it."""
        network, optimiser = self.prepared
        tree, steps = self.material.tree, 10**6
        taken = training.Training(network, optimiser, self.here, self.our_batch, tree, self.settings, steps)
        return training.take_steps(taken, todo, iter(todo))["loss"]

    def our_laps(self, todo: range, laps: Laps) -> None:
        """Ours without threads, only to see where its time goes."""
        for step in todo:
            batch = self.our_batch(step)
            assert batch is not None
            laps.lap("decode and transform")
            batch = replace(batch, images=batch.images.contiguous(memory_format=torch.channels_last))
            within = mixed(self.here, self.settings.precision)
            step_taken(self.ours, self.our_optimiser, batch, self.loss, laps, within)


def measured(material: TrainingImages, settings: TrainSettings, steps: int, rounds: int) -> dict[str, float]:
    """Seconds, ratios, losses and laps by name; a first round warms up."""
    loops = Loops(material, settings)
    times: dict[str, list[float]] = {}
    found: dict[str, float] = {}
    laps = {"naive": Laps(), "ours": Laps()}
    for number in range(rounds + 1):
        todo = range(number * steps, (number + 1) * steps)
        for name, take in (("naive", loops.naive_steps), ("ours", loops.our_steps)):
            laps[name] = Laps() if number < 2 else laps[name].again()
            wall, processor = time.perf_counter(), time.process_time()
            found[f"{name}_loss_{'last' if number else 'first'}"] = take(todo, laps[name])
            times.setdefault(f"{name}_wall_s", []).append((time.perf_counter() - wall) / steps)
            times.setdefault(f"{name}_processor_s", []).append((time.process_time() - processor) / steps)
    loops.our_laps(range(steps), laps["ours"].again())
    found |= {name: statistics.median(each[1:]) for name, each in times.items()}
    for kind in ("wall", "processor"):
        found[f"ratio_{kind}"] = found[f"naive_{kind}_s"] / found[f"ours_{kind}_s"]
    for name, count in (("naive", steps * rounds), ("ours", steps)):
        found |= {f"{name}_ms {lap}": seconds / count * 1e3 for lap, seconds in laps[name].seconds.items()}
    return found


if __name__ == "__main__":
    main()
