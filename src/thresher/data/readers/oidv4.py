"""OIDv4 ToolKit: `[SPLIT/]CLASS/*.jpg` with `CLASS/Label/*.txt`, a line per box: class, left, top, right, bottom.

Source: https://github.com/EscVM/OIDv4_ToolKit, README: corners in pixels; the name of a class may hold spaces.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from thresher.data.dataset import Dataset, annotation_bytes, contents, label_text, visible
from thresher.data.findings import Place, Row
from thresher.data.readers import named
from thresher.data.readers.named import Annotated
from thresher.errors import DataError

_SPLITS = ("train", "validation", "test")
_FORM = "class left top right bottom in pixels of the image"


def read(root: Path, split: str | None, dataset: str, images: str | None = None) -> Dataset:
    """The images of the class folders, each once, with the boxes of all classes in whose folders it lies.

    The tool puts an image into the folder of each class asked for, with the boxes of that class alone. The id of an
    image is its path below `root` without suffix, in the first of these folders: `train/Car/0001eeaf4aed83f9`.

    Raises:
        DataError: no `Label` folder, none of the split, no image, or most of it cannot be read.
    """
    findings = named.begun(root, dataset, images)
    files = visible(sorted(findings.root.rglob("Label/*.txt")), findings.root)
    of_split = [path for path in files if split is None or split in path.relative_to(findings.root).parts]
    if not of_split:
        wanted = f"{split or '[train]'}/CLASS/Label/ID.txt beside CLASS/ID.jpg"
        raise DataError(f"{findings.root}: no label files. Found {contents(findings.root)}; expected {wanted}.")
    first: dict[tuple[str, str, str], str] = {}

    def parse(path: Path) -> Annotated:
        below = path.parent.parent.relative_to(findings.root)
        own = (below / path.stem).as_posix()
        image = path.parent.parent / f"{path.stem}.jpg"
        content = hashlib.sha256(image.read_bytes()).hexdigest() if image.is_file() else ""
        of = next((part for part in below.parts if part in _SPLITS), None)
        lines = [line for line in annotation_bytes(path).decode("utf-8-sig").splitlines() if line.strip()]
        name = first.setdefault((of or "", path.stem, content), own)
        return Annotated(f"{name}.jpg", lines, f"{own} in Label", None, of)

    def place(number: int) -> Place:
        return Place(str(of_split[number]), path=of_split[number])

    found = findings.read("label files", of_split, parse, place, "text in UTF-8", "annotation_unreadable")
    return named.as_dataset(list(found), _object, findings, _FORM, others=False)


def _object(line: str) -> Row | None:
    label, *corners = line.rsplit(maxsplit=4)
    x0, y0, x1, y1 = map(float, corners)
    return named.box(label_text(label), (x0, y0, x1, y1))
