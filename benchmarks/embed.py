"""Images per second: what a user would write, ours (exact and fast), and the limits of network and decoder alone.

Run:     python benchmarks/embed.py PHOTOGRAPHS [--images 128] [--rounds 3] [--json FILE]
         PHOTOGRAPHS is a folder of real JPEGs; they are cropped to 4:3 and enlarged to 1024 × 768 first.
Needs:   torchvision; an idle machine.
Prints:  one line `name value` each: milliseconds per image (wall and processor time, medians over interleaved rounds),
         ours against the best of the naive pipelines, the share of the bare network's rate, and feature errors.

Naive is Pillow, torchvision transforms and timm in torch eager behind a DataLoader, at batch 1, 8 and 32 with 0, 1 and
2 loader workers; the best of them in wall and the best in processor time are what ours is measured against. Starting
processes and loading libraries is left out on both sides; ours is told apart as `start`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from PIL import Image, ImageOps

from thresher.features.backbone import (
    BackboneFile,
    BackboneSettings,
    backbone_file,
    open_backbone,
    scaled,
)
from thresher.features.engine import workers
from thresher.features.pixels import network_pixels
from thresher.features.projection import fit_projection, save_projection
from thresher.features.quantised import quantise
from thresher.features.worker import Task, Worker, WorkerSettings
from thresher.pretrained import weights_file
from thresher.vectors import unit_length
from thresher.workers.settings import EngineSettings

SIDE, SIZE = 224, (224, 288)
CORES = len(os.sched_getaffinity(0))


class Photographs(torch.utils.data.Dataset):
    """The images as a user would load them."""

    def __init__(self, files: list[Path]) -> None:
        """Resize, to tensor, normalise."""
        self.files = files
        self.transform = torchvision.transforms.Compose(
            [
                torchvision.transforms.Resize(SIZE),
                torchvision.transforms.ToTensor(),
                torchvision.transforms.Normalize([127 / 255] * 3, [128 / 255] * 3),
            ]
        )

    def __len__(self) -> int:
        """How many."""
        return len(self.files)

    def __getitem__(self, number: int) -> torch.Tensor:
        """One, as the network takes it."""
        return self.transform(Image.open(self.files[number]).convert("RGB"))


def enlarged(source: Path, folder: Path, count: int) -> list[Path]:
    """`count` photographs at 1024 × 768, evenly from the source's landscape JPEGs."""
    found = [path for path in sorted(source.rglob("*.jpg")) if _landscape(path)]
    files = []
    for number, path in enumerate(found[:: max(1, len(found) // count)][:count]):
        files.append(folder / f"{number:04d}.jpg")
        image = ImageOps.fit(Image.open(path).convert("RGB"), (1024, 768), Image.Resampling.BICUBIC)
        image.save(files[-1], quality=92)
    return files


def _landscape(path: Path) -> bool:
    with Image.open(path) as image:
        return image.width >= image.height >= 150


def processor_seconds() -> float:
    """Of this process and all its children, ended and living."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == os.getpid():
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def timed(work: Callable[[], object], images: int) -> tuple[float, float]:
    """Milliseconds per image: wall clock, processors."""
    wall, used = time.perf_counter(), processor_seconds()
    work()
    return (time.perf_counter() - wall) / images * 1e3, (processor_seconds() - used) / images * 1e3


def naive(model: torch.nn.Module, files: list[Path], batch: int, loaders: int) -> Callable[[], object]:
    """The pipeline that a user would write."""
    loader = torch.utils.data.DataLoader(
        Photographs(files), batch_size=batch, num_workers=loaders, persistent_workers=loaders > 0
    )

    def work() -> None:
        with torch.inference_mode():
            for images in loader:
                model(images)[-1]

    return work


def in_threads(one: Callable[[Path], object], files: list[Path]) -> Callable[[], object]:
    """Each file once, on as many threads as there are processors."""

    def work() -> None:
        with ThreadPoolExecutor(CORES) as pool:
            list(pool.map(one, files))

    return work


def relative_error(found: list[np.ndarray], truth: list[np.ndarray]) -> float:
    """Mean over images of |found − truth| / |truth|, of unit slices."""
    return float(np.mean([np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(found, truth, strict=True)]))


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default="embed.json")
    asked = parser.parse_args()
    torch.set_num_threads(CORES)
    with tempfile.TemporaryDirectory() as temporary:
        figures = measured(asked.photographs, Path(temporary), asked.images, asked.rounds)
    Path(asked.json).write_text(json.dumps(figures, indent=1) + "\n")


def measured(source: Path, folder: Path, count: int, rounds: int) -> dict[str, float]:
    """All figures by name."""
    files = enlarged(source, folder, count)
    backbone = backbone_file(BackboneSettings(), folder / "exact.onnx")
    model = user_model()
    settings = {"exact": exact(backbone), "fast": fast(backbone, files, folder / "fast.onnx")}
    figures: dict[str, float] = {}
    errors(model, files, settings, figures)
    project(files, settings["exact"], folder / "projection.safetensors")

    works: dict[str, Callable[[], object]] = {
        f"naive batch {batch} loaders {loaders}": naive(model, files, batch, loaders)
        for batch in (1, 8, 32)
        for loaders in (0, 1, 2)
    }
    pixels = scaled(network_pixels(files[0], SIDE).image, backbone)
    for name, each in settings.items():
        session = open_backbone(Path(each.backbone), each.mean, each.std).session
        works[f"network alone {name}"] = in_threads(lambda _, s=session: s.run(None, {"image": pixels}), files)
        works[f"decoder alone {name}"] = in_threads(lambda path, f=each.fast: network_pixels(path, SIDE, f), files)
    opened = {name: workers(each, EngineSettings(workers=CORES)) for name, each in settings.items()}
    torch.set_num_threads(CORES)
    for name, context in opened.items():
        work = context.__enter__()
        started = time.perf_counter()
        list(work(tasks(files[: 2 * CORES], folder, f"start-{name}")))
        figures[f"ours {name} start, seconds"] = time.perf_counter() - started
        works[f"ours {name}"] = lambda w=work, n=name: list(w(tasks(files, folder, f"{n}-{time.time_ns()}")))
    figures |= in_turn(works, rounds, len(files))
    for context in opened.values():
        context.__exit__(None, None, None)
    compare(figures)
    for name, value in figures.items():
        print(f"{name:55s} {value:.4f}")
    return figures


def in_turn(works: dict[str, Callable[[], object]], rounds: int, images: int) -> dict[str, float]:
    """Median milliseconds per image of each, done in turn so that a slow moment of the machine meets them all."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(rounds + 1):  # the first warms up
        for name, work in works.items():
            torch.set_num_threads(1 if "alone" in name else CORES)
            taken[name].append(timed(work, images))
    figures = {}
    for name, values in taken.items():
        figures[f"{name} wall ms"] = statistics.median(wall for wall, _ in values[1:])
        figures[f"{name} processor ms"] = statistics.median(used for _, used in values[1:])
    return figures


def compare(figures: dict[str, float]) -> None:
    """Add the ratios."""
    for kind in ("wall", "processor"):
        best = min(value for name, value in figures.items() if name.startswith("naive") and name.endswith(f"{kind} ms"))
        for name in ("exact", "fast"):
            figures[f"ours {name} against the best naive, {kind}"] = best / figures[f"ours {name} {kind} ms"]
    for name in ("exact", "fast"):
        alone = figures[f"network alone {name} wall ms"]
        figures[f"ours {name} share of the bare network's rate"] = alone / figures[f"ours {name} wall ms"]


def user_model() -> torch.nn.Module:
    """timm's network with the same weights."""
    model = timm.create_model("tf_efficientnet_lite0", features_only=True, pretrained=False).eval()
    file = weights_file("tf_efficientnet_lite0")
    assert file is not None, "weights that come with a package"
    state = torch.load(file, weights_only=True)
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    named = dict(zip(names, state.values(), strict=True))
    model.load_state_dict({key: named[key] for key in model.state_dict()})
    return model


def exact(backbone: BackboneFile) -> WorkerSettings:
    """As embed sets its workers up."""
    return WorkerSettings(str(backbone.path), backbone.mean, backbone.std, SIDE)


def fast(backbone: BackboneFile, files: list[Path], to: Path) -> WorkerSettings:
    """As embed does with mode = "fast"."""
    shown = files[:: max(1, len(files) // 64)]
    quantise(backbone.path, to, (scaled(network_pixels(path, SIDE, fast=True).image, backbone) for path in shown))
    return replace(exact(replace(backbone, path=to)), fast=True)


def errors(
    model: torch.nn.Module, files: list[Path], settings: dict[str, WorkerSettings], figures: dict[str, float]
) -> None:
    """How far the unit slices of each mode are from the user's own."""
    some, truth = files[:48], []
    with torch.inference_mode():
        photographs = Photographs(some)
        for number in range(len(some)):
            features = model(photographs[number][None])[-1][0].permute(1, 2, 0).numpy()
            truth.append(unit_length(features.reshape(-1, features.shape[-1])))
    for name, each in settings.items():
        worker = Worker(each)
        found = [worker.unit_slices(path).slices for path in some]
        figures[f"ours {name} relative feature error"] = relative_error(found, truth)


def project(files: list[Path], settings: WorkerSettings, to: Path) -> None:
    """A projection as embed fits it."""
    worker = Worker(settings)
    slices = np.concatenate([worker.unit_slices(path).slices for path in files[:32]])
    save_projection(fit_projection(slices, None, 64), to)


def tasks(files: list[Path], folder: Path, name: str) -> list[Task]:
    """Shards of sixteen images."""
    projection = str(folder / "projection.safetensors")
    (folder / name).mkdir(parents=True, exist_ok=True)
    return [
        Task(
            "shard",
            number,
            [(path.stem, str(path)) for path in files[start : start + 16]],
            str(folder / name / f"part-{number:05d}.parquet"),
            fingerprint=name,
            task=name,
            projection=projection,
        )
        for number, start in enumerate(range(0, len(files), 16))
    ]


if __name__ == "__main__":
    main()
