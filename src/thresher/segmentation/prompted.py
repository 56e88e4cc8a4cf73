"""A promptable segmenter of the user's own, such as SAM 2, as two ONNX files: boxes in, masks of their objects out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch.nn import functional

from thresher.data.faults import refusing
from thresher.errors import DataError

#: Prompts of two corners of a box, as the point labels of SAM.
_CORNERS = (2.0, 3.0)
#: What the pixels of 0..1 are scaled by: ImageNet's mean and deviation.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Names that exporters give the image's features: encoders of the one, decoders of the other.
_SAME = {"image_embeddings": "image_embed", "image_embed": "image_embeddings"}


@dataclass(frozen=True)
class Prompted:
    """Encoder and decoder, run by onnxruntime; threads may share them."""

    encoder: Any
    decoder: Any
    size: tuple[int, int]
    """Height and width of the encoder's input; images are resized to it without keeping their shape, as SAM 2 does."""

    def in_boxes(
        self,
        pixels: UInt8[np.ndarray, "h w 3"],
        corners: Float32[np.ndarray, "boxes 4"],
        nodes: Int64[np.ndarray, " boxes"],
        places: list[tuple[slice, slice]],
        size: tuple[int, ...],
    ) -> list[Float32[np.ndarray, "_ _"]]:
        """For each box the probability, 0..1, that a pixel is of its object. The boxes' classes are not asked for.

        Args:
            places: Rows and columns of each box's pixels, in an image of another size.
            size: Height and width of that image.
        """
        if not len(corners):
            return []
        features = self._features(pixels)
        found = []
        for each, place in zip(corners, places, strict=True):
            mask = torch.from_numpy(self._mask(features, each))[None, None]
            whole = functional.interpolate(mask, (size[0], size[1]), mode="bilinear")[0, 0]
            found.append(whole[place[0], place[1]].sigmoid().numpy())
        return found

    def _features(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
        resized = functional.interpolate(image, self.size, mode="bilinear", antialias=True) / 255
        scaled = (resized - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None]
        (name,) = (each.name for each in self.encoder.get_inputs())
        names = [each.name for each in self.encoder.get_outputs()]
        features = dict(zip(names, self.encoder.run(names, {name: scaled.numpy()}), strict=True))
        return features | {_SAME[name]: value for name, value in features.items() if name in _SAME}

    def _mask(self, features: dict[str, np.ndarray], corners: np.ndarray) -> Float32[np.ndarray, "h w"]:
        """The logits of the best of the masks for one box."""
        x0, y0, x1, y1 = (float(end) for end in corners)
        points = [[x0 * self.size[1], y0 * self.size[0]], [x1 * self.size[1], y1 * self.size[0]]]
        known = features | {
            "point_coords": np.array([points], np.float32),
            "point_labels": np.array([_CORNERS], np.float32),
            "has_mask_input": np.zeros(1, np.float32),
        }
        given = {}
        for each in self.decoder.get_inputs():
            if each.name == "mask_input":
                given[each.name] = np.zeros([n if isinstance(n, int) else 1 for n in each.shape], np.float32)
            else:
                given[each.name] = known[each.name]
        outputs = self.decoder.run(None, given)
        masks, qualities = outputs[0][0], np.ravel(outputs[1])
        best: Float32[np.ndarray, "h w"] = np.asarray(masks[int(qualities[: len(masks)].argmax())], np.float32)
        return best


def prompted(encoder: Path, decoder: Path) -> Prompted:
    """The segmenter in two files.

    The encoder takes one image (1 3 h w, floats scaled by ImageNet's mean and deviation). The decoder takes the
    encoder's outputs by their names, `point_coords` and `point_labels` (the corners of a box, labelled 2 and 3), and
    may take `mask_input` and `has_mask_input`; it gives the masks' logits (1 n h w), then their qualities (1 n).

    Raises:
        DataError: a file cannot be read, or the decoder asks for anything else.

    Source: the names are those of common exports of SAM and SAM 2 (arXiv 2408.00714).
    """
    sessions = [_session(path) for path in (encoder, decoder)]
    size = sessions[0].get_inputs()[0].shape[2:]
    if not all(isinstance(side, int) for side in size) or len(size) != 2:
        raise DataError(f"{encoder}: input of shape {sessions[0].get_inputs()[0].shape}; expected 1, 3, height, width.")
    offered = {each.name for each in sessions[0].get_outputs()}
    offered |= {_SAME[name] for name in offered if name in _SAME}
    known = offered | {"point_coords", "point_labels", "mask_input", "has_mask_input"}
    asked = [each.name for each in sessions[1].get_inputs()]
    if strange := [name for name in asked if name not in known]:
        raise DataError(
            f"{decoder}: asks for {', '.join(strange)}; known are {', '.join(sorted(known))}. Export encoder and "
            "decoder together."
        )
    return Prompted(sessions[0], sessions[1], (size[0], size[1]))


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with refusing(f"{path}: no ONNX file that onnxruntime can run", "Export it again."):
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
