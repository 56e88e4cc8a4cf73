"""The same photo twice, as pools have them: cropped a little, brightened a little, compressed again."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from thresher.synthetic.canvas import Box, Scene


def near_duplicate(rng: np.random.Generator, scene: Scene) -> Scene:
    """The scene a little brighter or darker, and in half of all cases cut by up to two pixels a side."""
    height, width = scene.labels.shape
    left, top, right, bottom = rng.integers(0, 3, 4).tolist() if rng.random() < 0.5 else (0, 0, 0, 0)
    window = (left, top, width - right, height - bottom)
    gain = rng.uniform(1.02, 1.07) if rng.random() < 0.5 else rng.uniform(0.93, 0.98)
    rgb = Image.fromarray(scene.rgb).resize((width, height), Image.Resampling.BICUBIC, box=window)
    kept = (_moved(box, window, width, height) for box in scene.boxes)
    return dataclasses.replace(
        scene,
        rgb=np.clip(np.asarray(rgb, dtype=np.float32) * gain, 0, 255).astype(np.uint8),
        labels=_nearest(scene.labels, window),
        instances=_nearest(scene.instances, window),
        boxes=tuple(box for box in kept if box.x1 > box.x0 and box.y1 > box.y0),
    )


def _nearest(values: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    height, width = values.shape
    x0, y0, x1, y1 = window
    rows = (y0 + (np.arange(height) + 0.5) * (y1 - y0) / height).astype(int)
    columns = (x0 + (np.arange(width) + 0.5) * (x1 - x0) / width).astype(int)
    return np.asarray(values[rows][:, columns])


def _moved(box: Box, window: tuple[int, int, int, int], width: int, height: int) -> Box:
    x0, y0, x1, y1 = window
    xs = np.clip((np.array([box.x0, box.x1]) * width - x0) / (x1 - x0), 0, 1).tolist()
    ys = np.clip((np.array([box.y0, box.y1]) * height - y0) / (y1 - y0), 0, 1).tolist()
    return dataclasses.replace(box, x0=xs[0], x1=xs[1], y0=ys[0], y1=ys[1])
