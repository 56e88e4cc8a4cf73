"""How long the rules from boxes to pixel labels take for an image, without network and files.

Run: python benchmarks/labels.py [CLASSES' TAXONOMY]     (CPU milliseconds per image and route; the machine may be busy)
"""

from __future__ import annotations

import io
import sys
import time

import numpy as np
from PIL import Image

from thresher.data.taxonomy import load_taxonomy
from thresher.labelling.image_boxes import boxed_classes
from thresher.labelling.pixels import ImageBoxes
from thresher.labelling.routes import ROUTES, Rules, Seen
from thresher.segmentation.tree import class_tree

HEIGHT, WIDTH, IMAGES, BOXES = 256, 352, 40, 4


def main() -> None:
    """Print CPU milliseconds per image of each rule, and of writing its PNG."""
    taxonomy = load_taxonomy(sys.argv[1] if len(sys.argv) > 1 else "camvid")
    tree, boxed, rng = class_tree(taxonomy), boxed_classes(taxonomy), np.random.default_rng(0)
    rules = Rules(tree, np.full(len(tree.nodes), 0.6))
    # Smooth, so that labels have the patches that those of a network have.
    coarse = rng.normal(size=(IMAGES, len(tree.classes), 8, 11)).repeat(HEIGHT // 8, 2).repeat(WIDTH // 11, 3) * 3
    probabilities = np.exp(coarse - coarse.max(1, keepdims=True)).astype(np.float32)
    probabilities /= probabilities.sum(1, keepdims=True)
    nodes = [tree.nodes.index(name) for name, is_so in zip(tree.classes, boxed, strict=True) if is_so]
    seen = []
    for each in probabilities:
        low = rng.uniform(0, 0.6, (BOXES, 2))
        corners = np.concatenate([low, low + rng.uniform(0.1, 0.4, (BOXES, 2))], 1).astype(np.float32)
        boxes = ImageBoxes(corners, rng.choice(nodes, BOXES), boxed)
        seen.append(Seen(each, boxes, np.zeros((HEIGHT, WIDTH, 3), np.uint8)))
    print(f"{len(tree.classes)} classes, {WIDTH} × {HEIGHT}, {BOXES} boxes per image")
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    for name in ("unlabelled", "gate", "fill"):
        started = time.process_time()
        for each in seen:
            labels = ROUTES[name](each, rules)
        print(f"{name}: {1000 * (time.process_time() - started) / IMAGES:.1f} ms")
    started = time.process_time()
    for _ in range(IMAGES):
        Image.fromarray(labels).save(io.BytesIO(), "PNG")
    print(f"PNG: {1000 * (time.process_time() - started) / IMAGES:.1f} ms")


if __name__ == "__main__":
    main()
