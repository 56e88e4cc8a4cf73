"""Tasks for Label Studio: the chosen images, with the boxes of the pool to begin from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import polars as pl

from thresher.data.exports.folders import (
    Images,
    boxes_by_image,
    ordered,
    placed,
    readable_labels,
    replaced_folder,
    upright_size,
    write_json,
)
from thresher.data.exports.names import refuse_unwritable

#: By which the reader knows boxes of a pool from a network's guesses.
MODEL = "thresher"


def write_label_studio(
    chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images
) -> None:
    """A folder with tasks.json to import, label_config.xml for the project, and images/ for its local storage.

    Tasks stand in the order of rank, and carry image_id, rank, score and why. Boxes are predictions, which Label Studio
    shows for correction. Images are named below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=OUT; with `images` "none" below
    the root of the file system.

    Raises:
        DataError: `out` holds other things, an image is gone, its size is neither known nor readable, or a name holds a
            line break.

    Source: https://labelstud.io/guide/predictions, https://labelstud.io/guide/storage#Local-storage
    """
    chosen, boxes = ordered(chosen, boxes)
    labels = readable_labels(boxes, names)
    refuse_unwritable([*chosen["image_id"], *labels.values()], "label_studio")
    held = boxes_by_image(boxes)
    with replaced_folder(out, chosen) as folder:
        files = placed(chosen, folder / "images", images)
        if images != "none":
            files = {image_id: f"images/{file}" for image_id, file in files.items()}
        rows = chosen.iter_rows(named=True)
        tasks = [_task(row, held.get(row["image_id"], []), labels, files[row["image_id"]]) for row in rows]
        write_json(tasks, folder / "tasks.json")
        (folder / "label_config.xml").write_text(label_config(labels.values()), encoding="utf-8")


def label_config(labels: Any) -> str:
    """The labelling interface: rectangles of these labels on the image of a task.

    >>> print(label_config(["a & b"]))
    <View>
      <Image name="image" value="$image" />
      <RectangleLabels name="label" toName="image">
        <Label value="a &amp; b" />
      </RectangleLabels>
    </View>
    <BLANKLINE>
    """
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", {"name": "image", "value": "$image"})
    every = ElementTree.SubElement(view, "RectangleLabels", {"name": "label", "toName": "image"})
    for label in labels:
        ElementTree.SubElement(every, "Label", {"value": label})
    ElementTree.indent(view)
    return ElementTree.tostring(view, "unicode") + "\n"


def _task(row: Mapping[str, Any], boxes: list[dict[str, Any]], labels: Mapping[str, str], file: str) -> dict[str, Any]:
    width, height = upright_size(row)
    regions = [
        {
            "id": str(number),
            "type": "rectanglelabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": _value(box, labels[box["label"]]),
        }
        for number, box in enumerate(boxes)
    ]
    said = {"image_id": row["image_id"], "rank": row["rank"], "score": row["score"], "why": row["why_text"]}
    data = {"image": f"/data/local-files/?d={quote(file.lstrip('/'))}", **said}
    return {"data": data, "predictions": [{"model_version": MODEL, "result": regions}]}


def _value(box: Mapping[str, Any], label: str) -> dict[str, Any]:
    x0, y0, x1, y1 = (round(100 * float(box[name]), 7) for name in ("x0", "y0", "x1", "y1"))
    return {"x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0, "rotation": 0, "rectanglelabels": [label]}
