"""The network that is shown boxes: its scenes from the target's masks, its training, and its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl
from jaxtyping import Int64
from PIL import Image

from thresher.data.images import rgb_image
from thresher.data.label_maps import class_numbers, label_map
from thresher.files import replacing
from thresher.labelling.image_boxes import boxes_of_mask, jittered
from thresher.labelling.of_masks import BoxesOfMasks, some_of
from thresher.labelling.pixels import opened_classes
from thresher.pretrained import pretrained_weights
from thresher.run.perform import Track
from thresher.training.settings import TrainSettings

if TYPE_CHECKING:
    from thresher.segmentation.box_shown import BoxShown, Scene
    from thresher.segmentation.prompted import Prompted

#: The network as ONNX, and which of its outputs speaks for each node.
Shown: TypeAlias = tuple[bytes, Int64[np.ndarray, " nodes"]]
#: Images are reduced until their long side is this, so that all fit in memory: 0.5 MB each.
_MOST_PX = 448


def new_shown(
    strong: pl.DataFrame, of_masks: BoxesOfMasks, steps: int, training: TrainSettings, track: Track[Any]
) -> Shown | None:
    """A network that is shown boxes, trained on masks.

    None if the masks hold no object of a class that boxes are drawn around.

    Args:
        strong: Images with masks: image_id, path, mask and encoding.
        training: The teacher's, whose encoder it starts from.
    """
    from thresher.segmentation.box_shown import ShownSettings, output_of_nodes, trained_on_boxes

    scenes = _scenes(strong, of_masks)
    tree = of_masks.tree
    objects = np.bincount(np.concatenate([each.classes for each in scenes]), minlength=len(tree.classes))
    if not objects.any():
        return None
    settings = ShownSettings(steps=steps, jitter=of_masks.jitter, encoder=training.encoder, seed=of_masks.seed)

    def moved(corners: Any, rng: np.random.Generator) -> Any:
        return jittered(corners, rng, settings.jitter)

    def watch(numbers: range) -> Any:
        return track(numbers, len(numbers), "training the network that is shown boxes")

    weights = pretrained_weights(training.encoder, training.weights)
    content = trained_on_boxes(scenes, tree, weights, settings, moved, watch)
    return content, output_of_nodes(tree, objects.astype(np.int64))


def _scenes(strong: pl.DataFrame, of_masks: BoxesOfMasks) -> list[Scene]:
    from thresher.segmentation.box_shown import Scene

    tree, scenes = of_masks.tree, []
    rows = some_of(strong)
    numbers = {encoding: class_numbers(of_masks.taxonomy, encoding) for encoding in rows["encoding"].unique()}
    opened = opened_classes(tree)
    for path, mask, encoding in rows.select("path", "mask", "encoding").iter_rows():
        image, labels = rgb_image(Path(path)), label_map(Path(mask), numbers[encoding])
        image.thumbnail((_MOST_PX, _MOST_PX), Image.Resampling.BILINEAR)
        small = np.array(Image.fromarray(labels).resize(image.size, Image.Resampling.NEAREST))
        tight = boxes_of_mask(small, tree, of_masks.boxed, np.random.default_rng(0), 0.0)
        classes = opened[tight.nodes].argmax(1).astype(np.int64)
        scenes.append(Scene(np.array(image), small, tight.corners, classes))
    return scenes


def write_shown(content: bytes, path: Path) -> None:
    """Write the network as ONNX."""
    with replacing(path) as file:
        file.write(content)


def read_shown(path: Path, output_of: Sequence[int]) -> BoxShown:
    """The network in a file."""
    from thresher.segmentation.box_shown import box_shown

    return box_shown(path.read_bytes(), np.array(output_of, np.int64))


def read_segmenter(files: Sequence[str]) -> Prompted:
    """A promptable segmenter of the user's own: encoder and decoder."""
    from thresher.segmentation.prompted import prompted

    encoder, decoder = (Path(file) for file in files)
    return prompted(encoder, decoder)


def step_share(training: TrainSettings) -> float:
    """How long a step of this network takes, as a share of a step of the teacher: by the pixels of both."""
    from thresher.segmentation.box_shown import CROP_PX, ShownSettings

    return ShownSettings.batch * CROP_PX**2 / (training.strong_batch * training.height_px * training.width_px)
