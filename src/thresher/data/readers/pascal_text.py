"""PASCAL Annotation Version 1.00: the text files of the first VOC challenges, still used by Penn-Fudan.

Source: the files of https://www.cis.upenn.edu/~jshi/ped_html/, whose first line names the version.
"""

from __future__ import annotations

import re

FIRST_LINE = "PASCAL Annotation"
_SIZE = re.compile(r"^Image size \(X x Y x C\)\s*:\s*(\d+)\s*x\s*(\d+)")
_ORIGIN = re.compile(r"Top left pixel co-ordinates\s*:\s*\((\d+),\s*(\d+)\)")
_BOX = re.compile(
    r'^Bounding box for object \d+ "(?P<label>[^"]*)".*:\s*'
    r"\((?P<x0>[-\d.]+),\s*(?P<y0>[-\d.]+)\)\s*-\s*\((?P<x1>[-\d.]+),\s*(?P<y1>[-\d.]+)\)\s*$"
)


def parsed(text: str) -> tuple[tuple[int, int] | None, list[dict[str, object]], list[str]]:
    """The image's size in pixels, its objects, and a sentence for each line that could not be read.

    Objects have label, and xmin, ymin, xmax, ymax in pixels counted from 1, the last one included, as in VOC's XML.

    Raises:
        ValueError: the text is no such annotation.
    """
    if FIRST_LINE not in text.partition("\n")[0]:
        raise ValueError(f"the first line does not say '{FIRST_LINE}'")
    size: tuple[int, int] | None = None
    shift_x = shift_y = 0
    objects: list[dict[str, object]] = []
    bad: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if found := _SIZE.search(line):
            size = int(found[1]), int(found[2])
        elif found := _ORIGIN.search(line):
            shift_x, shift_y = 1 - int(found[1]), 1 - int(found[2])
        elif line.startswith("Bounding box"):
            try:
                objects.append(_object(line, shift_x, shift_y))
            except ValueError as error:
                bad.append(f"line {number}: {error}")
    return size, objects, bad


def _object(line: str, shift_x: int, shift_y: int) -> dict[str, object]:
    found = _BOX.search(line)
    if found is None:
        raise ValueError(f'expected … object 1 "label" (Xmin, Ymin) - (Xmax, Ymax) : (1, 2) - (3, 4); found {line!r}')
    return {
        "label": found["label"],
        "xmin": float(found["x0"]) + shift_x,
        "ymin": float(found["y0"]) + shift_y,
        "xmax": float(found["x1"]) + shift_x,
        "ymax": float(found["y1"]) + shift_y,
    }
