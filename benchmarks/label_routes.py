"""How good the labels of each route are on pool images whose true masks are known, from the boxes that they come with.

Run:     python benchmarks/label_routes.py RUN --teacher TRAINING --masks FORMAT:ROOT [--every 3] [--shown-steps 0]
         For example, after `thresher train runs/animals --mode labels --strong-limit 100 --name base`, with
         --teacher base --masks masks:runs/animals_true
Needs:   the extra `train`. The true masks are found by the images' ids; they measure and take no part in labelling.
Prints:  a row for each route and class: IoU with its 95 % interval (bootstrap over images) and precision, in %. A pixel
         without label is a miss. Then processor milliseconds per image of each route.

`thresher labels` itself measures routes on held-out masks of the target. This says what that is worth in the pool.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import polars as pl

from thresher.comparison.proxy.materials import true_masks
from thresher.data.label_maps import class_numbers, label_map
from thresher.labelling.held_out import label_counts, route_table
from thresher.labelling.image_boxes import drawn_nodes, image_boxes
from thresher.labelling.of_masks import BoxesOfMasks
from thresher.labelling.pixels import opened_classes
from thresher.labelling.routes import ROUTES, Rules, Seen
from thresher.labelling.settings import LabelSettings
from thresher.labelling.showing import new_shown
from thresher.labelling.teacher import Teacher, teacher_of
from thresher.labelling.work import resized
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import untracked
from thresher.segmentation.box_shown import box_shown
from thresher.segmentation.examples import pixels_of
from thresher.segmentation.inference import Images, segmented
from thresher.segmentation.trained import ready, trained_network
from thresher.segmentation.tree import class_tree


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--masks", required=True)
    parser.add_argument("--every", type=int, default=3, help="measure on every so manieth image with a mask")
    parser.add_argument("--shown-steps", type=int, default=0, help="steps of the network that is shown boxes; 0: not")
    asked = parser.parse_args()
    opened = OpenedRun(Run(asked.run))
    teacher = teacher_of(opened.run, LabelSettings(teacher=asked.teacher), None)
    images = opened.pool.join(true_masks(opened, asked.masks).drop("path"), on="image_id").sort("image_id")
    measure(opened, teacher, images.gather_every(asked.every), asked.shown_steps)


def measure(opened: OpenedRun, teacher: Teacher, images: pl.DataFrame, shown_steps: int) -> None:
    """Label the images by every route and compare with their masks."""
    tree = class_tree(opened.taxonomy)
    drawn = drawn_nodes(opened, opened.pool, tree)
    boxed = np.asarray(opened_classes(tree)[drawn].any(0))
    of_masks = BoxesOfMasks(opened.taxonomy, tree, drawn, boxed, LabelSettings.jitter, 0)
    strong = teacher.images().strong
    shown = new_shown(strong, of_masks, shown_steps, teacher.settings, untracked) if shown_steps else None
    rules = Rules(tree, of_masks.rates(strong), LabelSettings.sure, box_shown(*shown) if shown else None)
    routes = {name: route for name, route in ROUTES.items() if shown or name != "shown"}
    boxes, spent = image_boxes(opened, images, tree), dict.fromkeys(routes, 0.0)
    rows = images.select("image_id", "path", "mask", "encoding").rows()

    def counted(number: int, pixels: np.ndarray, beside: None, probabilities: np.ndarray) -> np.ndarray:
        name, _, mask, encoding = rows[number]
        truth = resized(label_map(Path(mask), class_numbers(opened.taxonomy, encoding)), probabilities.shape[1:])
        found = []
        for each, route in routes.items():
            started = time.thread_time()
            labels = route(Seen(probabilities, boxes[name], pixels), rules)
            spent[each] += time.thread_time() - started
            found.append(label_counts(truth, labels, len(tree.classes)))
        return np.stack(found)

    network = ready(trained_network(teacher.checkpoint))
    read = Images(len(rows), lambda number: (pixels_of(Path(rows[number][1])), None))
    counts = np.stack(segmented(network, read, counted, untracked, network.class_probabilities))
    by_route = {name: counts[:, place] for place, name in enumerate(routes)}
    table = route_table(by_route, np.zeros(len(tree.classes), np.int64), tree, boxed).drop_nulls("iou")
    for row in table.iter_rows(named=True):
        iou, low, high, precision = (100 * (row[name] or 0.0) for name in ("iou", "low", "high", "precision"))
        name = f"{row['route']} {row['class'] or 'mean of boxed classes'}"
        print(f"{name:28} IoU {iou:5.1f} ({low:.1f} to {high:.1f}), precision {precision:5.1f}, {row['images']} images")
    for name, seconds in spent.items():
        print(f"{name:28} {1000 * seconds / len(rows):5.1f} ms per image")


if __name__ == "__main__":
    main()
