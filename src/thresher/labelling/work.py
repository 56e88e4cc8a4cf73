"""The labels of one image, written, and the rows that tell of them; and a chunk of images, wherever it is done.

On a cluster `thresher.workers` calls `answerer`; on this machine the stage calls the same function in threads.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import UInt8
from PIL import Image

from thresher.data.images import rgb_pixels
from thresher.data.label_maps import class_numbers, ids_of_classes, label_map
from thresher.data.taxonomy import VOID
from thresher.errors import DataError
from thresher.labelling.coco_masks import COCO_MASKS, coco_label_map
from thresher.labelling.image_boxes import image_boxes
from thresher.labelling.label_set import LabelFiles, Plan, read_plan, write_part, write_whole
from thresher.labelling.pixels import ImageBoxes, opened_classes, window
from thresher.labelling.routes import NONE, Rules, Seen, by_classes
from thresher.labelling.showing import read_segmenter, read_shown
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import Track, untracked
from thresher.segmentation.tree import ClassTree, class_tree

if TYPE_CHECKING:
    from thresher.segmentation.box_shown import BoxShown
    from thresher.segmentation.inference import Segmenter
    from thresher.segmentation.prompted import Prompted

#: Images of a chunk: what an interrupted run repeats at most.
CHUNK = 256
#: A box with less of it labelled, or whose labels span less of it, is worth a look.
_LITTLE, _SPANS = 0.2, 0.5

Row = dict[str, object]


@dataclass(frozen=True)
class LabelJob:
    """A run and a label set in it, whose plan and list of images are written: all that a worker needs to know."""

    run: Run
    files: LabelFiles
    plan: Plan
    first: int = 0
    """Number of the part that the first chunk becomes."""

    def as_line(self) -> str:
        """What `answerer` makes the same job of."""
        return "\t".join([str(self.run.folder.absolute()), str(self.files.folder.absolute()), str(self.first)])

    @cached_property
    def opened(self) -> OpenedRun:
        """The run's tables."""
        return OpenedRun(self.run)

    @cached_property
    def tree(self) -> ClassTree:
        """The tree of the run's taxonomy."""
        return class_tree(self.opened.taxonomy)

    @cached_property
    def network(self) -> Segmenter:
        """The teacher."""
        from thresher.segmentation.trained import ready, trained_network

        return ready(trained_network(Path(self.plan.checkpoint)))

    @cached_property
    def rules(self) -> Rules:
        """What the routes need."""
        shown: BoxShown | Prompted | None = None
        if self.plan.segmenter:
            shown = read_segmenter(self.plan.segmenter)
        elif self.plan.output_of:
            shown = read_shown(self.files.shown, self.plan.output_of)
        return Rules(self.tree, np.array(self.plan.rates, np.float64), self.plan.sure, shown)

    def chunk(self, number: int) -> pl.DataFrame:
        """The rows of `LabelFiles.todo` of a chunk."""
        with_rows = pl.scan_parquet(self.files.todo).slice(number * CHUNK, CHUNK)
        return with_rows.collect()

    def boxes(self, images: pl.DataFrame) -> dict[str, ImageBoxes]:
        """The boxes of these images."""
        by_sets = {name: np.array(promised, np.bool_) for name, promised in self.plan.by_sets.items()}
        exhaustive: Any = self.plan.exhaustive
        return image_boxes(self.opened, images, self.tree, exhaustive, by_sets)


def label_chunk(job: LabelJob, number: int, track: Track[Any] = untracked) -> int:
    """Write the label maps and the tables of a chunk; returns how many of its images have labels."""
    images = job.chunk(number)
    boxes = job.boxes(images)
    rows = images.to_dicts()
    problems: dict[int, Row] = {}

    def unreadable(place: int, error: DataError) -> None:
        row = rows[place]
        told = {"image_id": row["image_id"], "path": row["path"], "stage": "labels", "detail": str(error)}
        problems[place] = {**told, "problem": "mask_unreadable" if row["mask"] else "image_unreadable"}

    def use(place: int, labels: np.ndarray, size: tuple[int, int]) -> tuple[Row, list[Row]]:
        row = rows[place]
        told = box_rows(row["image_id"], labels, boxes[row["image_id"]], job.tree, job.plan)
        return _written(job, row, labels, size), told

    labelled = _given if job.plan.checkpoint == "" else _taught
    found = labelled(job, rows, boxes, use, unreadable, track)
    told: dict[str, list[Row]] = {
        "images": [image for image, _ in found],
        "boxes": [box for _, of_image in found for box in of_image],
        "problems": [problems[place] for place in sorted(problems)],
    }
    write_part(job.files, job.first + number, job.plan.made_from, told)
    return len(found)


#: Takes the place of an image among the rows, its labels, and height and width of the image.
_Use = Callable[[int, np.ndarray, tuple[int, int]], tuple[Row, list[Row]]]
_Unreadable = Callable[[int, DataError], None]


def _taught(
    job: LabelJob,
    rows: list[dict[str, Any]],
    boxes: dict[str, ImageBoxes],
    use: _Use,
    unreadable: _Unreadable,
    track: Track[Any],
) -> list[tuple[Row, list[Row]]]:
    """What `use` makes of the labels that come from the teacher and the boxes."""
    from thresher.segmentation.examples import pixels_of
    from thresher.segmentation.inference import Images, segmented

    boxed = np.array(job.plan.boxed, np.bool_)

    def used(place: int, pixels: np.ndarray, _: None, probabilities: np.ndarray) -> tuple[Row, list[Row]]:
        seen = Seen(probabilities, boxes[rows[place]["image_id"]], pixels)
        labels = by_classes(seen, job.rules, job.plan.route_of, boxed)
        return use(place, labels, (pixels.shape[0], pixels.shape[1]))

    images = Images(len(rows), lambda place: (pixels_of(Path(rows[place]["path"])), None), unreadable)
    return segmented(job.network, images, used, track, job.network.class_probabilities)


def _given(
    job: LabelJob,
    rows: list[dict[str, Any]],
    boxes: dict[str, ImageBoxes],
    use: _Use,
    unreadable: _Unreadable,
    track: Track[Any],
) -> list[tuple[Row, list[Row]]]:
    """What `use` makes of masks that were made elsewhere."""
    encodings = {row["encoding"] for row in rows} - {COCO_MASKS}
    numbers = {encoding: class_numbers(job.opened.taxonomy, encoding) for encoding in encodings}
    found = []
    for place, row in enumerate(track(rows, len(rows), "reading masks")):
        try:
            if row["encoding"] == COCO_MASKS:
                labels = coco_label_map(row["mask"], job.opened.taxonomy)
            else:
                labels = label_map(Path(row["mask"]), numbers[row["encoding"]])
            height, width = rgb_pixels(Path(row["path"])).shape[:2]
        except DataError as error:
            unreadable(place, error)
            continue
        found.append(use(place, labels, (height, width)))
    return found


def resized(labels: UInt8[np.ndarray, "h w"], size: tuple[int, int]) -> UInt8[np.ndarray, "new_h new_w"]:
    """Labels at another height and width: those of the nearest pixel centres.

    >>> resized(np.array([[0, 1]], np.uint8), (1, 4)).tolist()
    [[0, 0, 1, 1]]
    """
    places = [
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) for old, new in zip(labels.shape, size, strict=True)
    ]
    at_size: UInt8[np.ndarray, "new_h new_w"] = labels[places[0][:, None], places[1]]
    return at_size


def _written(job: LabelJob, row: dict[str, Any], labels: np.ndarray, size: tuple[int, int]) -> Row:
    """Write an image's label map at the image's size; its row of LABEL_FILES."""
    png = io.BytesIO()
    Image.fromarray(ids_of_classes(job.opened.taxonomy)[resized(labels, size)]).save(png, "PNG")
    content = png.getvalue()
    write_whole(content, job.files.folder / row["file"])
    return {
        "image_id": row["image_id"],
        "file": row["file"],
        "width_px": size[1],
        "height_px": size[0],
        "share_labelled": float((labels != job.tree.void).mean()),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def box_rows(
    image_id: str, labels: UInt8[np.ndarray, "h w"], boxes: ImageBoxes, tree: ClassTree, plan: Plan
) -> list[Row]:
    """A row of LABELLED_BOXES for each box of an image, but for boxes of void."""
    opened, rows = opened_classes(tree), []
    for corners, node in zip(boxes.corners, boxes.nodes, strict=True):
        if tree.nodes[node] == VOID:
            continue
        inside = labels[window(corners, (labels.shape[0], labels.shape[1]))]
        names = [name for name, is_in in zip(tree.classes, opened[node], strict=True) if is_in]
        ious = [value for name in names if (value := plan.expected.get(name)) is not None]
        share, agreement = float((inside != tree.void).mean()), _agreement(np.append(opened[node], False)[inside])
        rows.append(
            {
                "image_id": image_id,
                "class": tree.nodes[node],
                **dict(zip(("x0", "y0", "x1", "y1"), map(float, corners), strict=True)),
                "share_labelled": share,
                "agreement": agreement,
                "expected_iou": sum(ious) / len(ious) if ious else None,
                "route": "+".join(dict.fromkeys(r for name in names if (r := plan.route_of[name]) != NONE)),
                "warning": _warning(share, agreement),
            }
        )
    return rows


def _agreement(own: np.ndarray) -> float:
    """IoU of a box with the rectangle around the pixels in it that are of its class, 0..1."""
    rows, columns = np.flatnonzero(own.any(1)), np.flatnonzero(own.any(0))
    if not len(rows):
        return 0.0
    return float((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) / own.size)


def _warning(share: float, agreement: float) -> str | None:
    if agreement == 0:
        return "no pixel in the box is labelled as its class"
    if agreement < _SPANS:
        return f"the labels of its class span only {agreement:.0%} of the box"
    return f"only {share:.0%} of the box is labelled" if share < _LITTLE else None


def answerer(first_line: str) -> Callable[[str], str]:
    """What a worker process calls for each chunk (`thresher.workers.serve`).

    Args:
        first_line: From `LabelJob.as_line`; the folders are the same on every machine.
    """
    run, folder, first = first_line.split("\t")
    files = LabelFiles(Path(folder))
    plan = read_plan(files.plan)
    if plan is None:
        raise DataError(f"{files.plan}: not there, or damaged. Run `thresher labels` again.")
    job = LabelJob(Run(run), files, plan, int(first))
    return lambda line: str(label_chunk(job, int(line)))
