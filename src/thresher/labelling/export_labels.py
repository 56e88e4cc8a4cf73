"""export-labels: a label set → masks that other tools read."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import polars as pl

from thresher import tables
from thresher.data.exports.folders import replaced_folder
from thresher.data.label_maps import class_numbers, label_map
from thresher.data.outlines import loop_area, outlines, simplified
from thresher.data.run_lengths import as_text, run_lengths
from thresher.data.taxonomy import Taxonomy
from thresher.errors import SettingsError
from thresher.labelling.label_set import LabelFiles
from thresher.labelling.label_tables import LABELLED_BOXES
from thresher.labelling.objects import LabelledObject, labelled_objects
from thresher.run.folder import AnyRun, as_run
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult
from thresher.run.state import refuse_outdated
from thresher.segmentation.tree import ClassTree, class_tree

LabelFormat = Literal["masks", "coco", "yolo", "cvat"]
#: Corners of YOLO's polygons are left out where the outline stays this near.
_TOLERANCE_PX = 1.0


def export_labels(
    run: AnyRun, name: str, format: LabelFormat, out: Path | str, *, dry_run: bool = False
) -> StageResult:
    """Write a label set for other tools: label maps as they are, or the object in each box.

    masks: PNGs of class ids and classes.csv, which `--target masks:OUT` reads beside a folder of images. coco: one
    JSON file of objects with run lengths. yolo: a text file per image with the outline of each object's largest part,
    and data.yaml. cvat: one XML file of objects with masks ("CVAT for images 1.1").

    Args:
        name: The label set's name.
        format: masks, coco, yolo or cvat.
        out: Folder to write; only one that an export wrote is replaced.

    Raises:
        SettingsError: unknown label set or format.
        DataError: `out` holds other things, or the label set is outdated, damaged or unfinished.
    """
    run, out = as_run(run), Path(out)
    files = LabelFiles(run.label_set(name))
    if not files.images.is_file():
        there = ", ".join(sorted(path.parent.name for path in files.folder.parent.glob("*/images.parquet"))) or "none"
        raise SettingsError(f"No label set named '{name}' in {run.folder}. Available: {there}. Run `thresher labels`.")
    if format not in FORMATS:
        raise SettingsError(f"format '{format}': unknown. Known: {', '.join(FORMATS)}.")
    refuse_outdated(run, [f"labels:{name}"])
    labelled = LabelSet(OpenedRun(run), files)
    summary: dict[str, Any] = {"name": name, "format": format, "images": labelled.images.height, "out": str(out)}
    if dry_run:
        return StageResult("export-labels", "planned", summary)
    with replaced_folder(out, labelled.images) as folder:
        objects = FORMATS[format](labelled, folder)
    if format == "yolo":
        summary["next"] = f"Put the images into {out / 'images'} under the names of their label files."
    if format != "masks":  # those are of pixels, not of objects
        summary["objects"] = objects
    return StageResult("export-labels", "done", summary)


@dataclass(frozen=True)
class LabelSet:
    """A finished label set, to be read."""

    opened: OpenedRun
    files: LabelFiles

    @property
    def taxonomy(self) -> Taxonomy:
        """The run's."""
        return self.opened.taxonomy

    @property
    def tree(self) -> ClassTree:
        """The taxonomy's."""
        return class_tree(self.taxonomy)

    @property
    def images(self) -> pl.DataFrame:
        """Table LABELLED_IMAGES with the images' paths, by id."""
        table = tables.read(self.files.images, tables.LABELLED_IMAGES, key="image_id")
        return table.join(self.opened.images.select("image_id", "path"), on="image_id").sort("image_id")

    def objects(self) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]], list[LabelledObject]]]:
        """For each image its row, the rows of its boxes, and their objects."""
        numbers, tree = class_numbers(self.taxonomy, "class_index"), self.tree
        boxes = tables.read(self.files.boxes, LABELLED_BOXES)
        of_image = {key[0]: part for key, part in boxes.partition_by("image_id", as_dict=True).items()}
        for row in self.images.iter_rows(named=True):
            part = of_image.get(row["image_id"], boxes.clear())
            labels = label_map(self.files.folder / row["file"], numbers)
            corners = part.select("x0", "y0", "x1", "y1").to_numpy()
            yield row, part.to_dicts(), labelled_objects(labels, corners, part["class"].to_list(), tree)


def _masks(labelled: LabelSet, folder: Path) -> int:
    for file in labelled.images["file"]:
        place = folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(labelled.files.folder / file, place)
    with (folder / "classes.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "name", "red", "green", "blue"])
        rows.writerows([each.id, each.name, *each.colour] for each in labelled.taxonomy.classes)
        rows.writerow([labelled.taxonomy.void_id, "no label", 0, 0, 0])
    return 0


def _coco(labelled: LabelSet, folder: Path) -> int:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (row, boxes, objects) in enumerate(labelled.objects(), 1):
        width, height = row["width_px"], row["height_px"]
        known = {"file_name": row["path"], "width": width, "height": height, "thresher_id": row["image_id"]}
        images.append({"id": number, **known})
        for each in objects:
            box, whole = boxes[each.number], np.zeros((height, width), np.bool_)
            whole[each.top : each.top + each.mask.shape[0], each.left : each.left + each.mask.shape[1]] = each.mask
            told = {name: box[name] for name in ("agreement", "expected_iou", "route", "warning")}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": _places(labelled)[each.name] + 1,
                    "bbox": [each.left, each.top, each.mask.shape[1], each.mask.shape[0]],
                    "area": int(each.mask.sum()),
                    "iscrowd": 0,
                    "segmentation": {"size": [height, width], "counts": as_text(run_lengths(whole))},
                    "attributes": told,
                }
            )
    categories = [{"id": place + 1, "name": name} for name, place in _places(labelled).items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
    return len(annotations)


def _yolo(labelled: LabelSet, folder: Path) -> int:
    count = 0
    for row, _, objects in labelled.objects():
        lines = []
        for each in objects:
            largest = max(outlines(each.mask), key=loop_area)
            corners = simplified(largest, _TOLERANCE_PX) + np.array([each.left, each.top])
            shares = (corners / [row["width_px"], row["height_px"]]).ravel()
            lines.append(" ".join([str(_places(labelled)[each.name]), *(f"{share:.6f}" for share in shares)]))
        place = (folder / "labels" / row["file"].removeprefix("masks/")).with_suffix(".txt")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        count += len(lines)
    names = "".join(f"  {place}: {json.dumps(name)}\n" for name, place in _places(labelled).items())
    (folder / "data.yaml").write_text(f"path: .\ntrain: images\nval: images\nnames:\n{names}", "utf-8")
    return count


def _cvat(labelled: LabelSet, folder: Path) -> int:
    """Source: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/ (masks: runs along the rows)."""
    count, taxonomy = 0, labelled.taxonomy
    with (folder / "annotations.xml").open("w", encoding="utf-8") as file:
        file.write(
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta><task><labels>\n'
        )
        for kind in taxonomy.classes:
            colour = "#" + bytes(kind.colour).hex()
            file.write(f"<label><name>{escape(kind.name)}</name><color>{colour}</color></label>\n")
        file.write("</labels></task></meta>\n")
        for number, (row, _, objects) in enumerate(labelled.objects()):
            size = f'width="{row["width_px"]}" height="{row["height_px"]}"'
            file.write(f'<image id="{number}" name={quoteattr(row["path"])} {size}>\n')
            for each in objects:
                height, width = each.mask.shape
                place = f'left="{each.left}" top="{each.top}" width="{width}" height="{height}" z_order="0"'
                runs = ", ".join(map(str, run_lengths(each.mask.T)))
                name = quoteattr(each.name)
                file.write(f'<mask label={name} source="auto" occluded="0" rle="{runs}" {place}/>\n')
            count += len(objects)
            file.write("</image>\n")
        file.write("</annotations>\n")
    return count


def _places(labelled: LabelSet) -> dict[str, int]:
    return {each.name: place for place, each in enumerate(labelled.taxonomy.classes)}


#: Each writes a label set into a new folder; returns how many objects it wrote (0: whole label maps).
FORMATS: dict[str, Callable[[LabelSet, Path], int]] = {"masks": _masks, "coco": _coco, "yolo": _yolo, "cvat": _cvat}
