"""Masks drawn once as index PNGs: from outlined objects, and from label images whose values or colours have names.

Readers say what is to be drawn (`Outlined`, `Coded`); what a label means is known to the taxonomy and the label map.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Bool, UInt8
from PIL import Image

from thresher.data.dataset import Coded, Dataset, Outlined, dataset_of, problem, size_px
from thresher.data.faults import FAULTS, reason
from thresher.data.image_files import decoding, opened_image
from thresher.data.label_maps import ids_of_classes, stored_values
from thresher.data.outlines import filled
from thresher.data.run_lengths import from_text, mask_of
from thresher.data.sources import opened
from thresher.data.taxonomy import VOID, LabelMap, Taxonomy
from thresher.errors import DataError
from thresher.files import replacing
from thresher.tables import MASKS, PROBLEMS, from_rows

#: A class of this name takes the pixels that no outlined object covers.
BACKGROUND = "background"
_LARGEST_PX = 200_000_000


@dataclass(frozen=True)
class Meanings:
    """What labels of masks mean."""

    taxonomy: Taxonomy
    label_map: LabelMap

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Each class's number in the taxonomy; void comes after the last one."""
        return {each.name: number for number, each in enumerate(self.taxonomy.classes)} | {VOID: self.void}

    @property
    def void(self) -> int:
        """The number of void."""
        return len(self.taxonomy.classes)

    def number(self, dataset: str, label: str) -> int | None:
        """The number of the class that a label means; None if it means none, which is then void.

        Of names joined by commas or slashes ("car, auto, automobile") the first one that means something counts.
        """
        said, node = self.label_map.understood(dataset, label, None)
        if not said:
            parts = tuple(label.replace("/", ",").split(","))
            node = self.taxonomy.understood(label, None, parts if len(parts) > 1 else ())
        if node is None and label.strip().casefold() == BACKGROUND:
            return self.void
        return self.numbers.get(node) if node else None


def with_drawn_masks(dataset: Dataset, meanings: Meanings, folder: Path) -> Dataset:
    """The dataset with a mask for each of its drawings, as a PNG of the taxonomy's ids below the folder.

    A PNG is named after all that shapes it, so what is there already is not drawn again. Labels without a class are
    void, and listed once each; a drawing that fails is listed, and its image has no mask.

    Raises:
        DataError: more than half of the drawings fail, or the folder cannot be written.
    """
    rows: list[dict[str, object]] = []
    problems: list[dict[str, object]] = []
    unknown: Counter[str] = Counter()
    first = ""
    for drawing in dataset.drawings:
        try:
            path = _drawn(drawing, meanings, folder, unknown)
        except OSError:
            raise
        except FAULTS as error:
            first = first or f"{drawing.path}: {reason(error)}"
            problems.append(problem("mask_unreadable", reason(error), drawing.image_id, drawing.path))
        else:
            rows.append({"image_id": drawing.image_id, "path": str(path.absolute()), "encoding": "class_index"})
    if len(problems) > len(rows):
        raise DataError(f"{len(problems)} of {len(dataset.drawings)} masks cannot be drawn (first: {first}).")
    for label, images in sorted(unknown.items()):
        detail = f"'{label}' in {images} masks is no class of taxonomy '{meanings.taxonomy.name}', so it is void"
        problems.append(problem("mask_label_without_class", detail))
    masks = pl.concat([dataset.masks, from_rows(rows, MASKS)])
    listed = pl.concat([dataset.problems, from_rows(problems, PROBLEMS)])
    return replace(dataset, masks=masks, problems=listed, drawings=())


def _drawn(drawing: Outlined | Coded, meanings: Meanings, folder: Path, unknown: Counter[str]) -> Path:
    """The PNG of a drawing; counts the labels that mean no class."""
    home = dataset_of("", drawing.image_id)
    names = {name for name, _ in drawing.things} if isinstance(drawing, Outlined) else set(drawing.labels.values())
    found = {label: meanings.number(home, label) for label in names if label is not None}
    if isinstance(drawing, Outlined):
        unknown.update(label for label, number in found.items() if number is None)
    numbers = {label: meanings.void if number is None else number for label, number in found.items()}
    stamp = _stamp(drawing, numbers, meanings.taxonomy)
    path = folder / stamp[:2] / f"{stamp}.png"
    if not path.is_file():
        if isinstance(drawing, Outlined):
            ground = meanings.numbers.get(BACKGROUND, meanings.void)
            labels = _of_outlines(drawing, numbers, ground, meanings.void)
        else:
            labels = _of_codes(drawing, numbers, meanings)
        with replacing(path) as file:
            Image.fromarray(ids_of_classes(meanings.taxonomy)[labels]).save(file, "PNG", compress_level=1)
    return path


def _stamp(drawing: Outlined | Coded, numbers: Mapping[str, int], taxonomy: Taxonomy) -> str:
    """A digest of all that shapes a drawing."""
    state = Path(drawing.path).stat() if isinstance(drawing, Coded) and Path(drawing.path).is_file() else None
    seen = (
        drawing,
        state and (state.st_size, state.st_mtime_ns),
        sorted(numbers.items()),
        [(each.name, each.id, each.colour) for each in taxonomy.classes],
        taxonomy.void_id,
    )
    return hashlib.sha256(repr(seen).encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _of_outlines(drawing: Outlined, numbers: Mapping[str, int], ground: int, void: int) -> UInt8[np.ndarray, "h w"]:
    """Of objects that overlap the smaller is seen; an object of which only the box is known is void, and beneath."""
    width, height = drawing.size or size_px(Path(drawing.path))
    if width * height > _LARGEST_PX:
        raise DataError(f"{width} × {height} pixels; the limit is {_LARGEST_PX:,}")
    labels = np.full((height, width), ground, np.uint8)
    masks = []
    for label, shape in drawing.things:
        scaled = _in_pixels(shape, width, height) if drawing.in_shares and isinstance(shape, list) else shape
        mask = mask_of_shape(scaled, (height, width))
        masks.append((label is not None, -int(mask.sum()), void if label is None else numbers[label], mask))
    for _, _, number, mask in sorted(masks, key=lambda each: each[:2]):
        labels[mask] = number
    return labels


def _in_pixels(polygons: Sequence[Sequence[float]], width: int, height: int) -> list[list[float]]:
    return [[value * (height if place % 2 else width) for place, value in enumerate(each)] for each in polygons]


def mask_of_shape(segmentation: Any, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The mask of a COCO `segmentation`: polygons of [x, y, …] in pixels, or run lengths as numbers or as text.

    Args:
        size: Height and width in pixels.

    Raises:
        DataError: run lengths that are not of this size.
        ValueError: what is no polygon.

    >>> mask_of_shape({"size": [2, 2], "counts": [1, 3]}, (2, 2)).astype(int).tolist()
    [[0, 1], [1, 1]]
    """
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        if isinstance(counts, str):
            return mask_of(from_text(counts), size)
        if not all(type(count) is int for count in counts):
            raise ValueError("run lengths that are no whole numbers")
        return mask_of(counts, size)
    return filled(segmentation, size)


def _of_codes(drawing: Coded, numbers: Mapping[str, int], meanings: Meanings) -> UInt8[np.ndarray, "h w"]:
    """The numbers of a label image whose values or colours have names."""
    path = Path(drawing.path)
    with decoding(path, "mask"), opened(path) as file, opened_image(file) as image:
        codes = _colours(image) if drawing.by_colour else stored_values(image, path) // drawing.divisor
    known = {code: numbers[label] for code, label in drawing.labels.items()}
    if not drawing.labels:
        known = {red << 16 | green << 8 | blue: number for number, (red, green, blue) in _taxonomy_colours(meanings)}
    table = np.full(1 << 24 if drawing.by_colour else max(256, int(codes.max()) + 1, *known) + 1, -1, np.int16)
    table[list(known)] = list(known.values())
    found = table[codes]
    if (found < 0).any():
        strange = np.unique(codes[found < 0]).tolist()[:8]
        said = [
            f"({code >> 16}, {code >> 8 & 255}, {code & 255})" if drawing.by_colour else f"{code}" for code in strange
        ]
        what = "colours" if drawing.by_colour else "values"
        where = drawing.named_by or f"taxonomy '{meanings.taxonomy.name}'"
        raise DataError(f"{path}: {what} {', '.join(said)} have no name in {where}")
    labels: UInt8[np.ndarray, "h w"] = found.astype(np.uint8)
    return labels


def _taxonomy_colours(meanings: Meanings) -> list[tuple[int, tuple[int, int, int]]]:
    return [(meanings.void, (0, 0, 0)), *((n, each.colour) for n, each in enumerate(meanings.taxonomy.classes))]


def _colours(image: Image.Image) -> np.ndarray:
    """Red, green and blue of each pixel as one number; a palette's colours count, not its indices."""
    channels = np.asarray(image.convert("RGB")).astype(np.int32)
    return channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]
