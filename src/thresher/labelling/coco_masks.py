"""Label maps from a COCO file: its objects' run lengths or polygons, each with the class that its category means."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import UInt8

from thresher.data.drawn_masks import mask_of_shape
from thresher.data.faults import refusing
from thresher.data.taxonomy import Taxonomy

#: How such masks are asked for, and their encoding among masks of other kinds.
COCO_MASKS = "coco_masks"


@dataclass(frozen=True)
class CocoMasks:
    """A COCO file: its images, and the annotations of each by their number."""

    path: Path
    images: list[dict[str, Any]]
    annotations: dict[Any, list[dict[str, Any]]]
    categories: dict[Any, str]

    def table(self) -> pl.DataFrame:
        """For each image: mask (this file and the image's place in it), encoding, and the name by which it is known.

        `bare` is the id behind the data set's name that an export of ours carries, else the file's name without ending.
        """
        rows = []
        for place, image in enumerate(self.images):
            own = image.get("thresher_id")
            bare = str(own).partition("/")[2] if own else str(Path(str(image["file_name"])).with_suffix(""))
            rows.append((f"{self.path}#{place}", COCO_MASKS, bare))
        return pl.DataFrame(rows, {"mask": pl.String, "encoding": pl.String, "bare": pl.String}, orient="row")

    def label_map(self, place: int, taxonomy: Taxonomy) -> UInt8[np.ndarray, "h w"]:
        """The label map of an image: void where no object is. Of objects that overlap the smaller is seen.

        Objects of categories without a class stay void.
        """
        image = self.images[place]
        size = (int(image["height"]), int(image["width"]))
        numbers = {each.name: number for number, each in enumerate(taxonomy.classes)}
        labels = np.full(size, len(numbers), np.uint8)
        masks = []
        for each in self.annotations.get(image["id"], []):
            name = taxonomy.understood(self.categories.get(each["category_id"], ""))
            if name in numbers and each.get("segmentation"):
                masks.append((numbers[name], mask_of_shape(each["segmentation"], size)))
        for number, mask in sorted(masks, key=lambda pair: -int(pair[1].sum())):
            labels[mask] = number
        return labels


@functools.lru_cache(maxsize=1)
def read_coco_masks(path: Path) -> CocoMasks:
    """The file's content, kept for the next call.

    Raises:
        DataError: it is no COCO file with segmentations.
    """
    with refusing(f"{path}: not readable as COCO", "Expected images, annotations with segmentation, and categories."):
        content = json.loads(path.read_text("utf-8"))
        annotations: dict[Any, list[dict[str, Any]]] = {}
        for each in content["annotations"]:
            annotations.setdefault(each["image_id"], []).append(each)
        categories = {each["id"]: str(each["name"]) for each in content["categories"]}
        return CocoMasks(path, list(content["images"]), annotations, categories)


def coco_label_map(mask: str, taxonomy: Taxonomy) -> UInt8[np.ndarray, "h w"]:
    """The label map that a row of `CocoMasks.table` names.

    Raises:
        DataError: a segmentation of it cannot be understood.
    """
    path, _, place = mask.rpartition("#")
    with refusing(f"{path}: image {place} of it", "Expected run lengths or polygons of its size."):
        return read_coco_masks(Path(path)).label_map(int(place), taxonomy)
