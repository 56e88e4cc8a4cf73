"""A selection as a data set for PyTorch: images, boxes, and masks where there are, for your own training script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from thresher import extras
from thresher.data.images import rgb_pixels
from thresher.data.label_maps import class_numbers, label_map
from thresher.data.taxonomy import Taxonomy
from thresher.errors import DataError
from thresher.run.folder import AnyRun, as_run
from thresher.run.opened import OpenedRun

if TYPE_CHECKING:
    import torch
    from torch.utils.data import Dataset

    _Base = Dataset[tuple[torch.Tensor, dict[str, Any]]]
else:
    _Base = object  # torch asks for no more than a length and items, and is imported when one is asked for

#: What a `transform` takes and gives, as torchvision.transforms.v2 do: image and target.
Transform = Callable[[Any, dict[str, Any]], tuple[Any, dict[str, Any]]]


class SelectionDataset(_Base):
    """The images of a selection, rank 1 first, for a `torch.utils.data.DataLoader`.

    Each item is a pair of the image (uint8, 3 × H × W, RGB, upright) and a dictionary:

    - boxes: float32, n × 4; x0, y0, x1, y1 in pixels
    - labels: int64, n; a key of `class_names`
    - names: the classes' names, n of them
    - image_id: as in the run's tables
    - masks: int64, H × W, class ids of the taxonomy (trainIds) with its void id; only where the image has a mask

    Boxes whose label the taxonomy does not know, or means to be ignored, are left out.

        from torch.utils.data import DataLoader
        from thresher import SelectionDataset

        dataset = SelectionDataset("runs/first", "layout_and_diversity-10pct")
        loader = DataLoader(dataset, batch_size=8, shuffle=True, num_workers=4, collate_fn=SelectionDataset.collate)
        for images, targets in loader: ...

    Workers read image files alone. Images that lie in Parquet files need `multiprocessing_context="spawn"`.
    """

    def __init__(
        self, run: AnyRun, name: str, *, with_target: bool = False, transform: Transform | None = None
    ) -> None:
        """Read which images and boxes there are; pixels are read item by item.

        Args:
            run: The run, or the path of its folder.
            name: The selection's name.
            with_target: The images of the target as well, after those of the selection, in the order of their ids.
            transform: Called with image and target as tv_tensors, as torchvision.transforms.v2 are.

        Raises:
            SettingsError: there is no such selection, or PyTorch is not installed.
            DataError: index has not run.
        """
        extras.require("train" if transform else "embed", "SelectionDataset")
        opened = OpenedRun(as_run(run))
        self.taxonomy = opened.taxonomy
        self.transform = transform
        numbers = _class_ids(self.taxonomy)
        #: Label → name: the taxonomy's classes by their ids, then its groups.
        self.class_names = {number: name for name, number in numbers.items()}
        images = opened.selection(name).select("image_id", "path")
        if with_target:
            images = pl.concat([images, opened.target.sort("image_id").select("image_id", "path")])
        self.image_ids: list[str] = images["image_id"].to_list()
        self._paths: list[str] = images["path"].to_list()
        self._boxes = _boxes_of(opened, images, numbers)
        masks = opened.masks.join(images, on="image_id", how="semi")
        self._masks = {row["image_id"]: (row["path"], row["encoding"]) for row in masks.iter_rows(named=True)}

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, dict[str, Any]]:
        import torch

        image_id = self.image_ids[place]
        pixels = rgb_pixels(Path(self._paths[place]))
        corners, labels = self._boxes.get(image_id, (np.empty((0, 4), np.float32), np.empty(0, np.int64)))
        height, width = pixels.shape[:2]
        target: dict[str, Any] = {
            "boxes": torch.from_numpy(corners * np.array([width, height, width, height], np.float32)),
            "labels": torch.from_numpy(labels),
            "names": [self.class_names[label] for label in labels.tolist()],
            "image_id": image_id,
        }
        if image_id in self._masks:
            path, encoding = self._masks[image_id]
            found = label_map(Path(path), class_numbers(self.taxonomy, encoding))
            if found.shape != (height, width):
                raise DataError(
                    f"{path}: {found.shape[1]} × {found.shape[0]} pixels; its image {self._paths[place]} "
                    f"has {width} × {height}."
                )
            target["masks"] = torch.from_numpy(_mask_ids(self.taxonomy)[found])
        image = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
        return (image, target) if self.transform is None else _transformed(image, target, self.transform)

    def __repr__(self) -> str:
        return f"SelectionDataset({len(self)} images, {len(self._masks)} with masks, {len(self._boxes)} with boxes)"

    @staticmethod
    def collate(
        items: Sequence[tuple[torch.Tensor, dict[str, Any]]],
    ) -> tuple[list[torch.Tensor], list[dict[str, Any]]]:
        """A batch as two lists, images and targets: images differ in size, and each has its own number of boxes."""
        return [image for image, _ in items], [target for _, target in items]


def _class_ids(taxonomy: Taxonomy) -> dict[str, int]:
    """The number of each class, its id in the taxonomy; groups are numbered on from there, but for the void id."""
    ids = {each.name: each.id for each in taxonomy.classes}
    free = (n for n in range(max(ids.values()) + 1, 2**31) if n != taxonomy.void_id)
    return ids | dict(zip(taxonomy.groups, free, strict=False))


def _mask_ids(taxonomy: Taxonomy) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The taxonomy's id of each value of a `label_map`."""
    return np.array([*(each.id for each in taxonomy.classes), taxonomy.void_id], np.int64)


def _boxes_of(opened: OpenedRun, images: pl.DataFrame, numbers: dict[str, int]) -> dict[str, tuple[Any, Any]]:
    """Corners (shares of the sides) and labels of each image that has boxes."""
    labels = pl.col("class").replace_strict(numbers, return_dtype=pl.Int64)
    known = opened.boxes_of(images).filter(pl.col("class").is_in(list(numbers)))
    found = known.sort("image_id", maintain_order=True).select("image_id", "x0", "y0", "x1", "y1", labels)
    parts = found.partition_by("image_id", maintain_order=True)
    return {
        part["image_id"][0]: (part.select("x0", "y0", "x1", "y1").to_numpy().copy(), part["class"].to_numpy().copy())
        for part in parts
    }


def _transformed(image: torch.Tensor, target: dict[str, Any], transform: Transform) -> tuple[Any, dict[str, Any]]:
    from torchvision import tv_tensors

    size = (image.shape[1], image.shape[2])
    boxes: Any = tv_tensors.BoundingBoxes(target["boxes"], format="XYXY", canvas_size=size)
    wrapped = {**target, "boxes": boxes}
    if "masks" in target:
        wrapped["masks"] = tv_tensors.Mask(target["masks"])
    return transform(tv_tensors.Image(image), wrapped)
