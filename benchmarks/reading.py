"""Seconds to read a COCO file: against `orjson.loads` of it alone, and against datumaro and supervision.

Run:     python benchmarks/reading.py FOLDER [--beside DIR] [--only OTHER …] [--rounds 3] [--quick] [--json FILE]
Needs:   nothing for ours; `pip install --target DIR orjson datumaro supervision` for the others, which are then found
         in DIR. FOLDER takes 500 MB and 140,000 empty image files. --quick: a tenth.
Prints:  a line per measurement: median processor seconds of all threads, and the ratio to what it is compared with.

Each measurement is a process of its own. The files are of the size of COCO train2017 (118,287 images, 860,001 boxes),
and of 20,000 images with 160,000 boxes. Ours gives the tables of images and boxes, with every box checked.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SIZES = {"train2017": (118_287, 860_001), "smaller": (20_000, 160_000)}
#: What each is compared with: (size, the other); below 1 is faster than it, but for orjson, which parses alone.
PAIRS = (("train2017", "orjson"), ("smaller", "datumaro"), ("smaller", "supervision"))


def write(folder: Path, images: int, boxes: int) -> None:
    """A set of empty image files and their annotations, as COCO's tools lay it out; what is there stays."""
    if (folder / "annotations" / "instances_train.json").exists():
        return
    rng = np.random.default_rng(0)
    (folder / "images" / "train").mkdir(parents=True, exist_ok=True)
    names = [f"{number:012}.jpg" for number in range(images)]
    for name in names:
        (folder / "images" / "train" / name).touch()
    corners = rng.uniform(0, 300, (boxes, 2)).round(2)
    sizes = rng.uniform(5, 170, (boxes, 2)).round(2)
    owners, categories = rng.integers(0, images, boxes), rng.integers(1, 81, boxes)
    content = {
        "images": [{"id": n, "file_name": name, "width": 640, "height": 480} for n, name in enumerate(names)],
        "annotations": [
            {
                "id": n,
                "image_id": int(owners[n]),
                "category_id": int(categories[n]),
                "bbox": [*corners[n].tolist(), *sizes[n].tolist()],
                "area": float(sizes[n].prod()),
                "iscrowd": 0,
            }
            for n in range(boxes)
        ],
        "categories": [{"id": n, "name": f"class {n}"} for n in range(1, 81)],
    }
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_train.json").write_text(json.dumps(content))


def measured(what: str, folder: Path) -> tuple[float, int]:
    """Processor seconds, and how many boxes came out."""
    file = folder / "annotations" / "instances_train.json"
    if what == "thresher":
        from thresher.data.readers import coco

        started = time.process_time()
        boxes = coco.read(folder, "train", "set").boxes.height
    elif what == "orjson":
        import orjson

        started = time.process_time()
        boxes = len(orjson.loads(file.read_bytes())["annotations"])
    elif what == "datumaro":
        from datumaro import Dataset

        started = time.process_time()
        # It looks for images in images/SPLIT, and opens none of them.
        logging.disable(logging.WARNING)  # a line for each annotation without a segmentation
        boxes = sum(len(item.annotations) for item in Dataset.import_from(str(folder), "coco_instances"))
    else:
        import supervision

        started = time.process_time()
        found = supervision.DetectionDataset.from_coco(str(folder / "images" / "train"), str(file))
        boxes = sum(len(each) for each in found.annotations.values())
    return time.process_time() - started, boxes


def main() -> None:
    """Measure what the command line asks for, in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--beside", default="")
    others = [other for _, other in PAIRS]
    parser.add_argument("--only", nargs="+", choices=others, default=others, help="what ours is compared with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        sys.path += [asked.beside] if asked.beside else []
        print(json.dumps(measured(asked.one[0], Path(asked.one[1]))))
        return
    share = 10 if asked.quick else 1
    told = {}
    pairs = [pair for pair in PAIRS if pair[1] in asked.only]
    for size in dict.fromkeys(size for size, _ in pairs):
        images, boxes = SIZES[size]
        write(asked.folder / size, images // share, boxes // share)
    for size, other in pairs:
        seconds: dict[str, list[float]] = {"thresher": [], other: []}
        for _ in range(asked.rounds):
            for what, taken in seconds.items():
                command = [sys.executable, __file__, str(asked.folder), "--one", what, str(asked.folder / size)]
                done = subprocess.run([*command, "--beside", asked.beside], capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"{what}: {done.stderr.strip().splitlines()[-1]}")
                    continue
                took, found = json.loads(done.stdout.splitlines()[-1])
                if found != SIZES[size][1] // share:
                    print(f"{what}: {found} boxes of {SIZES[size][1] // share}")
                taken.append(took)
        medians = {what: statistics.median(each) for what, each in seconds.items() if each}
        if len(medians) == 2:
            told[f"{size} / {other}"] = medians | {"ratio": medians["thresher"] / medians[other]}
            print(f"{size}: thresher {medians['thresher']:.2f} s, {other} {medians[other]:.2f} s, ratio ", end="")
            print(f"{medians['thresher'] / medians[other]:.2f}")
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
