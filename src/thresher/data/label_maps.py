"""Per-pixel labels: mask files in the taxonomy's numbering of classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int16, Int64, Integer, UInt8
from PIL import Image, ImageFile

from thresher.data.image_files import decoding, opened_image
from thresher.data.sources import opened
from thresher.data.taxonomy import ENCODINGS, Taxonomy
from thresher.errors import DataError

#: A value without a meaning in the encoding.
UNKNOWN = -1


def class_numbers(taxonomy: Taxonomy, encoding: str) -> Int16[np.ndarray, " 256"]:
    """For each mask value the index of its class in the taxonomy; void is the number of classes; else `UNKNOWN`.

    Label ids of Cityscapes that are not evaluated are void, and so is 255 of its train ids.

    Raises:
        DataError: the encoding is not one of `ENCODINGS`.
    """
    if encoding not in ENCODINGS:
        raise DataError(f"masks: encoding '{encoding}' is unknown. Known: {', '.join(ENCODINGS)}.")
    void = len(taxonomy.classes)
    by_label_id = encoding == "cityscapes_label_ids"
    numbers = np.full(256, void if by_label_id else UNKNOWN, np.int16)
    if not by_label_id:
        numbers[taxonomy.void_id if encoding == "class_index" else 255] = void
    for place, target in enumerate(taxonomy.classes):
        numbers[list(target.label_ids) if by_label_id else [target.id]] = place
    return numbers


def label_map(path: Path, numbers: Int16[np.ndarray, " 256"]) -> UInt8[np.ndarray, "h w"]:
    """The mask with each value replaced by its class's number.

    Raises:
        DataError: missing, damaged, not of one channel of 8 bits or fewer, a JPEG, or with a value without a meaning.
    """
    with decoding(path, "mask"), opened(path) as file, opened_image(file) as image:
        one_channel(image, path)
        values = stored_values(image, path)
    found: Int16[np.ndarray, "h w"] = numbers[values]
    if (found == UNKNOWN).any():
        strange = np.unique(values[found == UNKNOWN]).tolist()
        raise DataError(
            f"{path}: values {', '.join(map(str, strange[:8]))} are neither a class nor void in this "
            "taxonomy. Give the taxonomy and encoding of this mask."
        )
    labels: UInt8[np.ndarray, "h w"] = found.astype(np.uint8)
    return labels


def one_channel(image: Image.Image, path: Path) -> None:
    """Check by its header that an image can be a mask in numbers of classes.

    Raises:
        DataError: several channels, more than 8 bits, or JPEG, which changes values.
    """
    if image.mode not in ("1", "L", "P"):
        raise DataError(
            f"{path}: mode {image.mode}; expected a mask of one channel of at most 8 bits (L or P). Save it so, or, "
            "if its colours or values have names, read it as masks:ROOT, with labelmap.txt or class_dict.csv beside "
            "the masks."
        )
    if image.format in ("JPEG", "MPO"):
        raise DataError(f"{path}: a JPEG, which changes the values of a mask; expected a PNG. Export the masks anew.")


def class_pixels(
    masks: Sequence[tuple[Path, str]], taxonomy: Taxonomy
) -> tuple[Int64[np.ndarray, " classes"], Int64[np.ndarray, " classes"], int]:
    """Of each class its labelled pixels and the masks that have it; and how many masks could be read.

    A mask that cannot be read is left out, as it is in training, where it is listed.

    Args:
        masks: Path and encoding of each.
    """
    count = len(taxonomy.classes)
    numbers = {encoding: class_numbers(taxonomy, encoding) for _, encoding in masks}
    pixels, images, read = np.zeros(count, np.int64), np.zeros(count, np.int64), 0
    for path, encoding in masks:
        try:
            labels = label_map(path, numbers[encoding])
        except DataError:
            continue
        found = np.bincount(labels.ravel(), minlength=count + 1)[:count]
        pixels, images, read = pixels + found, images + (found > 0), read + 1
    return pixels, images, read


def stored_values(image: Image.Image, path: Path) -> Integer[np.ndarray, "h w"]:
    """The values of a mask as they are stored, whatever their bits; of equal channels the first.

    Raises:
        DataError: its channels differ, or its values are no whole numbers of at least 0.
    """
    step = _step(image)
    values = np.asarray(image)
    if values.ndim == 3 and (values[..., :3] == values[..., :1]).all():
        values = values[..., 0]
    if values.ndim != 2 or values.dtype.kind == "f" or (values.dtype.kind == "i" and values.min(initial=0) < 0):
        raise DataError(f"{path}: mode {image.mode}; expected a mask of one channel of whole numbers.")
    stored: Integer[np.ndarray, "h w"] = values.astype(np.uint8 if values.dtype.kind == "b" else values.dtype) // step
    return stored


def _step(image: Image.Image) -> int:
    """By how much Pillow spreads greys of fewer than 8 bits over 0..255: a mask's values are those that are stored."""
    stored = image.tile[0][3] if isinstance(image, ImageFile.ImageFile) and image.tile else ""
    return {"L;2": 85, "L;4": 17}.get(str(stored), 1)


def ids_of_classes(taxonomy: Taxonomy) -> UInt8[np.ndarray, " classes_plus_1"]:
    """The taxonomy's own id for each class's number, then for void: what `class_index` masks hold."""
    return np.array([*(target.id for target in taxonomy.classes), taxonomy.void_id], np.uint8)


def coloured(labels: UInt8[np.ndarray, "h w"], taxonomy: Taxonomy) -> UInt8[np.ndarray, "h w 3"]:
    """Class numbers as the taxonomy's colours; void is black.

    >>> from thresher.data.taxonomy import load_taxonomy
    >>> coloured(np.array([[0, 11]], np.uint8), load_taxonomy("camvid")).tolist()
    [[[128, 128, 128], [0, 0, 0]]]
    """
    colours = np.array([*(target.colour for target in taxonomy.classes), (0, 0, 0)], np.uint8)
    shown: UInt8[np.ndarray, "h w 3"] = colours[labels]
    return shown
