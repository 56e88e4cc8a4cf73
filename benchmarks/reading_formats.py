"""Boxes read per processor second, format by format.

Run:     python benchmarks/reading_formats.py FOLDER [--images 2000] [--only FORMAT …]
Needs:   FOLDER takes 2,000 small files per format and image.
Prints:  a line per format: boxes, processor seconds of all threads, thousands of boxes per second.

The same images of 64 × 48 pixels with eight boxes each are written in every format; each is read once in a process of
its own, with every box checked. Formats of one file per image (voc, yolo, kitti, labelme, oidv4) open as many.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

WIDTH, HEIGHT, BOXES = 64, 48, 8
LABELS = ("car", "bus", "person")
PICTURE = io.BytesIO()
Image.new("RGB", (WIDTH, HEIGHT), "grey").save(PICTURE, "JPEG")
PHOTO = PICTURE.getvalue()

#: Label, then x0, y0, x1, y1 in pixels.
Boxes = list[tuple[str, float, float, float, float]]
Images = dict[str, Boxes]


def made(count: int) -> Images:
    """Names of images and their boxes, the same for the same count."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 40, (count, BOXES, 2)).round(2)
    high = low + rng.uniform(2, 8, (count, BOXES, 2)).round(2)
    labels = rng.integers(0, len(LABELS), (count, BOXES))
    return {
        f"{image:06d}": [
            (LABELS[labels[image, n]], *low[image, n].tolist(), *high[image, n].tolist()) for n in range(BOXES)
        ]
        for image in range(count)
    }


def photos(folder: Path, images: Images, suffix: str = ".jpg") -> None:
    """A picture of each image."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in images:
        (folder / f"{name}{suffix}").write_bytes(PHOTO)


def put(path: Path, content: object) -> None:
    """A file of text, or of JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def bdd100k(root: Path, images: Images) -> None:
    """One JSON of frames."""
    photos(root / "images", images)
    boxes = {
        name: [{"category": a, "box2d": {"x1": x0, "y1": y0, "x2": x1, "y2": y1}} for a, x0, y0, x1, y1 in mine]
        for name, mine in images.items()
    }
    put(root / "labels" / "det_train.json", [{"name": f"{name}.jpg", "labels": boxes[name]} for name in images])


def coco(root: Path, images: Images) -> None:
    """One JSON of images, annotations and categories."""
    photos(root / "images", images)
    listed = [{"id": n, "file_name": f"{name}.jpg", "width": WIDTH, "height": HEIGHT} for n, name in enumerate(images)]
    annotations = [
        {"image_id": n, "category_id": LABELS.index(a), "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0}
        for n, mine in enumerate(images.values())
        for a, x0, y0, x1, y1 in mine
    ]
    categories = [{"id": n, "name": name} for n, name in enumerate(LABELS)]
    content = {"images": listed, "annotations": annotations, "categories": categories}
    put(root / "annotations" / "instances_train.json", content)


def cvat(root: Path, images: Images) -> None:
    """One XML."""
    photos(root / "images", images)
    text = "".join(
        f'<image name="{name}.jpg" width="{WIDTH}" height="{HEIGHT}">'
        + "".join(f'<box label="{a}" xtl="{x0}" ytl="{y0}" xbr="{x1}" ybr="{y1}"/>' for a, x0, y0, x1, y1 in mine)
        + "</image>"
        for name, mine in images.items()
    )
    put(root / "annotations.xml", f"<annotations>{text}</annotations>")


def datumaro(root: Path, images: Images) -> None:
    """One JSON of items."""
    photos(root / "images", images)
    items = [
        {
            "id": name,
            "image": {"path": f"{name}.jpg", "size": [HEIGHT, WIDTH]},
            "annotations": [
                {"type": "bbox", "label_id": LABELS.index(a), "bbox": [x0, y0, x1 - x0, y1 - y0]}
                for a, x0, y0, x1, y1 in mine
            ],
        }
        for name, mine in images.items()
    ]
    labels = {"label": {"labels": [{"name": name} for name in LABELS]}}
    put(root / "annotations" / "train.json", {"categories": labels, "items": items})


def kitti(root: Path, images: Images) -> None:
    """A text per image."""
    photos(root / "image_2", images, ".png")
    for name, mine in images.items():
        lines = [f"{a} 0 0 0 {x0} {y0} {x1} {y1} 1 1 1 1 1 1 0" for a, x0, y0, x1, y1 in mine]
        put(root / "label_2" / f"{name}.txt", "\n".join(lines))


def label_studio(root: Path, images: Images) -> None:
    """One JSON of tasks."""
    photos(root / "images", images)
    tasks = []
    for name, mine in images.items():
        regions = [
            {"x": 100 * x0 / WIDTH, "y": 100 * y0 / HEIGHT, "width": 100 * (x1 - x0) / WIDTH}
            | {"height": 100 * (y1 - y0) / HEIGHT, "rotation": 0, "rectanglelabels": [a]}
            for a, x0, y0, x1, y1 in mine
        ]
        result = [{"id": str(n), "type": "rectanglelabels", "value": value} for n, value in enumerate(regions)]
        tasks.append({"data": {"image": f"/data/upload/1/{name}.jpg"}, "annotations": [{"result": result}]})
    put(root / "tasks.json", tasks)


def labelme(root: Path, images: Images) -> None:
    """A JSON per image."""
    photos(root, images)
    for name, mine in images.items():
        shapes = [{"label": a, "shape_type": "rectangle", "points": [[x0, y0], [x1, y1]]} for a, x0, y0, x1, y1 in mine]
        size = {"imageWidth": WIDTH, "imageHeight": HEIGHT}
        put(root / f"{name}.json", {"imagePath": f"{name}.jpg", **size, "shapes": shapes})


def nuimages(root: Path, images: Images) -> None:
    """Three JSON tables."""
    photos(root / "samples", images)
    data = [
        {"token": name, "filename": f"samples/{name}.jpg", "width": WIDTH, "height": HEIGHT, "is_key_frame": True}
        for name in images
    ]
    boxes = [
        {"token": f"{name}{n}", "sample_data_token": name, "category_token": a, "bbox": corners}
        for name, mine in images.items()
        for n, (a, *corners) in enumerate(mine)
    ]
    tables = {"category": [{"token": name, "name": name} for name in LABELS], "sample_data": data, "object_ann": boxes}
    for table, rows in tables.items():
        put(root / "v1.0-train" / f"{table}.json", rows)


def oidv4(root: Path, images: Images) -> None:
    """A text per image."""
    photos(root / "train" / "Car", images)
    for name, mine in images.items():
        lines = [f"{a} {x0} {y0} {x1} {y1}" for a, x0, y0, x1, y1 in mine]
        put(root / "train" / "Car" / "Label" / f"{name}.txt", "\n".join(lines))


def open_images(root: Path, images: Images) -> None:
    """One CSV."""
    photos(root / "images", images)
    lines = [
        f"{name},xclick,/m/{a},1,{x0 / WIDTH},{x1 / WIDTH},{y0 / HEIGHT},{y1 / HEIGHT},0,0,0,0,0"
        for name, mine in images.items()
        for a, x0, y0, x1, y1 in mine
    ]
    header = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction"
    put(root / "train-annotations-bbox.csv", "\n".join([f"{header},IsInside", *lines]))
    put(root / "class-descriptions-boxable.csv", "".join(f"/m/{name},{name}\n" for name in LABELS))


def objects(mine: Boxes) -> dict[str, list[object]]:
    """The boxes of an image as Hugging Face's data sets have them: [x, y, width, height] in pixels."""
    boxes: list[object] = [[x0, y0, x1 - x0, y1 - y0] for _, x0, y0, x1, y1 in mine]
    return {"bbox": boxes, "category": [label for label, *_ in mine]}


def parquet(root: Path, images: Images) -> None:
    """One Parquet with the pictures."""
    rows = [
        {"image": {"bytes": PHOTO}, "image_id": name, "width": WIDTH, "height": HEIGHT, "objects": objects(mine)}
        for name, mine in images.items()
    ]
    root.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(root / "train.parquet")


def table(root: Path, images: Images) -> None:
    """One CSV of one's own."""
    photos(root / "images", images)
    lines = [f"{name}.jpg,{','.join(map(str, each))}" for name, mine in images.items() for each in mine]
    put(root / "boxes.csv", "\n".join(["image,label,x0,y0,x1,y1", *lines]))


def via(root: Path, images: Images) -> None:
    """One JSON of images."""
    photos(root, images)
    content = {}
    for name, mine in images.items():
        shapes = [
            {"name": "rect", "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "label": a}
            for a, x0, y0, x1, y1 in mine
        ]
        regions = [{"region_attributes": {"class": each.pop("label")}, "shape_attributes": each} for each in shapes]
        content[f"{name}.jpg1"] = {"filename": f"{name}.jpg", "regions": regions}
    put(root / "via.json", {"_via_img_metadata": content})


def voc(root: Path, images: Images) -> None:
    """An XML per image."""
    photos(root / "JPEGImages", images)
    for name, mine in images.items():
        boxes = "".join(
            f"<object><name>{a}</name><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
            "</bndbox></object>"
            for a, x0, y0, x1, y1 in mine
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
        put(root / "Annotations" / f"{name}.xml", f"<annotation>{size}{boxes}</annotation>")


def webdataset(root: Path, images: Images) -> None:
    """One tar with the pictures."""
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / "0.tar", "w") as tar:
        for name, mine in images.items():
            told = json.dumps({"objects": objects(mine), "width": WIDTH, "height": HEIGHT}).encode()
            for suffix, content in (("jpg", PHOTO), ("json", told)):
                entry = tarfile.TarInfo(f"{name}.{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def yolo(root: Path, images: Images) -> None:
    """A text per image."""
    photos(root / "images", images)
    for name, mine in images.items():
        lines = [
            f"{LABELS.index(a)} {(x0 + x1) / 2 / WIDTH} {(y0 + y1) / 2 / HEIGHT} {(x1 - x0) / WIDTH} "
            f"{(y1 - y0) / HEIGHT}"
            for a, x0, y0, x1, y1 in mine
        ]
        put(root / "labels" / f"{name}.txt", "\n".join(lines))
    put(root / "data.yaml", json.dumps({"names": LABELS}))


_WRITERS = (
    *(bdd100k, coco, cvat, datumaro, kitti, label_studio, labelme, nuimages),
    *(oidv4, open_images, parquet, table, via, voc, webdataset, yolo),
)
WRITERS: dict[str, Callable[[Path, Images], None]] = {each.__name__: each for each in _WRITERS}


def one(form: str, root: Path) -> None:
    """Read a source and print what came out, and how long it took."""
    from thresher.data.readers import READERS

    started = time.process_time()
    read = READERS[form](root, None, "d")
    print(json.dumps([read.boxes.height, read.problems.height, time.process_time() - started]))


def main() -> None:
    """Measure the formats that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--only", nargs="*", choices=WRITERS, default=list(WRITERS))
    parser.add_argument("--one", choices=WRITERS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        one(asked.one, asked.folder)
        return
    images = made(asked.images)
    for form in asked.only:
        root = asked.folder / f"{form}_{asked.images}"
        if not root.exists():
            WRITERS[form](root, images)
        command = [sys.executable, __file__, str(root), "--one", form]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        boxes, problems, seconds = json.loads(told.splitlines()[-1])
        assert (boxes, problems) == (asked.images * BOXES, 0), f"{form}: {boxes} boxes, {problems} problems"
        print(f"{form:13s} {boxes:9,} boxes {seconds:7.2f} s {boxes / seconds / 1000:7.1f} thousand per second")


if __name__ == "__main__":
    main()
