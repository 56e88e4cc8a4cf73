"""PASCAL Annotation Version 1.00: the text files of the first VOC challenges, still used by Penn-Fudan.

Source: the files of https://www.cis.upenn.edu/~jshi/ped_html/, whose first line names the version.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from thresher.data.dataset import label_text, stated_px

FIRST_LINE = "PASCAL Annotation"
_SIZE = re.compile(r"^Image size \(X x Y x C\)\s*:\s*(\d{1,9})\s*x\s*(\d{1,9})")
_ORIGIN = re.compile(r"Top left pixel co-ordinates\s*:\s*\((\d{1,9}),\s*(\d{1,9})\)")
_BOX = re.compile(
    r'^Bounding box for object \d+ "(?P<label>[^"]*)".*:\s*'
    r"\((?P<x0>[-\d.]+),\s*(?P<y0>[-\d.]+)\)\s*-\s*\((?P<x1>[-\d.]+),\s*(?P<y1>[-\d.]+)\)\s*$"
)


class Line(NamedTuple):
    """A line with a box, and what brings its corners to a count from 1."""

    text: str
    shift_x: int
    shift_y: int


def parsed(text: str) -> tuple[tuple[int, int] | None, list[Line]]:
    """The image's size in pixels, None where it is missing or impossible, and the lines with a box.

    Raises:
        ValueError: the text is no such annotation.
    """
    if FIRST_LINE not in text.partition("\n")[0]:
        raise ValueError(f"the first line does not say '{FIRST_LINE}'")
    size: tuple[int, int] | None = None
    shift_x = shift_y = 0
    lines: list[Line] = []
    for line in text.splitlines():
        if found := _SIZE.search(line):
            size = stated_px(found[1], found[2])
        elif found := _ORIGIN.search(line):
            shift_x, shift_y = 1 - int(found[1]), 1 - int(found[2])
        elif line.startswith("Bounding box"):
            lines.append(Line(line, shift_x, shift_y))
    return size, lines


def object_of(line: Line) -> dict[str, object]:
    """An object's label, and xmin, ymin, xmax, ymax in pixels counted from 1, the last one included, as in VOC's XML.

    Raises:
        ValueError: the line has another form.
    """
    found = _BOX.search(line.text)
    if found is None:
        raise ValueError('expected … object 1 "label" (Xmin, Ymin) - (Xmax, Ymax) : (1, 2) - (3, 4)')
    return {
        "label": label_text(found["label"]),
        "xmin": float(found["x0"]) + line.shift_x,
        "ymin": float(found["y0"]) + line.shift_y,
        "xmax": float(found["x1"]) + line.shift_x,
        "ymax": float(found["y1"]) + line.shift_y,
    }
