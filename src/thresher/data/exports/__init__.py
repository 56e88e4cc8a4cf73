"""The forms in which chosen images and their boxes are written for other tools. None of those tools is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from thresher.data.exports.atlas import write_atlas
from thresher.data.exports.coco import write_coco
from thresher.data.exports.fiftyone import write_fiftyone
from thresher.data.exports.folders import Exporter, Images
from thresher.data.exports.hf import write_hf
from thresher.data.exports.label_studio import write_label_studio
from thresher.data.exports.lightly import write_lightly
from thresher.data.exports.lists import write_csv, write_parquet, write_txt
from thresher.data.exports.marker import MARKER
from thresher.data.exports.open_images import write_open_images
from thresher.data.exports.xml_forms import write_cvat, write_voc
from thresher.data.exports.yolo import write_yolo

__all__ = ["FORMATS", "MARKER", "WITH_POOL", "WITH_SCORES", "Exporter", "Format", "Images"]

#: The keys of `FORMATS`, for type checkers and the command line.
Format = Literal[
    "csv",
    "txt",
    "parquet",
    "coco",
    "yolo",
    "voc",
    "cvat",
    "label_studio",
    "open_images",
    "fiftyone",
    "lightly",
    "atlas",
    "hf",
]
FORMATS: Mapping[str, Exporter] = {
    "csv": write_csv,
    "txt": write_txt,
    "parquet": write_parquet,
    "coco": write_coco,
    "yolo": write_yolo,
    "voc": write_voc,
    "cvat": write_cvat,
    "label_studio": write_label_studio,
    "open_images": write_open_images,
    "fiftyone": write_fiftyone,
    "lightly": write_lightly,
    "atlas": write_atlas,
    "hf": write_hf,
}
#: Formats with a place for every score of an image, not its rank and score alone.
WITH_SCORES = frozenset({"fiftyone", "lightly", "atlas", "hf"})
#: Formats with a place for vectors, a map, and the images of the pool that were not chosen: `rank` is null for those.
WITH_POOL = frozenset({"atlas"})
