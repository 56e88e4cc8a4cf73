"""PASCAL VOC: an XML file (or a version 1.00 text file) per image in `Annotations/`, the images in a folder beside it.

Source: VOC2012 development kit, devkit_doc.pdf: xmin … ymax are pixels counted from 1, the last one included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from thresher.data.boxes import clean_boxes
from thresher.data.dataset import (
    Dataset,
    contents,
    existing_folder,
    image_files,
    images_table,
    problem,
    qualified_id,
    size_px,
    source_id_of,
)
from thresher.data.readers import pascal_text, voc_xml
from thresher.errors import DataError
from thresher.tables import BOXES, PROBLEMS, from_rows

ANNOTATION_FOLDERS = ("annotations", "annotation")
#: Folders of label images, whose names match the annotations just as those of the photos do.
NOT_PHOTOS = ("mask", "segmentation", "label", "annot", "depth")

Entry = tuple[str, Path, str | None, int | None, int | None]


@dataclass(frozen=True)
class _Annotation:
    """One file: the size it states, its objects in pixels, and (problem, detail) for what could not be read."""

    path: Path
    size: tuple[int, int] | None = None
    objects: list[dict[str, object]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def read(root: Path, split: str | None, dataset: str) -> Dataset:
    """Images and the boxes of the annotation of the same name; a file's own `<filename>` is often wrong and not used.

    `split` names a list `ImageSets/Main/SPLIT.txt`. The id of an image is its path below the image folder without
    suffix: `2007_000027`. Of the subfolders, the one whose files match most annotations is the image folder.

    Raises:
        DataError: no annotations, no images that belong to them, or no such list.
    """
    existing_folder(root, "with Annotations and JPEGImages")
    home, files = _annotation_files(root)
    photos = _photos(root, home, set(files))
    listed = None if split is None else _listed(root, split)
    if listed is not None:
        photos = [(key, path) for key, path in photos if key in listed]
        files = {key: path for key, path in files.items() if key in listed}
    annotations = {key: _annotation(path) for key, path in files.items()}

    entries, problems = _entries(photos, annotations, split, dataset)
    images, left_out = images_table(entries, dataset)
    problems += left_out + _missing(photos, annotations, listed or set(), home, dataset)
    sizes = {row[0]: row[1:] for row in images.select("image_id", "path", "width_px", "height_px").iter_rows()}
    rows: list[dict[str, object]] = []
    for key, annotation in annotations.items():
        image_id = qualified_id(dataset, key)
        if image_id in sizes:
            path, width, height = sizes[image_id]
            problems += [problem(word, detail, image_id, path) for word, detail in annotation.problems]
            rows += [_box(image_id, each, width, height) for each in annotation.objects]
    boxes, bad_boxes = clean_boxes(from_rows(rows, BOXES), images)
    return Dataset(images, boxes, problems=from_rows(problems, PROBLEMS).vstack(bad_boxes)).checked(str(root))


def _annotation_files(root: Path) -> tuple[Path, dict[str, Path]]:
    """The folder of the annotations, and each file by its path below it without suffix; XML before text."""
    homes = [child for child in sorted(root.iterdir()) if child.is_dir() and child.name.lower() in ANNOTATION_FOLDERS]
    for home in homes:
        found = sorted(home.rglob("*.txt")) + sorted(home.rglob("*.xml"))
        if found:
            return home, {source_id_of(path, home): path for path in found}
    beside_images = sorted(root.glob("*.xml"))
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


def _listed(root: Path, split: str) -> set[str]:
    folder = root / "ImageSets" / "Main"
    path = folder / f"{split}.txt"
    if not path.is_file():
        found = contents(folder) if folder.is_dir() else contents(root)
        raise DataError(f"{path}: no such list of images. Found {found}; expected ImageSets/Main/SPLIT.txt.")
    # Lists of one class have a second column: 1 has it, -1 has it not, 0 is difficult.
    return {line.split()[0] for line in path.read_text("utf-8", "replace").splitlines() if line.strip()}


def _annotation(path: Path) -> _Annotation:
    try:
        if path.suffix.lower() == ".xml":
            size, objects, bad = voc_xml.parsed(path.read_bytes())
        else:
            size, objects, bad = pascal_text.parsed(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        detail = f"{path}: {error}; the image stays, without boxes"
        return _Annotation(path, problems=[("annotation_unreadable", detail)])
    return _Annotation(path, size, objects, [("annotation_malformed", f"{path.name}: {each}") for each in bad])


def _entries(
    photos: list[tuple[str, Path]], annotations: dict[str, _Annotation], split: str | None, dataset: str
) -> tuple[list[Entry], list[dict[str, object]]]:
    """The images with the sizes that their boxes need, and a problem for each whose size cannot be known."""
    entries: list[Entry] = []
    problems: list[dict[str, object]] = []
    for key, path in photos:
        annotation = annotations.get(key)
        size = annotation.size if annotation else None
        if annotation and annotation.objects and size is None:
            try:
                size = size_px(path)
            except DataError as error:
                detail = f"{error}; {len(annotation.objects)} boxes were left out with it"
                problems.append(problem("image_unreadable", detail, qualified_id(dataset, key), path))
                continue
        width, height = size or (None, None)
        entries.append((key, path, split, width, height))
    return entries, problems


def _missing(
    photos: list[tuple[str, Path]],
    annotations: dict[str, _Annotation],
    listed: set[str],
    home: Path,
    dataset: str,
) -> list[dict[str, object]]:
    """A problem for each image without annotation, and for each annotation or line of a list without image."""
    on_disk = dict(photos)
    problems = [
        problem("annotation_missing", f"no annotation of that name in {home}", qualified_id(dataset, key), path)
        for key, path in on_disk.items()
        if key not in annotations
    ]
    for key in sorted((set(annotations) | listed) - set(on_disk)):
        annotation = annotations.get(key)
        detail = f"no image for {annotation.path}" if annotation else "listed, but there is no image of that name"
        detail += f"; {len(annotation.objects) if annotation else 0} boxes were left out with it"
        problems.append(problem("image_missing", detail, qualified_id(dataset, key)))
    return problems


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
