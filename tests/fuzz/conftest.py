"""A small whole source of every format, and what is done to the files of one: seeded, and by their structure."""

from __future__ import annotations

import copy
import io
import json
import random
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from PIL import Image

#: Values that stand where none was expected.
ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 3_000_000_000, 2**90, -(2**70), 0.5, 1e308, float("nan"), float("inf")),
    *(
        "",
        "0",
        "1",
        "x",
        "0,5",
        "=1+1",
        "\x1b[2J",
        "\ud800",
        "a\x00b",
        "../" * 40,
        "é" * 3000,
        "x" * 140_000,
        "9" * 5000,
    ),
    *([], {}, [[]], [1], [1, 2, 3, 4], ["a"], {"a": 1}, {"id": {}}, [None] * 4, [1e400] * 4),
]
#: The same for formats of words and lines.
TOKENS = [str(each) for each in ODD if not isinstance(each, list | dict)] + ["1e400", "-inf", "4x0", "0x10", "1_0", "٣"]
JPEG = io.BytesIO()
Image.new("RGB", (64, 48), (90, 120, 30)).save(JPEG, "JPEG")
PNG = io.BytesIO()
Image.new("L", (64, 48), 3).save(PNG, "PNG")
PHOTO, MASK = JPEG.getvalue(), PNG.getvalue()

VOC = (
    "<annotation><size><width>64</width><height>48</height></size>"
    + "<object><name>car</name><truncated>0</truncated><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>20</xmax>"
    + "<ymax>30</ymax></bndbox></object>" * 1
    + "<object><name>bus</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>40</xmax><ymax>40</ymax></bndbox></object>"
    + "</annotation>"
)
PASCAL = (
    '# PASCAL Annotation Version 1.00\n\nImage filename : "a.png"\nImage size (X x Y x C) : 64 x 48 x 3\n'
    "# Top left pixel co-ordinates : (1, 1)\n"
    'Bounding box for object 1 "car" (Xmin, Ymin) - (Xmax, Ymax) : (2, 3) - (20, 30)\n'
    'Bounding box for object 2 "bus" (Xmin, Ymin) - (Xmax, Ymax) : (9, 9) - (40, 40)\n'
)
POLYGONS = {
    "imgWidth": 64,
    "imgHeight": 48,
    "objects": [{"label": name, "polygon": [[2, 3], [20, 3], [20, 30]]} for name in ("car", "bus", "persongroup")],
}
OBJECTS = {"bbox": [[1, 2, 11, 22], [5, 6, 7, 8]], "category": ["car", "bus"]}
COCO = {
    "images": [{"id": n, "file_name": f"{n}.jpg", "width": 64, "height": 48} for n in range(3)],
    "annotations": [
        {
            "id": n,
            "image_id": n % 3,
            "category_id": 1,
            "bbox": [1, 2, 11, 22],
            "iscrowd": 0,
            "segmentation": ([[1, 2, 12, 2, 12, 24]], {"size": [48, 64], "counts": [99, 9, 2964]}, [])[n % 3],
            "attributes": {"occluded": 1},
        }
        for n in range(6)
    ],
    "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}],
}
CSV = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
TREE = {"LabelName": "/m/0", "Subcategory": [{"LabelName": "/m/1", "Subcategory": [{"LabelName": "/m/2"}]}], "Part": []}
FRAMES = {f"leftImg8bit/val/ulm/{n}_leftImg8bit.png": PHOTO for n in "ab"}


class Rows(dict[str, Any]):
    """A list of objects that is written as JSON; it is changed as the one value of an object is."""

    def __init__(self, rows: list[Any]) -> None:
        super().__init__(rows=rows)


def named_sources() -> dict[str, dict[str, Any]]:
    """The formats whose files name their images, from named_sources.json."""
    return {form: filled(files) for form, files in json.loads(beside("named_sources.json").read_text()).items()}


def beside(name: str) -> Path:
    """A file of this folder."""
    return Path(__file__).with_name(name)


def filled(files: dict[str, Any]) -> dict[str, Any]:
    """The files of a source as JSON describes them: "PHOTO" and "MASK" there are pictures."""
    found = dict(files)
    for name, content in files.items():
        if isinstance(content, dict) and "rows" in content:
            found[name] = Rows(content["rows"])
        elif isinstance(content, str) and content.startswith("PHOTO"):
            found[name] = PHOTO + content.removeprefix("PHOTO").encode()
        elif content == "MASK":
            found[name] = MASK
    return found


#: Format → file name → its whole content; dicts are written as JSON, a list of members or rows as tar or Parquet.
SOURCES: Mapping[str, Mapping[str, Any]] = {
    **named_sources(),
    "cityscapes": {**FRAMES, **{f"gtFine/val/ulm/{n}_gtFine_labelIds.png": MASK for n in "ab"}},
    "cityscapes_polygons": {**FRAMES, **{f"gtCoarse/val/ulm/{n}_gtCoarse_polygons.json": POLYGONS for n in "ab"}},
    "coco": {"annotations/instances_train.json": COCO, **{f"images/{n}.jpg": PHOTO for n in range(3)}},
    "folder": {"a.jpg": PHOTO, "b/c.png": MASK},
    "kitti": {
        **{f"image_2/{n}.png": PHOTO for n in "ab"},
        **{f"label_2/{n}.txt": "Car 0 1 0 2 3 20 30 1 1 1 1 1 1 0\nVan 0.5 0 0 9 9 40 40\n" for n in "ab"},
    },
    "masks": {
        **{f"images/{n}.jpg": PHOTO for n in "ab"},
        **{f"masks/{n}_mask.png": MASK for n in "ab"},
        "labelmap.txt": "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:3,3,3:door:\n",
        "masks/_classes.csv": "Pixel Value, Class\n0, background\n3, car\n",
        "config_v1.2.json": {"labels": [{"name": "object--car", "readable": "Car"}] * 4},
    },
    "open_images": {
        **{f"images/{n}.jpg": PHOTO for n in "ab"},
        "train-annotations-bbox.csv": CSV
        + "a,x,/m/1,1,.1,.3,.2,.6,0,1,-1,0,0\nb,x,/m/2,1,.1,.3,.2,.6,0,1,-1,0,0\n" * 2,
        "class-descriptions-boxable.csv": "/m/0,Entity\n/m/1,Car\n/m/2,Taxi\n",
        "bbox_labels_600_hierarchy.json": TREE,
    },
    "parquet": {
        "train.parquet": [
            {"image": {"bytes": PHOTO}, "image_id": n, "width": 64, "height": 48, "objects": OBJECTS} for n in "ab"
        ]
    },
    "voc": {
        **{f"JPEGImages/{n}.jpg": PHOTO for n in "abc"},
        **{f"Annotations/{n}.xml": VOC for n in "ab"},
        "Annotations/c.txt": PASCAL,
        "ImageSets/Main/train.txt": "a\nb 1\n",
        "SegmentationClass/a.png": MASK,
    },
    "webdataset": {
        "0.tar": [
            (f"{n}.{e}", c) for n in "ab" for e, c in (("jpg", PHOTO), ("json", {"objects": OBJECTS, "width": 64}))
        ]
    },
    "yolo": {
        **{f"images/{n}.jpg": PHOTO for n in "ab"},
        **{f"labels/{n}.txt": "0 .5 .5 .2 .2\n1 .4 .4 .1 .2 .9\n1 .1 .1 .3 .1 .3 .3\n" for n in "ab"},
        "data.yaml": "path: &p .\ntrain: *p\nnames:\n  0: car\n  1: bus\nkpt_shape: [4, 2]\n",
    },
}


def as_bytes(content: Any) -> bytes:
    """The content of a file as it is written."""
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode("utf-8", "surrogatepass")
    if isinstance(content, Rows):
        return json.dumps(content["rows"] if "rows" in content else dict(content)).encode()
    if isinstance(content, dict):
        return json.dumps(content).encode()
    buffer = io.BytesIO()
    if content and isinstance(content[0], tuple):
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, member in content:
                entry, body = tarfile.TarInfo(name), as_bytes(member)
                entry.size = len(body)
                tar.addfile(entry, io.BytesIO(body))
    else:
        pl.DataFrame(content, strict=False).write_parquet(buffer)
    return buffer.getvalue()


def mutated(content: Any, rng: random.Random) -> bytes:
    """One of many wrong versions of a file."""
    if rng.random() < 0.15 or isinstance(content, bytes):
        return flipped(as_bytes(content), rng)
    if isinstance(content, str):
        return as_bytes(reworded_xml(content, rng) if content.startswith("<") else reworded(content, rng))
    if isinstance(content, dict):
        return as_bytes(changed(content, rng))
    if isinstance(content[0], tuple):
        return of_tar(list(content), rng)
    try:
        return as_bytes([row if rng.random() < 0.5 else changed(row, rng, 8) for row in content])
    except BaseException:  # what no Parquet file can hold; polars panics on some of it
        return flipped(as_bytes(content), rng)


def changed(tree: Any, rng: random.Random, deepest: int = 900) -> Any:
    """A tree of which some nodes are replaced, left out, doubled or given another name."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        parent = rng.choice(_parents(tree))
        keys: list[Any] = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        if not keys:
            continue
        key, what = rng.choice(keys), rng.random()
        if what < 0.75:
            deep = deepest if rng.random() < 0.02 else 0
            parent[key] = nested(deep) if deep else copy.deepcopy(rng.choice(ODD))
            deepest = 0 if deep else deepest  # twice as deep would be too deep to write
        elif what < 0.85:
            del parent[key]
        elif isinstance(parent, list):
            parent.insert(key, parent[key])
        else:
            parent[str(rng.choice(TOKENS))[:50]] = parent.pop(key)
    return tree


def nested(levels: int) -> list[Any]:
    """Lists within lists, deeper than most programs call themselves."""
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


def _parents(tree: Any) -> list[Any]:
    found, waiting = [], [tree]
    while waiting and len(found) < 500:
        node = waiting.pop()
        if isinstance(node, dict | list):
            found.append(node)
            waiting += node.values() if isinstance(node, dict) else node
    return found


def reworded(text: str, rng: random.Random) -> str:
    """A text of which some words are replaced, or some lines left out or doubled."""
    lines = text.split("\n")
    separators = (" ", ",", ":", "\n")
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at, what = rng.randrange(len(lines)), rng.random()
        separator = rng.choice([each for each in separators if each in lines[at]] or [" "])
        words = lines[at].split(separator)
        if what < 0.7:
            words[rng.randrange(len(words))] = rng.choice(TOKENS)
            lines[at] = separator.join(words)
        elif what < 0.8:
            lines[at] = separator.join(words[: rng.randrange(len(words) + 1)])
        elif what < 0.9:
            lines.insert(at, lines[at])
        else:
            lines[at] = lines[at].replace(separator, rng.choice((";", "\t", ", ", "&a *a ", "[[[[{", "\r")))
    return "\n".join(lines)


def reworded_xml(text: str, rng: random.Random) -> str:
    """An XML document with other texts, attributes or names of elements, or elements in other places."""
    root = ElementTree.fromstring(text)
    every = list(root.iter())
    for _ in range(rng.choice((1, 1, 2, 5))):
        one, other, what = rng.choice(every), rng.choice(every), rng.random()
        word = rng.choice(TOKENS).replace("\ud800", "?").replace("\x00", "?").replace("\x1b", "?")
        if what < 0.6 and one.attrib:
            name = rng.choice(sorted(one.attrib))
            one.attrib[name] = word if rng.random() < 0.8 else one.attrib[name][: rng.randrange(9)]
        elif what < 0.6:
            one.text = word
        elif what < 0.7:
            one.tag = other.tag
        elif what < 0.85:
            one.extend([copy.deepcopy(other)])
        else:
            for child in list(one)[: rng.randrange(3)]:
                one.remove(child)
    return ElementTree.tostring(root, "unicode")


def of_tar(members: list[tuple[str, Any]], rng: random.Random) -> bytes:
    """A tar with other members or headers; sums of headers are right."""
    if rng.random() < 0.5:
        at = rng.randrange(len(members))
        name, content = members[at]
        other = rng.choice(TOKENS)[:90].replace("\ud800", "?")
        members[at] = (name if rng.random() < 0.8 else other, mutated(content, rng))
        return as_bytes(members)
    content = bytearray(as_bytes(members))
    start = 512 * rng.randrange(len(content) // 512)
    fields = ((0, 100), (124, 12), (156, 1), (257, 8), (345, 155))
    at, width = rng.choice(fields)
    value = rng.choice(
        (b"\xff" * 12, b"\x80" + b"\xff" * 11, b"77777777777\0", b"x", b"S", b"L", b"g", b"", b"-1", b"9 8")
    )
    content[start + at : start + at + width] = value[:width].ljust(width, b"\0")
    block = content[start : start + 512]
    block[148:156] = b" " * 8
    content[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    return bytes(content)


def flipped(content: bytes, rng: random.Random) -> bytes:
    """Bytes changed, cut off, emptied, or more of them than there were."""
    found, what = bytearray(content), rng.random()
    if what < 0.1 or not found:
        return rng.choice((b"", b"\0" * 600, b"<html>404</html>", "{}".encode("utf-16"), struct.pack(">Q", 2**63)))
    if what < 0.3:
        return bytes(found[: rng.randrange(len(found))])
    for _ in range(rng.choice((1, 3, 30))):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


@pytest.fixture(scope="session")
def sources() -> Mapping[str, Mapping[str, Any]]:
    """The source of each format, and of each way to read one that ways.json tells."""
    ways = json.loads(beside("ways.json").read_text())
    return {**SOURCES, **{way: filled(told["files"]) for way, told in ways.items()}}


@pytest.fixture(scope="session")
def mutant() -> Callable[[Any, random.Random], bytes]:
    return mutated


@pytest.fixture(scope="session")
def written() -> Callable[[Path, Mapping[str, Any]], None]:
    """Writes a whole source into a folder."""

    def write(root: Path, source: Mapping[str, Any]) -> None:
        for name, content in source.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(as_bytes(content))

    return write
