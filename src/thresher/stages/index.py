"""index: annotations and image files of target and pool → images, boxes, masks, labels, problems."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from thresher import tables
from thresher.data.dataset import Dataset
from thresher.data.drawn_masks import Meanings, with_drawn_masks
from thresher.data.findings import IMAGE_PROBLEMS
from thresher.data.mask_checks import with_checked_masks
from thresher.data.readers.table_columns import column_map
from thresher.data.source_text import Source, parsed_sources, read, with_places
from thresher.data.taxonomy import (
    BUILT_IN,
    LabelMap,
    Taxonomy,
    load_label_map,
    load_taxonomy,
    with_classes,
)
from thresher.errors import DataError, SettingsError
from thresher.files import replacing
from thresher.run.digests import Input, Listing, file_digest
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.inputs import GUARD_COSINE
from thresher.run.perform import StageResult, Track, perform, untracked
from thresher.settings import Given, OptionalPath, Texts, converted, default, required, younger
from thresher.stages.plan import index_plan


@converted
@dataclass(frozen=True)
class IndexSettings:
    """Sources of the target and the pool, and how their labels map to classes."""

    target: Texts = required()
    """Images of your domain, as [NAME=]FORMAT:ROOT[#SPLIT]. May be repeated."""
    pool: Texts = default(())
    """Images to choose from, as [NAME=]FORMAT:ROOT[#SPLIT]. May be repeated."""
    guard: Texts = younger(())
    """Images that will judge, as [NAME=]FORMAT:ROOT[#SPLIT]: of a validation or test set. Nothing is learnt from them,
    and select leaves out the pool's near-duplicates of them. May be repeated."""
    guard_cosine: float = younger(GUARD_COSINE)
    """From which cosine with an image of the guard on an image of the pool is its near-duplicate, above 0 to 1. Lower
    finds more: JPEG copies of simple, drawn scenes have 0.88 to 0.93."""
    taxonomy: Given[str, Path] = default("cityscapes")
    """Classes of the segmentation: a built-in name (cityscapes, camvid) or a TOML file."""
    label_map: OptionalPath = default(None)
    """TOML file that maps labels of the sources to classes, in addition to the taxonomy."""
    columns: Texts = default(())
    """Which column of a `table` holds what: image=path,label=class,x0=left,…; images=FOLDER; unit=pixels or shares."""
    images: Texts = younger(())
    """Where images lie, if not where the format has them, as [NAME=]PLACE: a folder, below ROOT or anywhere; for format
    masks also a pattern, such as photos/{}.jpg."""
    masks: Texts = younger(())
    """Where masks lie, of format masks, as [NAME=]PLACE: a folder, or a pattern in which {} is the same as in images,
    such as labels/{}_gt.png. {split} is the split."""
    download_later: bool = younger(False)
    """Also images that are not on disk, of Open Images and of COCO and LVIS with addresses: choose first, then run
    `thresher download`."""
    limit: int | None = None
    """Keep at most this many images per source, evenly spread over the sorted image ids. Default: all."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: no target, a limit below 1, or columns that are not NAME=COLUMN.
        """
        if not self.target:
            raise SettingsError("index: no target. Run `thresher index RUN --target FORMAT:ROOT[#SPLIT] …`.")
        column_map(self.columns)
        if not 0 < self.guard_cosine <= 1:
            raise SettingsError(f"guard_cosine = {self.guard_cosine}: expected above 0, at most 1, such as 0.95.")
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"limit = {self.limit}: expected 1 or more.")


def index(run: AnyRun, settings: IndexSettings, *, dry_run: bool = False, track: Track[Any] = untracked) -> StageResult:
    """Read all sources into tables; an image is opened only where its boxes need its size in pixels.

    Raises:
        SettingsError: a source, taxonomy or label map cannot be understood.
        DataError: a source cannot be read, or two images have the same id.
    """
    run = as_run(run)
    sources = parsed_sources(settings.target, settings.pool, settings.guard)
    sources = with_places(sources, settings.images, settings.masks)
    taxonomy = load_taxonomy(settings.taxonomy)
    label_map = load_label_map(settings.label_map, taxonomy)
    for source in sources:
        if not source.root.exists():
            raise DataError(f"{source.role} {source.format}:{source.root}: no such folder or file.")
    if dry_run:
        plan, images = index_plan(sources, settings.limit, column_map(settings.columns))
        counts = {f"{role}_images": count for role, count in images.items()}
        told = {"sources": [_described(source) for source in sources], **counts}
        return StageResult("index", "planned", told | plan.summary(run))
    taxonomy_file = BUILT_IN / f"{settings.taxonomy}.toml"
    taxonomy_file = taxonomy_file if taxonomy_file.is_file() else Path(settings.taxonomy)
    inputs: dict[str, Input] = {str(source.root): Listing(source.root) for source in sources}
    elsewhere = (folder for source in sources for folder in source.folders[1:])
    inputs |= {str(folder): Listing(folder) for folder in elsewhere}
    # A built-in taxonomy lies where thresher is installed, so only its content counts.
    built_in = taxonomy_file.parent == BUILT_IN
    inputs["taxonomy"] = file_digest(taxonomy_file) if built_in else taxonomy_file
    if settings.label_map is not None:
        inputs["label_map"] = settings.label_map

    columns = column_map(settings.columns)
    if "images" in columns:
        inputs["images"] = Listing(Path(columns["images"]).expanduser())

    def work() -> tuple[dict[str, Any], int]:
        meanings = Meanings(taxonomy, label_map)
        found = [
            _masked(source, _limited(read(source, columns, settings.download_later), settings.limit), meanings, run)
            for source in track(sources, len(sources), "reading annotations")
        ]
        summary, failed = _write(run, sources, found, taxonomy, label_map, taxonomy_file)
        tags = _tags(found, taxonomy, label_map)
        run.tags.unlink(missing_ok=True)
        if tags.height:  # few sets have any
            tables.write(tags, run.tags)
            outputs.append(run.tags)
            present = tags["objects"] > 0
            summary["tags"] = {"present": int(present.sum()), "absent": int((~present).sum())}
        if not settings.download_later:
            run.remote.unlink(missing_ok=True)
            return summary, failed
        remote = pl.concat([each.remote for each in found])
        tables.write(remote, run.remote)
        return summary | {"not_on_disk": remote["image_id"].n_unique()}, failed

    outputs = [run.images, run.boxes, run.masks, run.labels, run.problems, run.taxonomy]
    outputs += [run.remote] if settings.download_later else []
    return perform(run, "index", settings, inputs, outputs, work, again=_drawings_lost(run))


def _tags(found: list[Dataset], taxonomy: Taxonomy, label_map: LabelMap) -> pl.DataFrame:
    """Table TAGS of all sources, with the classes that their labels mean."""
    mapped = [with_classes(d.tags, d.images, d.vocabulary, taxonomy, label_map)[0] for d in found if d.tags.height]
    return pl.concat([tables.empty(tables.TAGS).lazy(), *mapped]).sort("image_id", "label", "objects").collect()


def _drawings_lost(run: Run) -> bool:
    """Whether a mask that lay in the run's folder is no longer there."""
    if not run.masks.is_file():
        return False
    try:
        paths = tables.read(run.masks, tables.MASKS)["path"]
    except DataError:  # a damaged table is made again anyhow
        return False
    return not all((run.folder / path).is_file() for path in paths if not path.startswith("/"))


def _described(source: Source) -> str:
    split = f"#{source.split}" if source.split else ""
    return f"{source.role}: {source.name} = {source.format}:{source.root}{split}"


def _masked(source: Source, dataset: Dataset, meanings: Meanings, run: Run) -> Dataset:
    """The dataset with its masks drawn and checked. The pool is chosen from by its boxes, so its masks are not drawn.

    Of the guard only the images count.
    """
    if source.role == "guard":
        boxes, masks, tags = (tables.empty(schema) for schema in (tables.BOXES, tables.MASKS, tables.TAGS))
        return replace(dataset, drawings=(), boxes=boxes, masks=masks, tags=tags)
    if source.role == "pool":
        return replace(dataset, drawings=())
    return with_checked_masks(with_drawn_masks(dataset, meanings, run.drawn_masks), meanings.taxonomy)


def _limited(dataset: Dataset, limit: int | None) -> Dataset:
    if limit is None or dataset.images.height <= limit:
        return dataset
    ordered = dataset.images.sort("image_id")
    rows = [number * ordered.height // limit for number in range(limit)]
    images = ordered[rows]
    kept = images["image_id"].implode()
    ids = set(images["image_id"])
    return Dataset(
        images,
        dataset.boxes.filter(pl.col("image_id").is_in(kept)),
        dataset.masks.filter(pl.col("image_id").is_in(kept)),
        dataset.problems.filter(pl.col("image_id").is_in(kept)),
        dataset.vocabulary,
        dataset.unlisted,
        [drawing for drawing in dataset.drawings if drawing.image_id in ids],
        dataset.remote.filter(pl.col("image_id").is_in(kept)),
        dataset.tags.filter(pl.col("image_id").is_in(kept)),
    )


def _write(
    run: Run,
    sources: list[Source],
    found: list[Dataset],
    taxonomy: Taxonomy,
    label_map: LabelMap,
    taxonomy_file: Path,
) -> tuple[dict[str, Any], int]:
    mapped = [with_classes(d.boxes, d.images, d.vocabulary, taxonomy, label_map) for d in found]
    images = pl.concat(
        [d.images.with_columns(role=pl.lit(source.role)) for source, d in zip(sources, found, strict=True)]
    ).sort("image_id")
    _no_image_twice(images)
    boxes = pl.concat([boxes for boxes, _ in mapped])
    if not _in_order(found):  # sorting needs twice the memory of the boxes; large sets are sorted by id already
        boxes = boxes.sort(["image_id", "y0", "x0", "y1", "x1", "label"])
    by_role = pl.concat(
        [labels.with_columns(role=pl.lit(source.role)) for source, (_, labels) in zip(sources, mapped, strict=True)]
    )
    labels = _summed(by_role)
    masks = pl.concat([d.masks for d in found]).sort("image_id")
    problems = pl.concat([d.problems for d in found])
    tables.write(images.select(list(tables.INDEXED_IMAGES)), run.images)
    tables.write(boxes, run.boxes)
    within = f"{run.folder.absolute()}/"
    tables.write(masks.with_columns(pl.col("path").str.strip_prefix(within)), run.masks)
    tables.write(labels, run.labels)
    with replacing(run.taxonomy) as file:
        file.write(taxonomy_file.read_bytes())
    run.add_problems("index", problems)
    failed = problems.filter(pl.col("problem").is_in(list(IMAGE_PROBLEMS))).height
    counts = sum((Counter(d.unlisted) for d in found), Counter(problems["problem"].to_list()))
    told = _summary(images, by_role, labels, masks, counts)
    if not any(source.role == "pool" for source in sources):
        told["note"] = (
            "there is no pool: score and select need one. Run the same command again with --pool FORMAT:ROOT."
        )
    return told, failed


def _in_order(found: list[Dataset]) -> bool:
    """Whether the concatenated boxes of all sources are sorted by image id."""
    ids = [dataset.boxes["image_id"] for dataset in found if dataset.boxes.height]
    borders = [(before[-1], after[0]) for before, after in itertools.pairwise(ids)]
    return all(part.is_sorted() for part in ids) and all(before <= after for before, after in borders)


def _no_image_twice(images: pl.DataFrame) -> None:
    """Refuse a table, sorted by image_id, in which an id repeats."""
    again = images["image_id"] == images["image_id"].shift()
    repeated = images.filter((again | again.shift(-1)).fill_null(False))
    if repeated.height:
        first = repeated.row(0, named=True)
        raise DataError(
            f"index: {repeated.height} images share an id with another one, first '{first['image_id']}' "
            f"({first['path']}). If target and pool read the same folder, give each a split (FORMAT:ROOT#SPLIT); "
            "if not, give each source a name (NAME=FORMAT:ROOT)."
        )


def _summed(labels: pl.DataFrame) -> pl.DataFrame:
    # Two splits of one dataset are two sources with the same labels.
    return (
        labels.group_by("dataset", "label")
        .agg(pl.col("name").first(), pl.col("class").first(), pl.col("boxes").sum(), pl.col("images").sum())
        .sort("dataset", "label")
        .select(list(tables.LABELS))
    )


def _summary(
    images: pl.DataFrame, by_role: pl.DataFrame, labels: pl.DataFrame, masks: pl.DataFrame, problems: Counter[str]
) -> dict[str, Any]:
    keys = ["role", "dataset"]
    known = pl.col("boxes").filter(pl.col("class").is_not_null())
    counts = by_role.group_by(keys).agg(pl.col("boxes").sum(), mapped=known.sum())
    sets = (
        images.group_by(keys)
        .agg(images=pl.len())
        .join(counts, on=keys, how="left")
        .with_columns(pl.col("boxes", "mapped").fill_null(0))
        .sort(pl.col("role") == "pool", "dataset")
    )
    unmapped = labels.filter(pl.col("class").is_null()).sort("boxes", "label", descending=[True, False])
    shown = pl.coalesce("name", "label").alias("shown")
    return {
        "images": images.height,
        "target_images": images.filter(pl.col("role") == "target").height,
        "pool_images": images.filter(pl.col("role") == "pool").height,
        **({"guard_images": guarded} if (guarded := images.filter(pl.col("role") == "guard").height) else {}),
        "masks": masks.height,
        **({} if masks.height else {"note": "the target has no masks: enough to choose images, not to train or label"}),
        "boxes": int(sets["boxes"].sum()),
        "datasets": sets.to_dicts(),
        "boxes_without_counterpart": int(unmapped["boxes"].sum()),
        "labels_without_counterpart": unmapped.select("dataset", shown, "boxes").rename({"shown": "label"}).to_dicts(),
        "problems": dict(sorted(problems.items())),
    }
