"""CVAT: the XML of "CVAT for images 1.1"; the images below the same folder.

Source: https://docs.cvat.ai/docs/manual/advanced/xml_format/: corners in pixels, rotation clockwise in degrees about
the centre.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from thresher.data.dataset import Dataset, label_text, stated_px
from thresher.data.faults import refusing
from thresher.data.findings import Row
from thresher.data.readers import named
from thresher.data.readers.named import Annotated, Marked
from thresher.data.run_lengths import MOST_PX, mask_of, placed
from thresher.errors import DataError

#: Lines, and the joints of a body, which are parts of an object.
_NO_OBJECTS = frozenset({"polyline", "skeleton"})
_FORM = "a box with label, xtl, ytl, xbr, ybr in pixels of the image; or a polygon, an ellipse, a cuboid, a mask"


def read(root: Path, split: str | None, dataset: str, images: str | None = None, later: bool = False) -> Dataset:
    """The images of the XML files at `root`; a rotated box, a polygon, an ellipse and a mask have the box around them.

    `split` picks a subset of CVAT's. The id of an image is its path below `root` without suffix.

    Args:
        later: With the images that are not on disk and whose address is known (`named.as_dataset`).

    Raises:
        DataError: no XML of this form, one of a video, no such subset, no image, or most of it cannot be read.
    """
    findings = named.begun(root, dataset, images)
    found: list[Annotated] = []
    seen: list[str] = []
    for path, _ in named.annotation_files(findings.root, None, ".xml"):
        with refusing(f"{path}: not readable as XML", "Export the file again."):
            tree = ElementTree.fromstring(path.read_bytes())
        if tree.tag != "annotations" or tree.find("track") is not None:
            video = tree.find("track") is not None
            seen.append(f"{path.name} with <{tree.tag}>{' of a video (<track>), which has no images' * video}")
            continue
        parse = partial(_image, path=path)
        found += findings.read("images", tree.iter("image"), parse, named.place_in(path, "image"), "a name")
    findings.judge()
    if not found:
        raise named.unknown_shape(findings.root, seen, "<annotations> with <image>, as 'CVAT for images 1.1' has it")
    chosen = [each for each in found if split in (None, each.split)]
    if not chosen:
        subsets = ", ".join(sorted({each.split or "(none)" for each in found}))
        raise DataError(f"{findings.root}: no images of subset '{split}'. Found {subsets}.")
    return named.as_dataset(chosen, _object, findings, _FORM, others=split is None, later=later)


def _image(element: ElementTree.Element, path: Path) -> Annotated:
    name = element.attrib["name"]
    size = stated_px(element.get("width"), element.get("height"))
    return Annotated(name, [(each, size) for each in element], f"{path.name}: {name}", size, element.get("subset"))


def _object(owned: tuple[ElementTree.Element, tuple[int, int] | None]) -> Row | Marked | None:
    element, size = owned
    outline: Any = None
    if element.tag in _NO_OBJECTS:
        return None
    said, label = element.attrib, label_text(element.attrib["label"])
    if element.tag in ("tag", "points"):
        return Marked(label, element.tag == "points")
    occluded = {"0": False, "1": True}.get(said.get("occluded", ""))
    if element.tag == "box":
        x0, y0, x1, y1 = (float(said[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        corners = named.turned((x0, y0, x1, y1), float(said.get("rotation", 0)), middle)
    elif element.tag == "polygon":
        outline = named.polygon(point.split(",") for point in said["points"].split(";"))
        corners = named.around(point.split(",") for point in said["points"].split(";"))
    elif element.tag == "ellipse":
        x, y, across, down = (float(said[name]) for name in ("cx", "cy", "rx", "ry"))
        degrees = float(said.get("rotation", 0))
        outline = named.ellipse((x, y), (across, down), degrees)
        corners = named.turned((x - across, y - down, x + across, y + down), degrees, (x, y))
    elif element.tag == "mask":
        x0, y0, across, down = (float(said[name]) for name in ("left", "top", "width", "height"))
        corners = (x0, y0, x0 + across, y0 + down)
        outline = _drawn(said, size) if size is not None and "rle" in said else None
    elif element.tag == "cuboid":
        corners = named.around((said[f"x{end}"], said[f"y{end}"]) for end in _CORNERS_OF_CUBOIDS)
    else:
        raise ValueError(f"<{element.tag}> is unknown")
    return named.box(label, corners, outline, is_occluded=occluded)


def _drawn(said: Mapping[str, str], size: tuple[int, int]) -> dict[str, list[int]]:
    """The run lengths of a mask, of which CVAT gives those within its box, along the rows."""
    left, top, across, down = (round(float(said[name])) for name in ("left", "top", "width", "height"))
    if not 0 < across * down <= MOST_PX:
        raise ValueError(f"a mask of {across} × {down} pixels")
    along = mask_of([int(count) for count in said["rle"].split(",")], (across, down))
    return placed(along.T, left, top, (size[1], size[0]))


_CORNERS_OF_CUBOIDS = [f"{corner}{side}" for corner in ("tl", "bl", "tr", "br") for side in (1, 2)]
