"""XML for other tools: PASCAL VOC, and CVAT's "CVAT for images 1.1"."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl

from thresher.data.exports.folders import (
    Images,
    boxes_by_image,
    ordered,
    placed_as,
    readable_labels,
    replaced_folder,
    upright_size,
)
from thresher.data.exports.names import refuse_unwritable
from thresher.data.exports.yolo import named_files

_DIGITS = 4


def write_voc(chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images) -> None:
    """A folder with Annotations/, JPEGImages/ and ImageSets/Main/train.txt, which lists the images in order of rank.

    An object is called what its label is called; corners are pixels counted from 1, with up to four decimals, and a box
    thinner than a pixel is widened to whole ones. With `images` "none" it is complete once the images are put into
    JPEGImages/.

    Raises:
        DataError: `out` holds other things, an image is gone, its size is neither known nor readable, or a name holds a
            line break.

    Source: VOC2012 development kit, devkit_doc.pdf.
    """
    chosen, boxes = ordered(chosen, boxes)
    labels, files = readable_labels(boxes, names), named_files(chosen, images)
    refuse_unwritable([*files.values(), *labels.values()], "voc")
    held = boxes_by_image(boxes)
    with replaced_folder(out, chosen) as folder:
        placed_as(chosen, files, folder / "JPEGImages", images)
        for row in chosen.iter_rows(named=True):
            file = files[row["image_id"]]
            path = folder / "Annotations" / f"{row['image_id']}.xml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_written(voc_annotation(row, held.get(row["image_id"], []), labels, file)))
        listed = folder / "ImageSets" / "Main" / "train.txt"
        listed.parent.mkdir(parents=True)
        listed.write_text("".join(f"{image_id}\n" for image_id in files), encoding="utf-8")


def voc_annotation(
    row: Mapping[str, Any], boxes: list[dict[str, Any]], labels: Mapping[str, str], file: str
) -> ElementTree.Element:
    """The annotation of one image."""
    width, height = upright_size(row)
    top = ElementTree.Element("annotation")
    _texts(top, {"folder": "JPEGImages", "filename": file})
    _texts(ElementTree.SubElement(top, "source"), {"database": "thresher"})
    _texts(ElementTree.SubElement(top, "size"), {"width": width, "height": height, "depth": 3})
    for box in boxes:
        item = ElementTree.SubElement(top, "object")
        flags = {name: _flag(box[f"is_{name}"]) for name in ("truncated", "occluded")}
        _texts(item, {"name": labels[box["label"]], "pose": "Unspecified", **flags, "difficult": 0})
        (x0, x1), (y0, y1) = _counted(box["x0"], box["x1"], width), _counted(box["y0"], box["y1"], height)
        _texts(ElementTree.SubElement(item, "bndbox"), {"xmin": x0, "ymin": y0, "xmax": x1, "ymax": y1})
    return top


def _counted(low: float, high: float, pixels: int) -> tuple[float, float]:
    """Two corners as pixels counted from 1, the last one included."""
    first, last = round(low * pixels + 1, _DIGITS), round(high * pixels, _DIGITS)
    return (first, last) if first <= last else (math.floor(low * pixels) + 1, math.ceil(high * pixels))


def _flag(value: bool | None) -> str:
    return "Unspecified" if value is None else str(int(value))


def write_cvat(chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images) -> None:
    """A folder with images/, to make a task of, and annotations.xml, to upload to it as "CVAT 1.1".

    Images stand in the order of rank. Rank, score and why have no place in CVAT. With `images` "none", names are those
    that the files would have below images/.

    Raises:
        DataError: as `write_voc`.

    Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/
    """
    chosen, boxes = ordered(chosen, boxes)
    labels, files = readable_labels(boxes, names), named_files(chosen, images)
    refuse_unwritable([*files.values(), *labels.values()], "cvat")
    held = boxes_by_image(boxes)
    top = ElementTree.Element("annotations")
    _texts(top, {"version": "1.1"})
    task = ElementTree.SubElement(ElementTree.SubElement(top, "meta"), "task")
    _texts(task, {"name": "thresher", "size": chosen.height})
    every = ElementTree.SubElement(task, "labels")
    for label in labels.values():
        _texts(ElementTree.SubElement(every, "label"), {"name": label, "type": "rectangle"})
    for number, row in enumerate(chosen.iter_rows(named=True)):
        width, height = upright_size(row)
        said = {"id": number, "name": files[row["image_id"]], "width": width, "height": height}
        image = ElementTree.SubElement(top, "image", {key: str(value) for key, value in said.items()})
        for box in held.get(row["image_id"], []):
            ElementTree.SubElement(image, "box", _cvat_box(box, labels, width, height))
    with replaced_folder(out, chosen) as folder:
        placed_as(chosen, files, folder / "images", images)
        (folder / "annotations.xml").write_bytes(_written(top))


def _cvat_box(box: Mapping[str, Any], labels: Mapping[str, str], width: int, height: int) -> dict[str, str]:
    corners = {"xtl": box["x0"] * width, "ytl": box["y0"] * height, "xbr": box["x1"] * width, "ybr": box["y1"] * height}
    pixels = {name: str(round(value, _DIGITS)) for name, value in corners.items()}
    # CVAT knows no "unknown".
    occluded = str(int(bool(box["is_occluded"])))
    return {"label": labels[box["label"]], "source": "file", "occluded": occluded, **pixels, "z_order": "0"}


def _texts(parent: ElementTree.Element, texts: Mapping[str, object]) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)


def _written(top: ElementTree.Element) -> bytes:
    ElementTree.indent(top)
    return bytes(ElementTree.tostring(top, "utf-8", xml_declaration=True)) + b"\n"
