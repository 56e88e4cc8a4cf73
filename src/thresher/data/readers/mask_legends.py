"""What the values or colours of label images mean, as tools write it beside them.

Sources: labelmap.txt of CVAT and Datumaro (https://docs.cvat.ai, "Segmentation mask"); _classes.csv of Roboflow's
"Semantic Segmentation Masks"; objectInfo150.txt of ADE20K (SceneParsing); config*.json of Mapillary Vistas;
classes.csv of our own `export-labels --format masks`; class_dict.csv of name, red, green and blue; VOC's
devkit_doc.pdf; helpers/anue_labels.py of AutoNUE (IDD).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from thresher.data.dataset import annotation_bytes
from thresher.data.faults import refusing

_VOID = 255


@dataclass(frozen=True)
class Legend:
    """The label of each value, or of each colour as red · 65,536 + green · 256 + blue."""

    labels: Mapping[int, str]
    by_colour: bool = False
    named_by: str = ""


VOC = Legend(
    {
        **dict(
            enumerate(
                (
                    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
                    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
                    *("train", "tvmonitor"),
                )
            )
        ),
        _VOID: "void",
    },
    named_by="VOC's classes",
)
#: Classes that share a level-3 id are joined by a slash: the first of them that means something counts.
IDD_LEVEL_3 = Legend(
    {
        **dict(
            enumerate(
                (
                    *("road", "parking/drivable fallback", "sidewalk", "rail track/non-drivable fallback"),
                    *("person", "rider", "motorcycle", "bicycle", "autorickshaw", "car", "truck", "bus"),
                    *("vehicle fallback/caravan/trailer", "curb", "wall", "fence", "guard rail", "billboard"),
                    *("traffic sign", "traffic light", "pole", "obs-str-bar-fallback", "building", "bridge/tunnel"),
                    *("vegetation", "sky"),
                )
            )
        ),
        _VOID: "void",
    },
    named_by="IDD's level-3 ids",
)


def legend_in(*folders: Path) -> Legend | None:
    """The first legend found in the folders; None without one.

    Raises:
        DataError: a file of such a name is of another form.
    """
    for folder in folders:
        for pattern, read in LEGENDS.items():
            for path in sorted(folder.glob(pattern)):
                with refusing(f"{path}: not readable as the names of mask values", "Correct or remove it."):
                    labels, by_colour = read(annotation_bytes(path).decode("utf-8-sig"))
                    if labels:
                        return Legend(labels, by_colour, path.name)
    return None


def _cvat(text: str) -> tuple[dict[int, str], bool]:
    """Lines `name:red,green,blue:parts:actions`."""
    labels = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, colour, *_ = line.rsplit(":", 3)
            labels[_colour(colour.split(","))] = name.strip()
    return labels, True


def _colour(channels: list[str]) -> int:
    red, green, blue = map(int, channels)
    if not all(0 <= channel <= 255 for channel in (red, green, blue)):
        raise ValueError(f"colour {red}, {green}, {blue}; expected 0 to 255 each")
    return red << 16 | green << 8 | blue


def _csv(text: str) -> tuple[dict[int, str], bool]:
    """Rows of value and name, or of name, red, green and blue, as the header says; other headers give none."""
    header, *rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if len(row) > 1] or [[]]
    columns = [cell.casefold() for cell in header]
    if columns[:1] == ["name"] and len(columns) >= 4:
        return {_colour(row[1:4]): row[0] for row in rows}, True
    if columns[:1] and columns[0] in ("pixel value", "value", "id"):
        return {_value(row[0]): row[1] for row in rows} | {_VOID: "void"}, False
    return {}, False


def _value(text: str) -> int:
    number = int(text)
    if not 0 <= number < 65_536:
        raise ValueError(f"value {number}; expected 0 to 65,535")
    return number


def _ade20k(text: str) -> tuple[dict[int, str], bool]:
    """Rows of tabs: number, share, images of each split, whether it is stuff, names. 0 is what is none of them."""
    rows = [line.split("\t") for line in text.splitlines()[1:] if line.strip()]
    return {0: "void"} | {_value(row[0]): row[-1].strip() for row in rows}, False


def _vistas(text: str) -> tuple[dict[int, str], bool]:
    """The labels in their order, by the names that people read. Other JSON gives none."""
    content = json.loads(text)
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, list) or not all(isinstance(each, dict) and "readable" in each for each in labels):
        return {}, False
    return {place: str(each["readable"]) for place, each in enumerate(labels)}, False


#: Name of a file, as a pattern → what reads it.
LEGENDS: Mapping[str, Callable[[str], tuple[dict[int, str], bool]]] = {
    "labelmap.txt": _cvat,
    "_classes.csv": _csv,
    "classes.csv": _csv,
    "class_dict.csv": _csv,
    "objectInfo150.txt": _ade20k,
    "config*.json": _vistas,
}
