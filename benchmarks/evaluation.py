"""Evaluation of a trained network: the loop that a user would write, and ours, with the same network and images.

Run:     python benchmarks/evaluation.py RUN TRAINING [--images 48] [--rounds 3] [--json FILE]
         after, say: thresher index RUN --target masks:CAMVID#train --target masks:CAMVID#val --taxonomy camvid
                     thresher train RUN --selection none --name TRAINING
Needs:   an idle machine.
Prints:  one line `name value` each: milliseconds per image (wall and processor time, medians over interleaved rounds),
         the ratios, the share of equal decisions, both mIoU, and where the time of one image goes, on one thread.

Naive is Pillow in the main process, one image at a time, torch in its usual memory format, argmax, and a count per
class and image in numpy; with one thread and with all of them, and the ratio is to the better. Ours is `thresher
evaluate` from its reading of images to its confusion matrix; exporting the network once is told apart as `start_ms`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from thresher.data.images import network_size
from thresher.run.contents import checkpoint_of
from thresher.run.folder import Run
from thresher.run.perform import untracked
from thresher.segmentation.examples import StrongImage, pixels_and_labels
from thresher.segmentation.inference import Segmenter, measured
from thresher.segmentation.losses import decision
from thresher.segmentation.metrics import class_metrics, confusion, mean_iou
from thresher.segmentation.trained import TrainedNetwork, ready, trained_network
from thresher.segmentation.tree import ClassTree
from thresher.training.images import strong_images, validation_images
from thresher.training.settings import TrainSettings

Step = tuple[str, Callable[[Any], Any]]


def argmax_decision(logits: list[torch.Tensor], tree: ClassTree) -> torch.Tensor:
    """The class of each pixel, as it is usually written."""
    chosen = logits[0][:, :-1].argmax(1)
    decided = torch.from_numpy(tree.classes_of_outputs(tree.root))[chosen]
    for group, outputs in zip(tree.groups, logits[1:], strict=True):
        child = torch.from_numpy(tree.classes_of_outputs(group))[outputs[:, :-1].argmax(1)]
        decided = torch.where(chosen == tree.root.outputs.index(group.name), child, decided)
    return decided


def naive_steps(found: TrainedNetwork, counts: np.ndarray) -> list[Step]:
    """What a user would write, step by step; `counts` sums hits, labelled and decided pixels of each class."""

    def decode(image: StrongImage) -> Any:
        pixels = np.array(Image.open(image.path).convert("RGB"))
        return torch.from_numpy(pixels).permute(2, 0, 1), image.numbers[np.asarray(Image.open(image.mask))]

    def resize(given: Any) -> Any:
        pixels, labels = given
        wide, high = network_size(pixels.shape[2], pixels.shape[1], found.short_side, multiple=32)
        seen = functional.interpolate(pixels[None].float(), (high, wide), mode="bilinear", antialias=True)
        return seen.round().clamp(0, 255).to(torch.uint8), labels

    def network(given: Any) -> Any:
        with torch.no_grad():
            return found.network(given[0]), given[1]

    def upscale(given: Any) -> Any:
        return [functional.interpolate(part, given[1].shape, mode="bilinear") for part in given[0]], given[1]

    def decide(given: Any) -> Any:
        return argmax_decision(given[0], found.tree)[0].numpy(), given[1]

    def count(given: Any) -> None:
        decided, labels = given
        counted = labels != found.tree.void
        for number in range(counts.shape[1]):
            there, taken = (labels == number) & counted, (decided == number) & counted
            counts[:, number] += (there & taken).sum(), there.sum(), taken.sum()

    return [
        ("decode", decode),
        ("resize", resize),
        ("network", network),
        ("upscale", upscale),
        ("decide", decide),
        ("confusion", count),
    ]


def our_steps(network: Segmenter, classes: int) -> list[Step]:
    """The same of ours; all but the first and last are inside `Segmenter.decided`."""

    def resize(given: Any) -> Any:
        pixels, labels = given
        wide, high = network_size(pixels.shape[2], pixels.shape[1], network.short_side, multiple=32)
        seen = functional.interpolate(pixels[None].float(), (high, wide), mode="bilinear", antialias=True)
        return seen.round_().clamp_(0, 255).to(torch.uint8), labels

    def upscale(given: Any) -> Any:
        return [functional.interpolate(part, given[1].shape, mode="bilinear") for part in given[0]], given[1]

    return [
        ("decode", pixels_and_labels),
        ("resize", resize),
        ("network", lambda given: (network.logits(given[0]), given[1])),
        ("upscale", upscale),
        ("decide", lambda given: (decision(given[0], network.tree)[0].to(torch.uint8), given[1])),
        ("confusion", lambda given: confusion(given[1].numpy(), given[0].numpy(), classes)),
    ]


def by_step(steps: list[Step], images: list[StrongImage]) -> dict[str, float]:
    """Milliseconds of processor time of each step, the median over images, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    taken: dict[str, list[float]] = {name: [] for name, _ in steps}
    for image in images:
        given: Any = image
        for name, step in steps:
            start = time.thread_time()
            given = step(given)
            taken[name].append(1e3 * (time.thread_time() - start))
    torch.set_num_threads(threads)
    return {name: round(statistics.median(times), 2) for name, times in taken.items()}


def agreement(found: TrainedNetwork, network: Segmenter, images: list[StrongImage]) -> float:
    """The share of pixels that both give to the same class."""
    equal, pixels_seen = 0, 0
    steps = naive_steps(found, np.zeros((3, len(found.tree.classes)), np.int64))[:-1]
    for image in images:
        given: Any = image
        for _, step in steps:
            given = step(given)
        ours = network.decided(pixels_and_labels(image)[0][None])[0].numpy()
        equal, pixels_seen = equal + int((given[0] == ours).sum()), pixels_seen + ours.size
    return equal / pixels_seen


def evaluations(
    found: TrainedNetwork, network: Segmenter, images: list[StrongImage]
) -> dict[str, Callable[[], float | None]]:
    """The mIoU over all images: naively with one thread and with all, and as we do it."""
    classes = len(found.tree.classes)

    def naive() -> float:
        counts = np.zeros((3, classes), np.int64)
        steps = naive_steps(found, counts)
        for image in images:
            value: Any = image
            for _, step in steps:
                value = step(value)
        there = counts[1] > 0
        return float((counts[0] / (counts[1] + counts[2] - counts[0]).clip(1))[there].mean())

    def naive_one_thread() -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        found_miou = naive()
        torch.set_num_threads(threads)
        return found_miou

    def ours() -> float | None:
        return mean_iou(class_metrics(measured(network, images, untracked), found.tree.classes))

    return {"naive": naive, "naive_one_thread": naive_one_thread, "ours": ours}


def timed(ways: dict[str, Callable[[], float | None]], rounds: int, images: int) -> dict[str, float]:
    """Medians over rounds in which each has its turn, and the ratio of the best naive one to ours."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    told: dict[str, float] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            told[f"{name}_miou"] = way() or 0.0
            spent = time.perf_counter() - wall, time.process_time() - cpu
            times[name].append((1e3 * spent[0] / images, 1e3 * spent[1] / images))
    for place, kind in enumerate(("wall", "processor")):
        medians = {name: statistics.median(span[place] for span in spans) for name, spans in times.items()}
        told |= {f"{name}_{kind}_ms": value for name, value in medians.items()}
        told[f"{kind}_ratio"] = min(medians["naive"], medians["naive_one_thread"]) / medians["ours"]
    return told


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("training")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    checkpoint = checkpoint_of(Run(given.run), given.training)
    found, padded = trained_network(checkpoint), trained_network(checkpoint)
    start = time.perf_counter()
    network = ready(padded)
    told: dict[str, float] = {"start_ms": 1e3 * (time.perf_counter() - start)}
    settings = {key: value for key, value in found.metadata["settings"].items() if key != "weights"}
    frame = validation_images(Run(given.run), TrainSettings(**settings))
    images = strong_images(frame, found.taxonomy)[: given.images]
    classes = len(found.tree.classes)
    told |= timed(evaluations(found, network, images), given.rounds, len(images))
    told["equal_decisions"] = agreement(found, network, images[:16])
    tables = {"naive": naive_steps(found, np.zeros((3, classes), np.int64)), "ours": our_steps(network, classes)}
    with torch.inference_mode():
        for name, steps in tables.items():
            told |= {f"{name}/{step}_ms": value for step, value in by_step(steps, images[:16]).items()}
    for name, value in told.items():
        print(name, f"{value:.5g}")
    if given.json:
        given.json.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
