"""From five tools' exports to a trained comparison: the commands of docs/how-to/from-an-export.md, with their seconds.

Run:     python benchmarks/from_exports.py FOLDER [--only coco …] [--images 60] [--seeds 2] [--epochs 4]
Needs:   the parts embed and train; FOLDER takes some 20 MB.
Prints:  a line per export: masks and boxes as `index` counts them, the mIoU without the pool, with the choice and with
         a random one, and the seconds of each of the five commands; ends with exit code 1 where a command fails.

The same made-up street scenes (160 × 96 pixels) are written as COCO, YOLO, CVAT, Label Studio and BDD100K export them:
outlines of every class for the target, boxes for the pool. The comparison is by proxy, so it takes seconds.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from thresher.data.outlines import loop_area, outlines, simplified
from thresher.synthetic.dataset import SyntheticSettings, write_dataset
from thresher.synthetic.palette import TRAIN_IDS

WIDTH, HEIGHT = 160, 96
#: Areas of fewer square pixels are not outlined: nobody would.
LEAST_PX = 6
NAMES = {number: name for name, number in TRAIN_IDS.items() if number < 255}
NUMBERS = {name: place for place, name in enumerate(NAMES.values())}
#: Split → its share of the images.
SPLITS = {"train": 2 / 3, "val": 1 / 3}

Corners = list[float]
#: Label and x0, y0, x1, y1 or the corners of an outline, in pixels.
Objects = list[tuple[str, Corners]]


@dataclass(frozen=True)
class Picture:
    """An image with what is drawn on it; of a target also the numbers of its classes."""

    name: str
    file: Path
    objects: Objects
    size: tuple[int, int]
    labels: np.ndarray | None = None


def target(made: Path, split: str) -> Iterator[Picture]:
    """The scenes of a split, with an outline around each connected part of a class."""
    for file in sorted((made / "cityscapes" / "leftImg8bit" / split).rglob("*.png")):
        name = file.name.removesuffix("_leftImg8bit.png")
        beside = file.parents[3] / "gtFine" / split / file.parent.name / f"{name}_gtFine_labelTrainIds.png"
        labels = np.asarray(Image.open(beside))
        found = [
            (NAMES[number], simplified(loop, 1.0).ravel().tolist())
            for number in np.unique(labels).tolist()
            if number in NAMES
            for loop in outlines(labels == number)
            if loop_area(loop) >= LEAST_PX
        ]
        yield Picture(name, file, found, (WIDTH, HEIGHT), labels)


def pool(made: Path) -> Iterator[Picture]:
    """The images of the pool with their boxes, under the names of the labels."""
    root = made / "open_images"
    words = dict(csv.reader((root / "class-descriptions-boxable.csv").read_text().splitlines()))
    boxes: dict[str, Objects] = {}
    for row in csv.DictReader((root / "train-annotations-bbox.csv").read_text().splitlines()):
        corners = [float(row[name]) for name in ("XMin", "YMin", "XMax", "YMax")]
        boxes.setdefault(row["ImageID"], []).append((words[row["LabelName"]], corners))
    for file in sorted((root / "images").glob("*.jpg")):
        width, height = Image.open(file).size
        scaled = [
            (label, [value * (height if place % 2 else width) for place, value in enumerate(corners)])
            for label, corners in boxes.get(file.stem, [])
        ]
        yield Picture(file.stem, file, scaled, (width, height))


def put(path: Path, content: object) -> None:
    """A file of text, or of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def copied(picture: Picture, folder: Path) -> str:
    """The picture in a folder; its name there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{picture.name}{picture.file.suffix}").write_bytes(picture.file.read_bytes())
    return f"{picture.name}{picture.file.suffix}"


def coco(data: Path, mine: dict[str, list[Picture]], theirs: list[Picture]) -> None:
    """COCO: instances_SPLIT.json with polygons; of the pool a file of boxes."""

    def file(pictures: list[Picture], folder: Path, outlined: bool) -> dict[str, object]:
        labels = sorted({label for each in pictures for label, _ in each.objects})
        images, annotations = [], []
        for n, each in enumerate(pictures):
            width, height = each.size
            images.append({"id": n, "file_name": copied(each, folder), "width": width, "height": height})
            for label, corners in each.objects:
                xs, ys = corners[0::2], corners[1::2]
                box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
                one = {"id": len(annotations), "image_id": n, "category_id": labels.index(label) + 1, "bbox": box}
                annotations.append({**one, "iscrowd": 0, **({"segmentation": [corners]} if outlined else {})})
        categories = [{"id": n + 1, "name": label} for n, label in enumerate(labels)]
        return {"images": images, "annotations": annotations, "categories": categories}

    for split, pictures in mine.items():
        put(data / f"mine/annotations/instances_{split}.json", file(pictures, data / "mine" / split, True))
    put(data / "pool/annotations/boxes.json", file(theirs, data / "pool/images", False))


def yolo(data: Path, mine: dict[str, list[Picture]], theirs: list[Picture]) -> None:
    """YOLO: a text per image with a line of shares per polygon or box, and data.yaml with the names."""

    def written(root: Path, split: str, pictures: list[Picture], labels: list[str]) -> None:
        for each in pictures:
            lines = []
            for label, corners in each.objects:
                shares = [value / each.size[place % 2] for place, value in enumerate(corners)]
                if len(corners) == 4:
                    x0, y0, x1, y1 = shares
                    shares = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
                lines.append(f"{labels.index(label)} {' '.join(f'{share:.6f}' for share in shares)}")
            copied(each, root / "images" / split)
            put(root / "labels" / split / f"{each.name}.txt", "\n".join(lines))
        put(root / "data.yaml", "names:\n" + "\n".join(f"  {n}: {label}" for n, label in enumerate(labels)))

    for split, pictures in mine.items():
        written(data / "mine", split, pictures, list(NUMBERS))
    written(data / "pool", "", theirs, sorted({label for each in theirs for label, _ in each.objects}))


def cvat(data: Path, mine: dict[str, list[Picture]], theirs: list[Picture]) -> None:
    """CVAT for images 1.1: one XML, with the split as subset."""

    def image(each: Picture, folder: Path, split: str) -> str:
        shapes = ""
        for label, corners in each.objects:
            if len(corners) == 4:
                x0, y0, x1, y1 = corners
                shapes += f'<box label="{label}" xtl="{x0}" ytl="{y0}" xbr="{x1}" ybr="{y1}"/>'
            else:
                points = ";".join(f"{x},{y}" for x, y in zip(corners[0::2], corners[1::2], strict=True))
                shapes += f'<polygon label="{label}" points="{points}"/>'
        size = f'width="{each.size[0]}" height="{each.size[1]}"'
        return f'<image name="{copied(each, folder)}" subset="{split}" {size}>{shapes}</image>\n'

    inside = "".join(image(each, data / "mine/images", split) for split, pictures in mine.items() for each in pictures)
    put(data / "mine/annotations.xml", f"<annotations>{inside}</annotations>")
    inside = "".join(image(each, data / "pool/images", "") for each in theirs)
    put(data / "pool/annotations.xml", f"<annotations>{inside}</annotations>")


def label_studio(data: Path, mine: dict[str, list[Picture]], theirs: list[Picture]) -> None:
    """Label Studio: a JSON of tasks, with places in hundredths of the image."""

    def task(each: Picture, folder: Path) -> dict[str, object]:
        result = []
        for n, (label, corners) in enumerate(each.objects):
            percent = [100 * value / each.size[place % 2] for place, value in enumerate(corners)]
            if len(corners) == 4:
                x0, y0, x1, y1 = percent
                value = {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rectanglelabels": [label]}
                result.append({"id": str(n), "type": "rectanglelabels", "value": value})
            else:
                points = [list(pair) for pair in zip(percent[0::2], percent[1::2], strict=True)]
                value = {"points": points, "polygonlabels": [label]}
                result.append({"id": str(n), "type": "polygonlabels", "value": value})
        name = f"/data/upload/1/{copied(each, folder)}"
        return {"data": {"image": name}, "annotations": [{"result": result}]}

    for split, pictures in mine.items():
        put(data / "mine" / f"{split}.json", [task(each, data / "mine") for each in pictures])
    put(data / "pool/tasks.json", [task(each, data / "pool") for each in theirs])


def bdd100k(data: Path, mine: dict[str, list[Picture]], theirs: list[Picture]) -> None:
    """BDD100K: sem_seg masks of Cityscapes' train ids, and det_20/det_train.json."""
    root = data / "bdd100k"
    for split, pictures in mine.items():
        (root / "labels/sem_seg/masks" / split).mkdir(parents=True, exist_ok=True)
        for each in pictures:
            copied(each, root / "images/10k" / split)
            assert each.labels is not None
            Image.fromarray(each.labels).save(root / "labels/sem_seg/masks" / split / f"{each.name}.png")
    frames = []
    for each in theirs:
        boxes = [dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True)) for _, corners in each.objects]
        labels = [{"category": label, "box2d": box} for (label, _), box in zip(each.objects, boxes, strict=True)]
        frames.append({"name": copied(each, root / "images/100k/train"), "labels": labels})
    put(root / "labels/det_20/det_train.json", frames)


#: What writes an export, and the sources of target, pool and validation as the guide has them.
EXPORTS: dict[str, tuple[Callable[[Path, dict[str, list[Picture]], list[Picture]], None], tuple[str, str, str]]] = {
    "coco": (coco, ("coco:{}/mine#train", "coco:{}/pool", "coco:{}/mine#val")),
    "yolo": (yolo, ("yolo:{}/mine#train", "yolo:{}/pool", "yolo:{}/mine#val")),
    "cvat": (cvat, ("cvat:{}/mine#train", "cvat:{}/pool", "cvat:{}/mine#val")),
    "label_studio": (
        label_studio,
        ("label_studio:{}/mine#train", "label_studio:{}/pool", "label_studio:{}/mine#val"),
    ),
    "bdd100k": (
        bdd100k,
        (
            "masks:{}/bdd100k#train",
            "bdd100k:{}/bdd100k/labels/det_20/det_train.json?images=../../images/100k",
            "masks:{}/bdd100k#val",
        ),
    ),
}


def commands(run: Path, sources: list[str], asked: argparse.Namespace) -> dict[str, list[str]]:
    """The five commands of the guide; sizes and lengths are those of a toy."""
    mine, theirs, validation = sources
    small = ["--height-px", str(HEIGHT), "--width-px", str(WIDTH), "--epochs", str(asked.epochs)]
    small += ["--strong-batch", "4", "--weak-batch", "4"]
    chosen = ["--methods", "layout_and_diversity+images,random", "--budgets", "25%", "--baselines", "none"]
    judged = ["--proxy", "--seeds", str(asked.seeds), "--validation", validation]
    return {
        "index": ["index", str(run), "--target", f"target={mine}", "--pool", f"pool={theirs}"],
        "embed": ["embed", str(run), "--short-side", "96"],
        "fit": ["fit", str(run), "--components", "4"],
        "score": ["score", str(run)],
        "compare": ["compare", str(run), *chosen, *judged, *small],
    }


def told(name: str, run: Path, sources: list[str], asked: argparse.Namespace) -> bool:
    """Run the commands, and print the export's line; whether all went well."""
    seconds, answers = {}, {}
    before = _processor_seconds()
    for command, words in commands(run, sources, asked).items():
        started = time.perf_counter()
        line = [sys.executable, "-m", "thresher", *words, "--json"]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        seconds[command] = time.perf_counter() - started
        if done.returncode:
            print(f"{name}: thresher {' '.join(words)}: exit code {done.returncode}\n{done.stderr.strip()[-1500:]}")
            return False
        answers[command] = json.loads(done.stdout)
    (index,) = answers["index"]["stages"]
    times = ", ".join(f"{command} {taken:.0f}" for command, taken in seconds.items())
    print(
        f"{name}: {index['masks']} masks, {index['boxes']} boxes, problems {index['problems'] or 'none'}; mIoU ", end=""
    )
    print("; ".join(f"{method} {iou:.3f}" for method, iou in _ious(run).items()))
    all_in_all = f"{sum(seconds.values()):.0f} s, {_processor_seconds() - before:.0f} of one processor"
    print(f"    {times}: {all_in_all}", flush=True)
    return True


def _processor_seconds() -> float:
    """Of all the commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ious(run: Path) -> dict[str, float]:
    """The mIoU of each arm of the comparison, as a mean over its seeds."""
    table = pl.read_parquet(run / "comparisons" / "comparison-proxy" / "summary.parquet")
    return dict(table.filter(pl.col("class").is_null()).select("method", "iou").iter_rows())


def main() -> None:
    """Write the exports, and take each to its comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="*", choices=EXPORTS, default=list(EXPORTS))
    parser.add_argument("--images", type=int, default=60, help="in the pool; half as many in the target")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4)
    asked = parser.parse_args()
    made = asked.folder / f"made-{asked.images}"
    sizes = {
        f"{'target' if split == 'train' else split}_images": round(asked.images * share / 2)
        for split, share in SPLITS.items()
    }
    write_dataset(
        made, SyntheticSettings(pool_images=asked.images, street_share=0.5, width_px=WIDTH, height_px=HEIGHT, **sizes)
    )
    mine, theirs = {split: list(target(made, split)) for split in SPLITS}, list(pool(made))
    well = True
    for name in asked.only:
        data = asked.folder / f"{name}-{asked.images}"
        shutil.rmtree(data, ignore_errors=True)
        write, places = EXPORTS[name]
        write(data, mine, theirs)
        sources = [place.format(data.absolute()) for place in places]
        well &= told(name, data / "run", sources, asked)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
