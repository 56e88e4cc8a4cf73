"""Readers of data sets: each turns a folder into the same tables, and lists what it left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from thresher.data.dataset import Dataset
from thresher.data.readers import (
    bdd100k,
    cityscapes,
    cityscapes_polygons,
    coco,
    cvat,
    datumaro,
    folder,
    kitti,
    label_studio,
    labelme,
    masks,
    nuimages,
    oidv4,
    open_images,
    parquet,
    table,
    via,
    voc,
    webdataset,
    yolo,
)

#: Called as `read(root, split, dataset)`: `split` None means all of them, `dataset` prefixes every image_id. Some also
#: take `images` and `masks` (where these lie), `columns` (of a table), `later` (images that are not on disk, too).
READERS: Mapping[str, Callable[..., Dataset]] = {
    "bdd100k": bdd100k.read,
    "cityscapes": cityscapes.read,
    "cityscapes_polygons": cityscapes_polygons.read,
    "coco": coco.read,
    "cvat": cvat.read,
    "datumaro": datumaro.read,
    "folder": folder.read,
    "kitti": kitti.read,
    "label_studio": label_studio.read,
    "labelme": labelme.read,
    "masks": masks.read,
    "nuimages": nuimages.read,
    "oidv4": oidv4.read,
    "open_images": open_images.read,
    "parquet": parquet.read,
    "table": table.read,
    "via": via.read,
    "voc": voc.read,
    "webdataset": webdataset.read,
    "yolo": yolo.read,
}
