"""Whether FiftyOne, LightlyStudio, embedding-atlas and Hugging Face's datasets read what export writes for them.

Write once, with thresher, then check with the Python of each tool, whose pins exclude each other:

    python benchmarks/handover.py write FOLDER
    /path/of/a/tool/bin/python benchmarks/handover.py check hf|lightly|fiftyone|atlas FOLDER

Each check needs that tool alone, loads the export with it, compares counts, ids, ranks, scores and boxes with what was
written, and prints one line. Nothing is downloaded. FiftyOne's samples and labels are made without its database.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

#: id, size, rank, score, similarity; boxes as label, its name, class, x, y, width, height in pixels, group.
IMAGES: list[Any] = [
    (
        "kitti/000000",
        (40, 20),
        1,
        0.9,
        -1.5,
        [("/m/0k4j", "Car", "car", 10, 5, 20, 10, False), ("person", "person", None, 0, 0, 40, 20, True)],
    ),
    ("oi/train_0/b.c", (30, 30), 2, 0.4, -2.25, [("/m/0k4j", "Car", "car", 3, 6, 12, 21, None)]),
    ("oi/train_0/none", (32, 24), 3, 0.1, None, []),
]


def write(folder: Path) -> None:
    """Made-up pictures, and an export of them in each form."""
    import polars as pl
    from PIL import Image

    from thresher.data.exports import FORMATS
    from thresher.tables import BOXES, from_rows

    rows, boxes = [], []
    for image_id, (width, height), rank, score, similarity, held in IMAGES:
        path = folder.absolute() / "pool" / f"{rank}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), (80 * rank, 40, 120)).save(path)
        rows.append(
            {"image_id": image_id, "path": str(path), "dataset": image_id.split("/")[0], "split": "train"}
            | {"width_px": width, "height_px": height, "rank": rank, "score": score, "why_text": f"why {rank}"}
            | {"similarity": similarity, "vector": [float(rank), 0.5, -1.0]}
        )
        for label, _, group, x, y, across, down, crowd in held:
            corners = {"x0": x / width, "y0": y / height, "x1": (x + across) / width, "y1": (y + down) / height}
            boxes.append({"image_id": image_id, "label": label, "class": group, "is_group": crowd, **corners})
    chosen = pl.DataFrame(rows)
    rest = chosen.head(1).with_columns(
        image_id=pl.lit("oi/not_chosen"), rank=pl.lit(None, pl.Int64), score=pl.lit(None, pl.Float64)
    )
    table = from_rows(boxes, BOXES)
    for form, writer in FORMATS.items():
        name = f"{form}.parquet" if form == "atlas" else form
        given = pl.concat([chosen, rest]) if form == "atlas" else chosen
        for images in ("copy", "link"):
            writer(given, table, {"/m/0k4j": "Car"}, folder / images / name, images)


def check_hf(folder: Path) -> str:
    """By `datasets`: features, pictures, boxes."""
    from datasets import load_dataset

    for images in ("copy", "link"):
        loaded = load_dataset(str(folder / images / "hf"), split="train", cache_dir=str(folder / "cache" / images))
        names = loaded.features["objects"]["category"].feature.names
        assert loaded.num_rows == len(IMAGES)
        for row, (image_id, size, rank, score, similarity, held) in zip(loaded, IMAGES, strict=True):
            assert (row["image_id"], row["rank"], row["score"], row["why"]) == (image_id, rank, score, f"why {rank}")
            assert row["similarity"] == similarity
            assert row["image"].size == size
            objects = row["objects"]
            found = [
                (objects["label"][i], names[objects["category"][i]], objects["class"][i], *objects["bbox"][i])
                for i in range(len(objects["id"]))
            ]
            assert_boxes(found, held)
    return version("datasets")


def check_lightly(folder: Path) -> str:
    """By LightlyStudio: samples, both sources of boxes, scores as metadata."""
    import lightly_studio as ls

    ls.db_manager.connect(db_file=str(folder / "lightly_studio.db"), cleanup_existing=True)
    for images in ("copy", "link"):
        home = folder / images / "lightly"
        dataset = ls.ImageDataset.create(name=images)
        told = {"images_path": home / "images", "embed": False, "embed_annotations": False}
        dataset.add_samples_from_coco(home / "annotations" / "labels.json", annotation_source="labels", **told)
        dataset.add_annotations_from_coco(
            annotations_json=home / "annotations" / "classes.json",
            images_root=home / "images",
            annotation_source="classes",
            embed_annotations=False,
        )
        with (home / "scores.csv").open() as file:
            scores = {row["file_name"]: row for row in csv.DictReader(file)}
        samples = {
            str(Path(sample.file_path_abs).relative_to((home / "images").absolute())): sample for sample in dataset
        }
        assert set(samples) == set(scores)
        told_of = []
        for file, sample in samples.items():
            numbers = {key: float(scores[file][key]) for key in ("rank", "score", "similarity") if scores[file][key]}
            told_of.append((sample.sample_id, {key: scores[file][key] for key in ("image_id", "why")} | numbers))
        dataset.update_metadata(told_of)
        by_id = {sample.metadata["image_id"]: sample for sample in dataset}
        for image_id, size, rank, score, similarity, held in IMAGES:
            sample = by_id[image_id]
            assert (sample.width, sample.height) == size
            assert (sample.metadata["rank"], sample.metadata["score"]) == (rank, score)
            assert sample.metadata["similarity"] == similarity
            found = sorted((each.class_name, each.x, each.y, each.width, each.height) for each in sample.annotations)
            called = [(box[1], *box[3:7]) for box in held] + [(box[2], *box[3:7]) for box in held if box[2]]
            assert found == sorted(called), found
    return version("lightly-studio")


def check_fiftyone(folder: Path) -> str:
    """By FiftyOne's importer, which makes its samples and labels of the folder."""
    import fiftyone as fo
    from fiftyone.utils.data.importers import _handle_legacy_formats

    for images in ("copy", "link"):
        chosen = fo.types.FiftyOneDataset().get_dataset_importer_cls()(str(folder / images / "fiftyone"))
        importer = _handle_legacy_formats(chosen)
        importer.setup()
        samples = list(importer)
        assert len(importer) == len(samples) == len(IMAGES)
        assert importer.get_dataset_info()["classes"] == ["Car", "person"]
        for sample, (image_id, size, rank, score, similarity, held) in zip(samples, IMAGES, strict=True):
            assert Path(sample.filepath).is_file()
            assert sample.media_type == "image"
            assert (sample.image_id, sample["rank"], sample.score, sample.why) == (image_id, rank, score, f"why {rank}")
            assert (sample["similarity"] if sample.has_field("similarity") else None) == similarity
            assert (sample.metadata.width, sample.metadata.height) == size
            found = []
            for each in sample.ground_truth.detections:
                x, y, across, down = each.bounding_box
                group = each["class_name"] if each.has_field("class_name") else None
                pixels = (x * size[0], y * size[1], across * size[0], down * size[1])
                found.append((each["source_label"], each.label, group, *pixels))
            assert_boxes(found, held)
    return version("fiftyone")


def check_atlas(folder: Path) -> str:
    """By embedding-atlas: its loader, its vectors' projection, and the queries its page makes."""
    import numpy as np
    from embedding_atlas.cli import load_datasets
    from embedding_atlas.data_source import DataSource

    for images in ("copy", "link"):
        path = str(folder / images / "atlas.parquet")
        frame = load_datasets([path])
        assert frame["image_id"].tolist() == [*(row[0] for row in IMAGES), "oi/not_chosen"]
        assert frame["selected"].tolist() == [True] * len(IMAGES) + [False]
        assert np.stack(frame["vector"]).shape == (len(IMAGES) + 1, 3)
        for row, (_, size, rank, score, similarity, held) in zip(frame.to_dict("records"), IMAGES, strict=False):
            assert (row["rank"], row["score"], row["why"]) == (rank, score, f"why {rank}")
            assert row["similarity"] == similarity or (similarity is None and math.isnan(row["similarity"]))
            found = [
                (
                    box["label"],
                    box["name"],
                    box["class"],
                    box["x0"] * size[0],
                    box["y0"] * size[1],
                    (box["x1"] - box["x0"]) * size[0],
                    (box["y1"] - box["y0"]) * size[1],
                )
                for box in (row["boxes"] if row["boxes"] is not None else [])
            ]
            assert_boxes(found, held)
            assert images == "link" or row["image"]["bytes"][:2] == b"\xff\xd8"
        assert len(load_datasets([path], query="SELECT * FROM data WHERE selected AND score > 0.3")) == 2
        assert DataSource("handover", frame, {}).dataset is not None
    return version("embedding-atlas")


def assert_boxes(found: Sequence[tuple[Any, ...]], held: Any) -> None:
    """Labels alike, pixels to a thousandth, in any order."""
    order = sorted(found, key=lambda box: str(box[0])), sorted((box[:7] for box in held), key=lambda box: str(box[0]))
    for got, want in zip(*order, strict=True):
        assert got[:3] == want[:3], (got, want)
        assert all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(got[3:], want[3:], strict=True)), (got, want)


CHECKS = {"hf": check_hf, "lightly": check_lightly, "fiftyone": check_fiftyone, "atlas": check_atlas}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("write").add_argument("folder", type=Path)
    check = actions.add_parser("check")
    check.add_argument("tool", choices=CHECKS)
    check.add_argument("folder", type=Path)
    given = parser.parse_args()
    if given.action == "write":
        write(given.folder)
    else:
        said = CHECKS[given.tool](given.folder.absolute())
        sys.stdout.write(json.dumps({"tool": given.tool, "version": said, "images": len(IMAGES)}) + "\n")
