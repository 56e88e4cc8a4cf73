"""The tables of a run: their columns, and functions to check, read and write them.

Row order never carries meaning. Absent is null: never -1, 0 or NaN. `image_id` is the key everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from thresher.errors import DataError
from thresher.files import replacing
from thresher.run_files import readable

Schema = Mapping[str, pl.DataType | type[pl.DataType]]

#: One row per image that a reader found. `dataset/…` is the prefix of each `image_id`; `split` as the source names it.
#: `path` is absolute. Sizes are null where the annotation does not state them: embed fills them in.
IMAGES: Schema = {
    "image_id": pl.String,
    "path": pl.String,
    "dataset": pl.String,
    "split": pl.String,
    "width_px": pl.Int32,
    "height_px": pl.Int32,
}
#: `role` is "target" or "pool", added by index.
INDEXED_IMAGES: Schema = {**IMAGES, "role": pl.String}

#: One row per box. `label` as the source spells it; `class` is the taxonomy's class or group, "void" where the source
#: itself marks a region to be ignored, null where the taxonomy has no counterpart. Corners are shares of the image's
#: width and height, 0..1, origin at the top left. Flags are null where the source does not state them.
BOXES: Schema = {
    "image_id": pl.String,
    "label": pl.String,
    "class": pl.String,
    "x0": pl.Float32,
    "y0": pl.Float32,
    "x1": pl.Float32,
    "y1": pl.Float32,
    "is_group": pl.Boolean,
    "is_depiction": pl.Boolean,
    "is_inside": pl.Boolean,
    "is_occluded": pl.Boolean,
    "is_truncated": pl.Boolean,
    "exhaustive": pl.Boolean,
}

#: Objects marked without an area: by points, or one by a label of the whole image, or 0 where somebody saw none.
TAGS: Schema = {"image_id": pl.String, "label": pl.String, "class": pl.String, "objects": pl.Int32}

#: Per-pixel label files; a path that is not absolute is below the run's folder. `encoding` gives the meaning of the
#: PNG's values: one of `taxonomy.ENCODINGS`.
MASKS: Schema = {"image_id": pl.String, "path": pl.String, "encoding": pl.String}

#: Images that are listed but not on disk (`index --download-later`), a row per address, the preferred one first.
#: `original`: an address of another copy than the data set's own, such as the uploaded photo; md5 (hexadecimal) and
#: size are those of the file there, null where nobody states them. `url` is null where no address is known.
REMOTE: Schema = {"image_id": pl.String, "url": pl.String, "original": pl.Boolean, "md5": pl.String} | {
    "size_bytes": pl.Int64
}

#: Readable names of a source's labels and their ancestors, nearest first (Open Images has a hierarchy).
VOCABULARY: Schema = {"label": pl.String, "name": pl.String, "ancestors": pl.List(pl.String)}

#: The class of each source label; null where the taxonomy has no counterpart.
LABELS: Schema = {
    "dataset": pl.String,
    "label": pl.String,
    "name": pl.String,
    "class": pl.String,
    "boxes": pl.Int64,
    "images": pl.Int64,
}

#: Everything that was left out or repaired. `problem` is the kind, `detail` the reason as a sentence.
PROBLEMS: Schema = {
    "image_id": pl.String,
    "path": pl.String,
    "stage": pl.String,
    "problem": pl.String,
    "detail": pl.String,
}

#: One row per shard row without the slices: the mean of an image's unit-length slices, and its true size.
POOLED: Schema = {"image_id": pl.String, "grid_h": pl.Int32, "grid_w": pl.Int32} | {
    "width_px": pl.Int32,
    "height_px": pl.Int32,
    "vector": pl.Array,
}

#: One row per file of slices: its contents, and the digest of its bytes. `fingerprint` is of backbone and projection.
SHARDS: Schema = {"number": pl.Int64, "images": pl.Int64, "problems": pl.Int64, "slices": pl.Int64} | {
    "width": pl.Int64,
    "bytes": pl.Int64,
    "fingerprint": pl.String,
    "sha256": pl.String,
}

#: One row per image that embed has worked on: its shard, and its file as it was then (of a packed image the archive's
#: size and time). `content` is a digest of the image's bytes, null if they could not be read; `variance_kept` the share
#: of its slices' variance that the projection keeps. `slices` is null for an unreadable image.
EMBEDDED: Schema = {"image_id": pl.String, "shard": pl.Int64, "slices": pl.Int64, "variance_kept": pl.Float32} | {
    "content": pl.String,
    "path": pl.String,
    "size_bytes": pl.Int64,
    "mtime_ns": pl.Int64,
}

#: One row per embedded image (`features.image_facts`); null with vectors of one's own, and from an older release.
IMAGE_FACTS: Schema = {"image_id": pl.String} | dict.fromkeys(("sharpness", "brightness", "contrast"), pl.Float32)

#: One row per pool image; higher is nearer the target (similarities) or richer (diversity, yield). Null if score
#: did not compute it. Units: similarity, ratio and sphere are nats per slice, pooled_sphere nats, typicality spreads
#: of the target; cosine, nearest, layout and rows −1..1; covered_area and yield_area in shares of the picture.
SCORES: Schema = {
    "image_id": pl.String,
    "layout": pl.Float64,
    "similarity": pl.Float64,
    "ratio": pl.Float64,
    "typicality": pl.Float64,
    "cosine": pl.Float64,
    "rows": pl.Float64,
    "sphere": pl.Float64,
    "pooled_sphere": pl.Float64,
    "nearest": pl.Float64,
    "nearest_ids": pl.List(pl.String),
    "objects": pl.Int64,
    "classes": pl.Int64,
    "class_entropy_bits": pl.Float64,
    "covered_area": pl.Float64,
    "diversity": pl.Float64,
    "yield_area": pl.Float64,
}

#: Scores that every release has written; older runs may lack others.
OLDEST_SCORES = ("image_id", "layout", "similarity", "diversity", "nearest_ids")

#: One row per chosen image, rank 1 first. `why` holds the reasons.
SELECTION: Schema = {
    "image_id": pl.String,
    "rank": pl.Int64,
    "score": pl.Float64,
    "why": pl.Struct(
        {
            "layout_rank": pl.Int64,
            "similarity_rank": pl.Int64,
            "diversity_rank": pl.Int64,
            "nearest_ids": pl.List(pl.String),
            "rare_classes": pl.List(pl.String),
        }
    ),
}

#: What people did in the explorer, in the order in which they did it. `what` is a setting of select, or "mark": then
#: `value` is accepted, rejected, pinned or none, of the image named. `value` is null where a setting was reset.
REVIEW: Schema = {
    "at": pl.Datetime("us", "UTC"),
    "person": pl.String,
    "what": pl.String,
    "image_id": pl.String,
    "value": pl.String,
}

#: What insight writes, below RUN/insight. One row per K that fit tried; log-likelihoods are means per slice.
COMPONENTS_TRIED: Schema = {"components": pl.Int64, "held_out_nats": pl.Float64, "fitted_nats": pl.Float64}

#: One row per component of the mixture; shares are 0..1 of the slices of the whole target and of a draw of the pool.
COMPONENTS: Schema = {"component": pl.Int64} | dict.fromkeys(("weight", "target_share", "pool_share"), pl.Float64)

#: The target's slices most typical of each component, rank 1 first; `row` and `column` count cells from the top left.
COMPONENT_SLICES: Schema = {"component": pl.Int64, "rank": pl.Int64, "image_id": pl.String} | {
    "row": pl.Int64,
    "column": pl.Int64,
    "responsibility": pl.Float64,
    "log_density_nats": pl.Float64,
}

#: The whole target and a draw of the pool. `similarity` is under mixtures fitted without the image (pool: the
#: mean over them); `fitted_nats` under the run's own mixture, which was fitted to the target's.
SIMILARITIES: Schema = {"image_id": pl.String, "role": pl.String, "similarity": pl.Float64, "fitted_nats": pl.Float64}

#: The histogram of `similarity`: the share, 0..1, of a role's images in each bin.
SIMILARITY_BINS: Schema = {"role": pl.String, "from_nats": pl.Float64, "to_nats": pl.Float64, "share": pl.Float64}

#: t-SNE coordinates of the images; the axes have no unit.
MAP: Schema = {"image_id": pl.String, "role": pl.String, "x": pl.Float64, "y": pl.Float64}

#: One row per cell of each heat map; `name` is the picture's file name without its ending.
HEAT: Schema = {
    "name": pl.String,
    "image_id": pl.String,
    "row": pl.Int64,
    "column": pl.Int64,
    "log_density_nats": pl.Float64,
}

#: The images of a label set. `file`: the label map, as a path below the label set's folder; `share_labelled`: of its
#: pixels, 0..1.
LABELLED_IMAGES: Schema = {"image_id": pl.String, "file": pl.String, "width_px": pl.Int64, "height_px": pl.Int64} | {
    "share_labelled": pl.Float64
}

#: One row per class of a trained network's validation; shares are 0..1, null where the class has no pixels.
CLASS_METRICS: Schema = {
    "class": pl.String,
    "iou": pl.Float64,
    "precision": pl.Float64,
    "recall": pl.Float64,
    "labelled_px": pl.Int64,
    "decided_px": pl.Int64,
}

#: Confusion matrix in pixels: a row per pair of labelled and predicted class, including zeros.
CONFUSION: Schema = {"class": pl.String, "decided_class": pl.String, "pixels": pl.Int64}

#: What a row of a comparison is of: how many images were selected, `budget` null for the anchors none and all; `set` is
#: validation or test; `class` null for the mean over classes. Shares are 0..1.
_ROW: Schema = {"method": pl.String, "mode": pl.String, "budget": pl.String, "images": pl.Int64} | {
    "set": pl.String,
    "class": pl.String,
}
_SHARES: Schema = {"iou": pl.Float64, "precision": pl.Float64, "recall": pl.Float64}
#: One row per training, set and class. `weak_images` taught: the selected images with a box that can; `seconds` is what
#: the training took since it was last interrupted.
RESULTS: Schema = {**_ROW, "seed": pl.Int64, "weak_images": pl.Int64, **_SHARES} | {
    "labelled_px": pl.Int64,
    "seconds": pl.Float64,
}
#: Means over seeds; `iou_low` to `iou_high` is the 95 % t interval, null with fewer than two seeds.
SUMMARY: Schema = {**_ROW, "seeds": pl.Int64, "iou": pl.Float64, "iou_low": pl.Float64, "iou_high": pl.Float64} | {
    "precision": pl.Float64,
    "recall": pl.Float64,
    "weak_images": pl.Float64,
    "seconds": pl.Float64,
}
#: IoU minus that of `against` (random, none, …), paired by seed: mean and standard deviation over seeds, 95 % interval
#: and p; the last two also corrected by Holm, for the rows with the same `against`, set and class.
DIFFERENCES: Schema = {**_ROW, "against": pl.String, "seeds": pl.Int64} | dict.fromkeys(
    ("iou_difference", "sd", "low", "high", "p", "low_holm", "high_holm", "p_holm"), pl.Float64
)
#: How often a class occurs: in the pool, in the target (strong images that teach), in each selection of a comparison.
#: Of boxes those that count for diversity; of strong pixels their share of all that are labelled.
FREQUENCIES: Schema = {"of": pl.String, "method": pl.String, "budget": pl.String, "seed": pl.Int64} | {
    "class": pl.String,
    "rare": pl.Boolean,
    "of_images": pl.Int64,
    "images": pl.Int64,
    "boxes": pl.Int64,
    "boxes_per_image": pl.Float64,
    "strong_px": pl.Int64,
    "strong_share": pl.Float64,
}


def empty(schema: Schema) -> pl.DataFrame:
    """A table with these columns and no rows."""
    return pl.DataFrame(schema=dict(schema))


def from_rows(rows: list[dict[str, object]], schema: Schema) -> pl.DataFrame:
    """A table with exactly the schema's columns; a key that a row lacks becomes null."""
    return pl.DataFrame(rows, schema=dict(schema), orient="row") if rows else empty(schema)


def checked(frame: pl.DataFrame, schema: Schema, where: str, key: str | None = None) -> pl.DataFrame:
    """The frame with the schema's columns in the schema's order, checked.

    Args:
        key: A column whose values must all differ and be present.

    Raises:
        DataError: a column is missing, has another type, or `key` is null or repeats.
    """
    check_columns(frame.schema, schema, where)
    if key is not None:
        repeated = frame.filter(pl.col(key).is_duplicated() | pl.col(key).is_null())
        if repeated.height:
            raise DataError(
                f"{where}: '{key}' must be unique and not null; {repeated.height} rows are null or repeated "
                f"(first: {repeated[key][0]})."
            )
    return frame.select(list(schema))


def check_columns(found: Schema, schema: Schema, where: str) -> None:
    """Refuse columns that lack one of the schema's, or have it in another type."""
    for name, dtype in schema.items():
        if name not in found:
            raise DataError(
                f"{where}: column '{name}' is missing. Found {', '.join(found)}; expected {', '.join(schema)}."
            )
        if not _same_type(found[name], dtype):
            raise DataError(f"{where}: column '{name}' is {found[name]}; expected {dtype}.")


def _same_type(found: pl.DataType | type[pl.DataType], expected: pl.DataType | type[pl.DataType]) -> bool:
    # `pl.Array` in a schema matches any width, which depends on the backbone.
    return isinstance(found, expected) if isinstance(expected, type) else found == expected


def some(schema: Schema, *columns: str) -> Schema:
    """The schema of these columns only."""
    return {name: schema[name] for name in columns}


def read(path: Path, schema: Schema, key: str | None = None) -> pl.DataFrame:
    """The schema's columns of the table at `path`, checked against it; other columns stay on disk.

    Raises:
        DataError: no such file, not Parquet, damaged, or other columns than expected.
    """
    with readable(path):
        frame = scan(path, schema).collect()
    return checked(frame, schema, str(path), key)


def read_if_there(path: Path, schema: Schema) -> pl.DataFrame:
    """As `read`; an empty table if there is no such file."""
    return read(path, schema) if path.is_file() else empty(schema)


def scan(path: Path, schema: Schema) -> pl.LazyFrame:
    """As `read`, but lazily, for tables too long for memory: damage is seen when it is collected."""
    check_columns(schema_of(path), schema, str(path))
    return pl.scan_parquet(path).select(list(schema))


def schema_of(path: Path) -> Schema:
    """The columns of a table on disk.

    Raises:
        DataError: no such file, or not Parquet.
    """
    with readable(path):
        return pl.read_parquet_schema(path)


def write(frame: pl.DataFrame | pl.LazyFrame, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write the table so that a reader sees the old file or the whole new one, never a part.

    A lazy frame is written as it is made, without ever being in memory as a whole.
    """
    with replacing(path) as file:
        if isinstance(frame, pl.LazyFrame):
            frame.sink_parquet(file, compression="zstd", metadata=metadata)
        else:
            frame.write_parquet(file, compression="zstd", metadata=metadata)
