"""The sheet of a label set: random images, and the worst by agreement, beside their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from thresher import tables
from thresher.data.label_maps import class_numbers, coloured, label_map
from thresher.drawings.contact_sheet import save_sheet
from thresher.drawings.label_sheet import LabelledPicture, label_sheet
from thresher.labelling.label_set import LabelFiles
from thresher.labelling.label_tables import LABELLED_BOXES
from thresher.run.opened import OpenedRun

#: How many images are shown.
_RANDOM, _WORST = 20, 10


def draw_label_sheet(opened: OpenedRun, files: LabelFiles, seed: int) -> None:
    """Draw `LabelFiles.sheet`: 20 random images of the set, and the ten whose boxes agree least with their labels."""
    images = tables.scan(files.images, tables.LABELLED_IMAGES).select("image_id", "share_labelled").collect()
    rows = np.sort(np.random.default_rng(seed).permutation(images.height)[:_RANDOM])
    drawn = images[rows.tolist()]["image_id"].to_list()
    agreement = tables.scan(files.boxes, LABELLED_BOXES).group_by("image_id").agg(pl.col("agreement").mean())
    worst = agreement.sort("agreement", "image_id").head(_WORST).collect(engine="streaming")["image_id"].to_list()
    pictures = _pictures(opened, files, list(dict.fromkeys([*drawn, *worst])))
    groups = [
        (f"{len(drawn)} random images: boxes, and labels (white: no label)", [pictures[name] for name in drawn]),
        (f"The {len(worst)} images whose boxes agree least with their labels", [pictures[name] for name in worst]),
    ]
    save_sheet(label_sheet(groups), files.sheet)


def _pictures(opened: OpenedRun, files: LabelFiles, ids: list[str]) -> dict[str, LabelledPicture]:
    wanted = pl.col("image_id").is_in(ids)
    images = tables.scan(files.images, tables.LABELLED_IMAGES).filter(wanted).collect()
    boxes = tables.scan(files.boxes, LABELLED_BOXES).filter(wanted).collect()
    paths = opened.images.lazy().filter(wanted).select("image_id", "path").collect()
    numbers, found = class_numbers(opened.taxonomy, "class_index"), {}
    for row in images.join(paths, on="image_id").iter_rows(named=True):
        labels = label_map(files.folder / row["file"], numbers)
        colours = coloured(labels, opened.taxonomy)
        colours[labels == len(opened.taxonomy.classes)] = 255  # black may be a class
        own = boxes.filter(image_id=row["image_id"])
        kinds = own.group_by("class").len().sort("class").iter_rows()
        told = ", ".join(f"{count} {name}" for name, count in kinds) or "no box"
        agreements = own["agreement"].to_numpy()
        agrees = f", agreement {float(agreements.mean()):.2f}" if own.height else ""
        found[row["image_id"]] = LabelledPicture(
            path=Path(row["path"]),
            boxes=[*own.select("x0", "y0", "x1", "y1").iter_rows()],
            colours=colours,
            caption=row["image_id"],
            detail=f"{row['share_labelled']:.0%} labelled; {told}{agrees}",
        )
    return found
