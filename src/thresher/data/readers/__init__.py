"""Readers of data sets: each turns a folder into the same tables, and lists what it left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from thresher.data.dataset import Dataset
from thresher.data.readers import (
    cityscapes,
    cityscapes_polygons,
    coco,
    folder,
    kitti,
    masks,
    open_images,
    parquet,
    voc,
    webdataset,
    yolo,
)

#: Called as `read(root, split, dataset)`: `split` None means all of them, `dataset` prefixes every image_id.
READERS: Mapping[str, Callable[[Path, str | None, str], Dataset]] = {
    "cityscapes": cityscapes.read,
    "cityscapes_polygons": cityscapes_polygons.read,
    "coco": coco.read,
    "folder": folder.read,
    "kitti": kitti.read,
    "masks": masks.read,
    "open_images": open_images.read,
    "parquet": parquet.read,
    "voc": voc.read,
    "webdataset": webdataset.read,
    "yolo": yolo.read,
}
