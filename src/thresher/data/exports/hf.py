"""A folder of Parquet files for Hugging Face's `datasets`: an image per row, its boxes in `objects`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.exports.folders import (
    Images,
    boxes_by_image,
    file_names,
    ordered,
    readable_labels,
    replaced_folder,
    score_columns,
    upright_size,
)
from thresher.data.sources import image_bytes
from thresher.tables import Schema

#: Images in one file, and in one of its row groups, which readers load at once.
FILE_IMAGES, GROUP_IMAGES = 1000, 100
FLAGS = ("is_group", "is_depiction", "is_inside", "is_occluded", "is_truncated", "exhaustive")
IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})
#: Boxes as an object of lists.
OBJECTS = pl.Struct(
    {
        "id": pl.List(pl.Int64),
        "bbox": pl.List(pl.Array(pl.Float32, 4)),
        "area": pl.List(pl.Float32),
        "category": pl.List(pl.Int64),
        "label": pl.List(pl.String),
        "class": pl.List(pl.String),
        "iscrowd": pl.List(pl.Int8),
        **{name: pl.List(pl.Boolean) for name in FLAGS},
    }
)
_VALUES = {
    pl.String: "string",
    pl.Int64: "int64",
    pl.Int32: "int32",
    pl.Int8: "int8",
    pl.Float64: "float64",
    pl.Float32: "float32",
    pl.Boolean: "bool",
}


def write_hf(chosen: pl.DataFrame, boxes: pl.DataFrame, names: Mapping[str, str], out: Path, images: Images) -> None:
    """A folder with data/train-*.parquet and its card, for `load_dataset(OUT)`; `readers.parquet` reads copies back.

    Columns: image (as stored; none for `images` "none"), image_id, path, dataset, split, width, height, rank, score,
    why, each score, objects. `objects` follows the Hub's convention for detection: bbox = [x, y, width, height] in
    pixels, category a class label whose names are what the labels are called; label and class as in the boxes table,
    null where there is no class. `images` "copy" puts the files' bytes in, "link" has `datasets` read them by path.

    Raises:
        DataError: `out` holds other files, an image no longer exists, or its size is unknown.

    Source: https://huggingface.co/docs/datasets/object_detection, https://huggingface.co/docs/hub/datasets-cards
    """
    chosen, boxes = ordered(chosen, boxes)
    labels = readable_labels(boxes, names)
    schema = hf_schema(chosen, images)
    features = hf_features(schema, list(labels.values()))
    info = json.dumps({"info": {"features": features}}, ensure_ascii=False)
    with replaced_folder(out, chosen) as folder:
        files = file_names(chosen, images)
        rows = _rows(chosen, boxes, labels, files, images)
        (folder / "data").mkdir()
        (folder / "README.md").write_text(hf_card(features), encoding="utf-8")
        parts = max(1, -(-chosen.height // FILE_IMAGES))
        for part in range(parts):
            count = min(FILE_IMAGES, chosen.height - part * FILE_IMAGES)
            table = pl.DataFrame([next(rows) for _ in range(count)], schema=dict(schema), orient="row")
            path = folder / "data" / f"train-{part:05d}-of-{parts:05d}.parquet"
            table.write_parquet(path, compression="zstd", row_group_size=GROUP_IMAGES, metadata={"huggingface": info})


def hf_schema(chosen: pl.DataFrame, images: Images) -> Schema:
    """The columns of the Parquet files and their types."""
    picture: Schema = {} if images == "none" else {"image": IMAGE}
    text = {name: pl.String for name in ("image_id", "path", "dataset", "split")}
    numbers = {"width": pl.Int32, "height": pl.Int32, "rank": pl.Int64, "score": pl.Float64, "why": pl.String}
    scores = {name: chosen.schema[name] for name in score_columns(chosen)}
    return {**picture, **text, **numbers, **scores, "objects": OBJECTS}


def hf_features(schema: Schema, categories: list[str]) -> dict[str, Any]:
    """The features as `datasets` records them in a Parquet file's metadata, where `category` gets its names.

    >>> hf_features({"split": pl.String}, []), hf_features({"area": pl.List(pl.Float32)}, [])["area"]["_type"]
    ({'split': {'dtype': 'string', '_type': 'Value'}}, 'Sequence')
    """
    features = {name: _feature(kind) for name, kind in schema.items()}
    if "image" in schema:
        features["image"] = {"_type": "Image"}
    if "objects" in schema:
        features["objects"]["category"]["feature"] = {"names": categories, "_type": "ClassLabel"}
    return features


def hf_card(features: Mapping[str, Any]) -> str:
    """The dataset card, in whose head `datasets` and the Hub look for the features.

    It is needed, for `datasets` reads a Parquet file's own record of features by pyarrow, which passes over it where
    the file also states its Arrow schema, as polars' files do.
    """
    head = {
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}],
        "dataset_info": {"features": [{"name": name, **_card_type(each)} for name, each in features.items()]},
        "task_categories": ["object-detection"],
    }
    # JSON is YAML as well.
    return f"---\n{json.dumps(head, indent=1)}\n---\n\nImages chosen by thresher, best first.\n"


def _card_type(feature: Mapping[str, Any]) -> dict[str, Any]:
    kind = feature.get("_type")
    if kind == "Value":
        return {"dtype": feature["dtype"]}
    if kind == "Image":
        return {"dtype": "image"}
    if kind == "ClassLabel":
        return {"dtype": {"class_label": {"names": {str(i): name for i, name in enumerate(feature["names"])}}}}
    if kind == "Sequence":
        inner = _card_type(feature["feature"])
        length = {"length": feature["length"]} if "length" in feature else {}
        return {"sequence": inner["dtype"] if set(inner) == {"dtype"} else inner, **length}
    return {"struct": [{"name": name, **_card_type(each)} for name, each in feature.items()]}


def _feature(kind: Any) -> dict[str, Any]:
    # "Sequence" is what every version understands; newer ones write "List" for it.
    if isinstance(kind, pl.Struct):
        return {field.name: _feature(field.dtype) for field in kind.fields}
    if isinstance(kind, pl.List):
        return {"feature": _feature(kind.inner), "_type": "Sequence"}
    if isinstance(kind, pl.Array):
        return {"feature": _feature(kind.inner), "length": kind.size, "_type": "Sequence"}
    if kind == pl.Binary:
        return {"dtype": "binary", "_type": "Value"}
    return {"dtype": next(name for known, name in _VALUES.items() if kind == known), "_type": "Value"}


def _rows(
    chosen: pl.DataFrame, boxes: pl.DataFrame, labels: Mapping[str, str], files: Mapping[str, str], images: Images
) -> Iterator[dict[str, Any]]:
    """A row per image; its bytes are read on access."""
    held = boxes_by_image(boxes)
    number = {label: place for place, label in enumerate(labels)}
    same = ["image_id", "path", "dataset", "split", "rank", "score", *score_columns(chosen)]
    first = 0
    for row in chosen.iter_rows(named=True):
        width, height = upright_size(row)
        mine = held.get(row["image_id"], [])
        objects = _objects(mine, number, width, height, first)
        first += len(mine)
        picture: dict[str, Any] = {}
        if images == "copy":
            picture = {"image": {"bytes": image_bytes(row["path"]), "path": files[row["image_id"]]}}
        elif images == "link":
            picture = {"image": {"bytes": None, "path": os.path.abspath(row["path"])}}
        known = {name: row[name] for name in same}
        yield {**picture, **known, "width": width, "height": height, "why": row["why_text"], "objects": objects}


def _objects(
    boxes: list[dict[str, Any]], number: Mapping[str, int], width: int, height: int, first: int
) -> dict[str, list[Any]]:
    corners = [[box["x0"] * width, box["y0"] * height, box["x1"] * width, box["y1"] * height] for box in boxes]
    return {
        "id": list(range(first, first + len(boxes))),
        "bbox": [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in corners],
        "area": [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in corners],
        "category": [number[box["label"]] for box in boxes],
        "label": [box["label"] for box in boxes],
        "class": [box["class"] for box in boxes],
        "iscrowd": [int(bool(box["is_group"])) for box in boxes],
        **{name: [box[name] for box in boxes] for name in FLAGS},
    }
