"""PASCAL VOC: an XML file (or a version 1.00 text file) per image in `Annotations/`, the images in a folder beside it.

Source: VOC2012 development kit, devkit_doc.pdf: xmin … ymax are pixels counted from 1, the last one included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from thresher.data.dataset import (
    Dataset,
    Entry,
    annotation_bytes,
    contents,
    existing_folder,
    image_files,
    source_id_of,
    visible,
)
from thresher.data.findings import Findings, Place, Row
from thresher.data.readers import pascal_text, voc_xml
from thresher.data.readers.named_files import home_of
from thresher.data.readers.voc_masks import drawings_of
from thresher.errors import DataError

ANNOTATION_FOLDERS = ("annotations", "annotation")
#: Folders of label images, whose names match the annotations just as those of the photos do.
NOT_PHOTOS = ("mask", "segmentation", "label", "annot", "depth")


@dataclass(frozen=True)
class _Annotation:
    """One file: the size it states, and its objects in pixels."""

    path: Path
    size: tuple[int, int] | None = None
    objects: list[Row] = field(default_factory=list)


def read(root: Path, split: str | None, dataset: str, images: str | None = None) -> Dataset:
    """Images and the boxes of the annotation of the same name; a file's own `<filename>` is often wrong and not used.

    `split` names a list `ImageSets/Main/SPLIT.txt`. The id of an image is its path below the image folder without
    suffix: `2007_000027`. Of the subfolders, the one whose files match most annotations is the image folder.

    Label images in `SegmentationClass` become masks.

    Raises:
        DataError: no annotations, no images that belong to them, no such list, or most of them cannot be read.
    """
    existing_folder(root, "with Annotations and JPEGImages")
    findings = Findings(root, dataset)
    home, files = _annotation_files(root)
    photos = _photos(root, home, set(files)) if images is None else _of_folder(home_of(root, images))
    listed = None if split is None else _listed(root, split)
    if listed is not None:
        photos = [(key, path) for key, path in photos if key in listed]
        files = {key: path for key, path in files.items() if key in listed}
    annotations = _annotations(files, dict(photos), findings)

    table = findings.images(_entries(photos, annotations, split, findings))
    _note_missing(photos, annotations, listed or set(), home, findings)
    sizes = {row[0]: row[1:] for row in table.select("image_id", "width_px", "height_px").iter_rows()}
    rows: list[Row] = []
    for key, annotation in annotations.items():
        image_id = findings.id_of(key)
        if image_id in sizes:
            rows += [_box(image_id, each, *sizes[image_id]) for each in annotation.objects]
    masks = drawings_of(root, {key: findings.id_of(key) for key, _ in photos if findings.id_of(key) in sizes})
    return findings.data(table, rows, unit="xmin, ymin, xmax, ymax in pixels of the image", drawings=masks)


def _annotation_files(root: Path) -> tuple[Path, dict[str, Path]]:
    """The folder of the annotations, and each file by its path below it without suffix; XML before text."""
    homes = [child for child in sorted(root.iterdir()) if child.is_dir() and child.name.lower() in ANNOTATION_FOLDERS]
    # Oxford Pets keeps them in a folder of their own, beside trimaps and lists.
    for home in (child / "xmls" if (child / "xmls").is_dir() else child for child in homes):
        found = visible([*sorted(home.rglob("*.txt")), *sorted(home.rglob("*.xml"))], root)
        if found:
            return home, {source_id_of(path, home): path for path in found}
    beside_images = visible(sorted(root.glob("*.xml")), root)
    if beside_images:
        return root, {path.stem: path for path in beside_images}
    raise DataError(
        f"{root}: no annotations. Found {contents(root)}; expected Annotations/*.xml, or Annotation/*.txt of PASCAL "
        "version 1.00, and a folder of images beside it. Give the folder that holds them (VOCdevkit/VOC2007)."
    )


def _photos(root: Path, home: Path, keys: set[str]) -> list[tuple[str, Path]]:
    """The images of the folder that most annotations name, each with its path below it without suffix."""
    folders = {child: image_files(child) for child in sorted(root.iterdir()) if child.is_dir() and child.name[0] != "."}
    folders[root] = [path for path in image_files(root) if path.parent == root] if home == root else []
    keyed = {folder: [(source_id_of(path, folder), path) for path in paths] for folder, paths in folders.items()}
    matches = {folder: len({key for key, _ in found} & keys) for folder, found in keyed.items()}
    best = max(
        matches, key=lambda folder: (matches[folder], not any(word in folder.name.lower() for word in NOT_PHOTOS))
    )
    if matches[best] == 0:
        raise DataError(
            f"{root}: no image has the name of an annotation ({len(keys)} in {home.name}, first: {min(keys)}). "
            f"Found {contents(root)}; expected a folder such as JPEGImages/ with images of the same names."
        )
    return keyed[best]


def _of_folder(folder: Path) -> list[tuple[str, Path]]:
    return [(source_id_of(path, folder), path) for path in image_files(folder)]


def _listed(root: Path, split: str) -> set[str]:
    folder = root / "ImageSets" / "Main"
    path = folder / f"{split}.txt"
    if not path.is_file():
        found = contents(folder) if folder.is_dir() else contents(root)
        raise DataError(f"{path}: no such list of images. Found {found}; expected ImageSets/Main/SPLIT.txt.")
    # Lists of one class have a second column: 1 has it, -1 has it not, 0 is difficult.
    return {line.split()[0] for line in path.read_text("utf-8", "replace").splitlines() if line.strip()}


def _annotations(files: dict[str, Path], photos: dict[str, Path], findings: Findings) -> dict[str, _Annotation]:
    """The annotation of each key; one that cannot be read is listed, and empty."""
    keys = list(files)

    def file_at(number: int) -> Place:
        key = keys[number]
        return Place(str(files[key]), findings.id_of(key), photos.get(key))

    found = {key: _Annotation(path) for key, path in files.items()}
    form = "XML, or PASCAL version 1.00; the image stays, without boxes"
    for key, path, size, items in findings.read(
        "annotation files", files.items(), _parsed, file_at, form, "annotation_unreadable"
    ):
        where = partial(_object_at, path.name, findings.id_of(key), photos.get(key))
        parse = pascal_text.object_of if path.suffix.lower() != ".xml" else voc_xml.object_of
        objects = findings.read("objects", items, parse, where, "a name and a box of four corners in pixels")
        found[key] = _Annotation(path, size, list(objects))
    return found


def _parsed(named: tuple[str, Path]) -> tuple[str, Path, tuple[int, int] | None, list[Any]]:
    key, path = named
    content = annotation_bytes(path)
    if path.suffix.lower() == ".xml":
        return key, path, *voc_xml.parsed(content)
    return key, path, *pascal_text.parsed(content.decode("utf-8"))


def _object_at(file: str, image_id: str, image: Path | None, number: int) -> Place:
    return Place(f"{file} object {number + 1}", image_id, image)


def _entries(
    photos: list[tuple[str, Path]], annotations: dict[str, _Annotation], split: str | None, findings: Findings
) -> list[Entry]:
    """The images with the sizes that their boxes need; one whose size cannot be known is listed."""
    entries: list[Entry] = []
    for key, path in photos:
        annotation = annotations.get(key)
        size = annotation.size if annotation else None
        if annotation and annotation.objects and size is None:
            size = findings.size_of(path, findings.id_of(key), len(annotation.objects))
            if size is None:
                continue
        entries.append((key, path, split, *(size or (None, None))))
    return entries


def _note_missing(
    photos: list[tuple[str, Path]],
    annotations: dict[str, _Annotation],
    listed: set[str],
    home: Path,
    findings: Findings,
) -> None:
    """List each image without annotation, and each annotation or line of a list without image."""
    on_disk = dict(photos)
    for key, path in on_disk.items():
        if key not in annotations:
            findings.note("annotation_missing", f"no annotation of that name in {home}", findings.id_of(key), path)
    for key in sorted((set(annotations) | listed) - set(on_disk)):
        annotation = annotations.get(key)
        detail = f"no image for {annotation.path}" if annotation else "listed, but there is no image of that name"
        detail += f"; {len(annotation.objects) if annotation else 0} boxes were left out with it"
        findings.note("image_missing", detail, findings.id_of(key))


def _box(image_id: str, parsed: dict[str, object], width: int, height: int) -> dict[str, object]:
    corners = {name: float(str(parsed[name])) for name in ("xmin", "ymin", "xmax", "ymax")}
    return {
        "image_id": image_id,
        "label": parsed["label"],
        # Pixel 1 begins at 0 and the last one, counted in, ends at its number.
        "x0": (corners["xmin"] - 1) / width,
        "y0": (corners["ymin"] - 1) / height,
        "x1": corners["xmax"] / width,
        "y1": corners["ymax"] / height,
        "is_truncated": parsed.get("is_truncated"),
        "is_occluded": parsed.get("is_occluded"),
    }
