"""The pixel labels that a label set gives an image, beside the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from thresher import tables
from thresher.data.images import rgb_image
from thresher.data.label_maps import class_numbers, coloured, label_map
from thresher.errors import DataError, quoted
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun

#: Between the two pictures, in pixels.
_GAP = 4


def newest_label_set(run: Run, image_id: str) -> tuple[str, Path] | None:
    """Name of the newest label set that holds an image, and the image's label map; None if no set does."""
    listed = sorted((run.folder / "labels").glob("*/images.parquet"), key=lambda path: path.stat().st_mtime)
    for path in reversed(listed):
        mine = tables.scan(path, tables.LABELLED_IMAGES).filter(image_id=image_id).select("file").collect()
        if mine.height:
            return path.parent.name, path.parent / mine.item()
    return None


def labelled_picture(opened: OpenedRun, image_id: str, path: Path) -> Image.Image:
    """An image beside its newest labels in the taxonomy's colours; white is no label.

    Raises:
        DataError: no label set holds the image, or a file cannot be read.
    """
    found = newest_label_set(opened.run, image_id)
    if found is None:
        raise DataError(f"{image_id}: no label set holds it. Run `thresher labels {quoted(opened.run.folder)}`.")
    labels = label_map(found[1], class_numbers(opened.taxonomy, "class_index"))
    colours = coloured(labels, opened.taxonomy)
    colours[labels == len(opened.taxonomy.classes)] = 255  # black may be a class
    image = rgb_image(path)
    shown = Image.fromarray(np.ascontiguousarray(colours)).resize(image.size, Image.Resampling.NEAREST)
    pair = Image.new("RGB", (2 * image.width + _GAP, image.height), (255, 255, 255))
    pair.paste(image, (0, 0))
    pair.paste(shown, (image.width + _GAP, 0))
    return pair
