"""Vectors of objects: what their boxes hold, through a run's backbone, in one pass that is kept in the run.

`RUN/objects/` holds files of a row per image, each named by the digest of its bytes. An image has the key of all that
shapes its vectors (the image's content, its boxes, the backbone, the rule by which they are cut out), so that a second
selection, or one that was interrupted, works on what is new alone. Nothing else reads the folder; it may be deleted.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float16
from safetensors import safe_open

from thresher import extras, tables
from thresher.data.label_maps import class_numbers, label_map
from thresher.data.mask_parts import LEAST_AREA, boxes_of_parts
from thresher.errors import DataError, SettingsError, quoted
from thresher.features.backbone import BackboneSettings, backbone_digest
from thresher.features.engine import workers
from thresher.features.network_file import worker_settings
from thresher.features.pixels import CROP_LEAST_PX, CROP_WIDER
from thresher.features.worker import Task
from thresher.files import replacing
from thresher.run.digests import file_digest
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import Track, untracked
from thresher.selection.diversity import shows_a_real_object
from thresher.selection.object_cover import ObjectLooks
from thresher.settings import restored
from thresher.workers.settings import EngineSettings

log = logging.getLogger(__name__)

#: Most objects of an image, and of each of its classes: the largest of each class first (chosen on the animals pair).
MOST_OBJECTS, MOST_OF_CLASS = 8, 1
#: Most images of the target of which objects are taken, evenly spread over all.
MOST_TARGET_IMAGES = 1_000
#: Images of a task at least, and about how many tasks there are.
_TASK_IMAGES, _TASKS = 32, 128
#: A row of a file in RUN/objects: the vectors of an image, one after the other; null if it cannot be read.
_CROPPED: Any = {"key": pl.String, "objects": pl.Int64, "vectors": pl.List(pl.Float16)}


def largest_of_each_class(boxes: pl.DataFrame, most: int = MOST_OBJECTS, of_class: int = MOST_OF_CLASS) -> pl.DataFrame:
    """At most so many boxes of each image: of every class the largest, then of every class the second largest, …

    Args:
        of_class: Most boxes of one class.
        boxes: image_id, class, x0, y0, x1, y1. Boxes below a ten-thousandth of the image are left out.

    Returns:
        The same columns, in an order that follows from the boxes alone.

    >>> sides = {"x0": [0.0] * 3, "y0": [0.0] * 3, "x1": [0.5, 0.4, 0.1], "y1": [0.5, 0.4, 0.1]}
    >>> boxes = pl.DataFrame({"image_id": ["a"] * 3, "class": ["dog", "dog", "cat"], **sides})
    >>> largest_of_each_class(boxes)["class"].to_list()
    ['dog', 'cat']
    """
    corners, area = ("x0", "y0", "x1", "y1"), (pl.col("x1") - pl.col("x0")) * (pl.col("y1") - pl.col("y0"))
    sized = boxes.with_columns(area=area).filter(pl.col("area") >= LEAST_AREA)
    sized = sized.sort("image_id", "class", "area", *corners, descending=[False, False, True, *[False] * 4])
    turned = sized.with_columns(turn=pl.int_range(pl.len()).over("image_id", "class"))
    ordered = turned.filter(pl.col("turn") < of_class).sort(
        "image_id", "turn", "area", "class", descending=[False, False, True, False]
    )
    return ordered.group_by("image_id", maintain_order=True).head(most).select("image_id", "class", *corners)


@dataclass(frozen=True)
class Cropping:
    """Images with the boxes to cut out of them, and which of them have been done."""

    run: Run
    settings: BackboneSettings
    images: pl.DataFrame
    """image_id, path, key, and lists of class and of corners; a row per image that holds an object."""
    done: pl.DataFrame
    """Rows of RUN/objects for the keys of these images."""

    @property
    def missing(self) -> pl.DataFrame:
        """The images that have not been done."""
        return self.images.join(self.done, on="key", how="anti", maintain_order="left")

    @property
    def objects(self) -> int:
        """How many boxes there are."""
        return int(self.images["class"].list.len().sum())

    @property
    def crops(self) -> int:
        """How many boxes are still to be cut out."""
        return int(self.missing["class"].list.len().sum())


def cropping(opened: OpenedRun, ids: Sequence[str]) -> Cropping:
    """What is to be cut out of these images of the pool, and of the target's.

    Raises:
        SettingsError: the vectors are the user's own, so that there is no backbone.
        DataError: embed has not run.
    """
    recorded = opened.settings_of("embed")
    if recorded.get("vectors"):
        raise SettingsError(
            "coverage = objects: needs the backbone, and the vectors of this run are your own. Use by_class or images."
        )
    if absent := extras.missing("embed"):
        raise SettingsError(f"coverage = objects needs {', '.join(absent)}: {extras.install('embed')}")
    settings = restored(BackboneSettings, recorded)
    wanted = pl.DataFrame({"image_id": sorted(ids)}, schema={"image_id": pl.String})
    boxes = pl.concat([_boxes(opened, wanted), _target_boxes(opened)])
    made_of = f"{_network_digest(opened.run, settings)} {CROP_WIDER} {CROP_LEAST_PX}"
    embedded = tables.read(opened.run.embedded, tables.EMBEDDED, key="image_id").drop_nulls("content")
    images = (
        largest_of_each_class(boxes)
        .group_by("image_id", maintain_order=True)
        .agg("class", corners=pl.concat_list("x0", "y0", "x1", "y1").cast(pl.List(pl.Float64)))
        .join(embedded.select("image_id", "content"), on="image_id", maintain_order="left")
        .join(opened.images.select("image_id", "path"), on="image_id", maintain_order="left")
    )
    keys = [_key(made_of, content, corners) for content, corners in images.select("content", "corners").iter_rows()]
    images = images.with_columns(key=pl.Series(keys, dtype=pl.String))
    return Cropping(opened.run, settings, images, _kept(opened.run, set(keys)))


def object_looks(
    opened: OpenedRun,
    ids: Sequence[str],
    engine: EngineSettings | None = None,
    track: Track[Any] = untracked,
) -> ObjectLooks:
    """Vectors of the objects of these images of the pool, and of the target's; cut out where they are not kept yet.

    Raises:
        SettingsError, DataError: as `cropping`.
    """
    work = cropping(opened, ids)
    if work.missing.height:
        _crop(work, engine or EngineSettings(), track)
        work = cropping(opened, ids)
    found = work.images.join(work.done, on="key", maintain_order="left")
    read = found.filter(pl.col("vectors").is_not_null())
    flat = read["vectors"].explode().to_numpy() if read.height else np.zeros(0, np.float16)
    total = int(read["objects"].sum())
    rows = read.select("image_id", "class").explode("class").with_row_index("row")
    pool = rows.join(opened.pool, on="image_id", how="semi", maintain_order="left")
    target = rows.join(opened.target, on="image_id", how="semi", maintain_order="left")
    vectors = flat.reshape(total, -1 if total else 1)
    if lost := found.height - read.height:
        log.warning("coverage: the objects of %d images could not be cut out; they cover nothing", lost)
    return ObjectLooks(pool, target, vectors)


def _boxes(opened: OpenedRun, ids: pl.DataFrame) -> pl.DataFrame:
    """The boxes of these images that show a real object of a class of interest."""
    wanted = opened.lazy_boxes().join(ids.lazy().select("image_id"), on="image_id", how="semi")
    counted = wanted.filter(pl.col("class").is_in(list(opened.classes)) & shows_a_real_object())
    return counted.select("image_id", "class", "x0", "y0", "x1", "y1").collect()


def _target_boxes(opened: OpenedRun) -> pl.DataFrame:
    """Boxes of the target's objects: those that it has, else around the connected parts of its masks."""
    target = opened.target.select("image_id").sort("image_id")
    own = _boxes(opened, target)
    with_any = own.select("image_id").unique().sort("image_id") if own.height else opened.masks.sort("image_id")
    spread = with_any.join(target, on="image_id", how="semi", maintain_order="left").gather_every(
        max(1, -(-with_any.height // MOST_TARGET_IMAGES))
    )
    if own.height:
        return own.join(spread, on="image_id", how="semi", maintain_order="left")
    frames = [own]
    names = [each.name for each in opened.taxonomy.classes]
    numbers = [place for place, name in enumerate(names) if name in opened.classes]
    for image_id, path, encoding in spread.select("image_id", "path", "encoding").iter_rows():
        try:
            labels = label_map(Path(path), class_numbers(opened.taxonomy, encoding))
        except DataError as error:  # listed by the stages that need every mask
            log.warning("coverage: %s; its objects are not covered", error)
            continue
        corners, found = boxes_of_parts(labels, numbers)
        sides = {name: corners[:, place].astype(np.float32) for place, name in enumerate(("x0", "y0", "x1", "y1"))}
        columns = {"image_id": [image_id] * len(found), "class": [names[number] for number in found], **sides}
        frames.append(pl.DataFrame(columns, schema=dict(own.schema)))
    return pl.concat(frames)


def _network_digest(run: Run, settings: BackboneSettings) -> str:
    """What determines the backbone's output; in fast mode the quantised network itself.

    Raises:
        DataError: that is gone.
    """
    if settings.mode != "fast":
        return backbone_digest(settings)
    try:
        return file_digest(run.backbone.with_suffix(".int8.onnx"))
    except DataError as error:
        raise DataError(f"{error} Run the same `thresher embed {quoted(run.folder)} …` again.") from error


def _key(made_of: str, content: str, corners: Sequence[Sequence[float]]) -> str:
    return hashlib.sha256(json.dumps([made_of, content, corners]).encode()).hexdigest()[:32]


def _files(run: Run) -> list[Path]:
    return sorted(run.objects.glob("part-*.parquet"))


def _kept(run: Run, keys: set[str]) -> pl.DataFrame:
    """What the run holds of these images. A damaged file is removed: what it held is made again."""
    frames = [pl.DataFrame(schema=_CROPPED)]
    for path in _files(run):
        content = path.read_bytes()
        if _name(content) != path.name:
            log.warning("%s: damaged; its images are cut out again", path)
            path.unlink()
            continue
        frames.append(pl.read_parquet(io.BytesIO(content)).filter(pl.col("key").is_in(list(keys))))
    return pl.concat(frames).unique("key", keep="first", maintain_order=True)


def _name(content: bytes) -> str:
    return f"part-{hashlib.sha256(content).hexdigest()[:32]}.parquet"


def _crop(work: Cropping, engine: EngineSettings, track: Track[Any]) -> None:
    """Cut out and run through the backbone what is missing; each task's file is kept as soon as it is there."""
    missing, run = work.missing, work.run
    run.objects.mkdir(exist_ok=True)
    size = max(_TASK_IMAGES, -(-missing.height // _TASKS))
    folder = Path(tempfile.mkdtemp(prefix=".making-", dir=run.objects))
    try:
        tasks = [
            _task(number, missing[start : start + size], folder)
            for number, start in enumerate(range(0, missing.height, size))
        ]
        keys: Mapping[str, str] = dict(missing.select("image_id", "key").iter_rows())
        with workers(worker_settings(run, work.settings, []), engine) as done:
            for report in track(done(tasks), len(tasks), "objects"):
                _keep(run, Path(tasks[report.number].path), keys)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _task(number: int, images: pl.DataFrame, folder: Path) -> Task:
    boxes = dict(images.select("image_id", "corners").iter_rows())
    paths = list(images.select("image_id", "path").iter_rows())
    return Task("objects", number, paths, str(folder / f"{number}.safetensors"), boxes=boxes)


def _keep(run: Run, made: Path, keys: Mapping[str, str]) -> None:
    """Put what a worker has written into the run: a row per image, also of those that cannot be read."""
    with safe_open(made, framework="numpy") as file:
        vectors: dict[str, Float16[np.ndarray, "boxes c"]] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        problems: list[dict[str, Any]] = json.loads(file.metadata()["problems"])
    for each in problems:
        log.warning("objects: %s", each["detail"])
    names = [*sorted(vectors), *(str(each["image_id"]) for each in problems)]
    rows = {
        "key": [keys[name] for name in names],
        "objects": [len(vectors.get(name, ())) for name in names],
        "vectors": [vectors[name].ravel().tolist() if name in vectors else None for name in names],
    }
    buffer = io.BytesIO()
    pl.DataFrame(rows, schema=_CROPPED).write_parquet(buffer, compression="zstd")
    with replacing(run.objects / _name(buffer.getvalue())) as file:
        file.write(buffer.getvalue())
    made.unlink()
