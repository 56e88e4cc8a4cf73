"""YOLO: images/, labels/ and data.yaml, as Ultralytics reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.exports.folders import (
    Images,
    boxes_by_image,
    file_names,
    ordered,
    placed_as,
    readable_labels,
    replaced_folder,
)
from thresher.data.exports.names import refuse_unwritable

#: Readers put `labels` in the place of the last folder called so.
_IMAGES, _LABELS = "images", "labels"


def write_yolo(chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images) -> None:
    """A folder with data.yaml, train.txt, images/ and labels/, for `yolo detect train data=OUT/data.yaml`.

    train.txt lists the images in the order of rank. A class is called what its label is called. A folder `images` or
    `labels` in an image's id is written `images_`, `labels_`. Flags of boxes have no place. The layout has no place for
    paths elsewhere either: with `images` "none" it is complete once the images are put into images/.

    Raises:
        DataError: `out` holds other things, an image is gone, or a name holds a line break.

    Source: https://docs.ultralytics.com/datasets/detect/: class, centre x, centre y, width, height, as shares.
    """
    chosen, boxes = ordered(chosen, boxes)
    labels = readable_labels(boxes, names)
    files = {image_id: yolo_file(file) for image_id, file in named_files(chosen, images).items()}
    refuse_unwritable([*files.values(), *labels.values()], "yolo")
    number = {label: index for index, label in enumerate(labels)}
    held = boxes_by_image(boxes)
    with replaced_folder(out, chosen) as folder:
        placed_as(chosen, files, folder / _IMAGES, images)
        for image_id, file in files.items():
            path = (folder / _LABELS / file).with_suffix(".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(yolo_line(box, number) for box in held.get(image_id, [])), encoding="utf-8")
        listed = "".join(f"./{_IMAGES}/{file}\n" for file in files.values())
        (folder / "train.txt").write_text(listed, encoding="utf-8")
        (folder / "data.yaml").write_text(yolo_yaml(labels), encoding="utf-8")


def named_files(chosen: pl.DataFrame, images: Images) -> dict[str, str]:
    """The file of each image below images/: its id and its suffix, also where none is put there.

    Raises:
        DataError: as `file_names`.
    """
    if images != "none":
        return file_names(chosen, images)
    return {image_id: f"{image_id}{Path(path).suffix}" for image_id, path in chosen["image_id", "path"].iter_rows()}


def yolo_file(file: str) -> str:
    """A file's name without folders called `images` or `labels`.

    >>> yolo_file("set/images/a.jpg"), yolo_file("images.jpg")
    ('set/images_/a.jpg', 'images.jpg')
    """
    *folders, name = file.split("/")
    return "/".join([*(f"{part}_" if part in (_IMAGES, _LABELS) else part for part in folders), name])


def yolo_line(box: Mapping[str, Any], number: Mapping[str, int]) -> str:
    """A line of a label file."""
    x0, y0, x1, y1 = (float(box[name]) for name in ("x0", "y0", "x1", "y1"))
    values = ((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)
    return f"{number[box['label']]} {' '.join(f'{value:.9f}' for value in values)}\n"


def yolo_yaml(labels: Mapping[str, str]) -> str:
    """The content of data.yaml; a JSON text is a YAML text.

    >>> print(yolo_yaml({"/m/1": "Car"}))
    # Images chosen by thresher, best first in train.txt
    path: .
    train: train.txt
    val: train.txt
    names:
      0: "Car"
    <BLANKLINE>
    """
    names = "".join(
        f"\n  {index}: {json.dumps(name, ensure_ascii=False)}" for index, name in enumerate(labels.values())
    )
    head = "# Images chosen by thresher, best first in train.txt\npath: .\ntrain: train.txt\nval: train.txt\n"
    return f"{head}names:{names or ' {}'}\n"
