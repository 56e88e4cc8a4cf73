"""audit: a selection against the pool and the target, as a table and as warnings in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32

from thresher.data.label_maps import class_pixels
from thresher.errors import SettingsError
from thresher.frames import Table
from thresher.run.folder import AnyRun, as_run
from thresher.run.opened import OpenedRun
from thresher.run.state import refuse_outdated
from thresher.selection.audit import Side, Target, audit_rows, chosen_side
from thresher.selection.audit_words import Alike, audit_warnings
from thresher.selection.diversity import counted_boxes
from thresher.vectors import nearest_rows

#: From this cosine of pooled vectors on images are near-duplicates: the same photo, or the next frame.
DUPLICATE_COSINE = 0.95
#: Chosen images compared with each other at most, evenly spaced over the selection: the time grows with the square.
MOST_COMPARED = 20_000
#: Masks of the target looked at for their classes at most, evenly spaced.
_MOST_MASKS = 200


@dataclass(frozen=True)
class Audit:
    """A selection against pool and target."""

    selection: str
    """Its name."""
    images: int
    """Chosen images."""
    pool: int
    """Images of the pool."""
    target_classes: str
    """Where the target's classes are known from: "boxes", "masks" or ""."""
    table: Table
    """What differs and how much (`selection.audit.AUDIT`)."""
    warnings: tuple[str, ...]
    """What is wrong with it, in sentences; empty if nothing is."""
    alike: Alike | None
    """Near-duplicates; None if embed has not run, or they were not asked for."""
    unknown: tuple[str, ...] = ()
    """What could not be compared, in sentences; empty if all could."""


def audit(run: AnyRun, name: str, *, duplicate_cosine: float = DUPLICATE_COSINE) -> Audit:
    """Compare a selection with the pool and the target: classes, objects, data sets, folders, image facts, duplicates.

    Args:
        run: The run, or the path of its folder.
        name: Name of the selection.
        duplicate_cosine: Images whose pooled vectors have at least this cosine are near-duplicates. 0 = do not look.

    Raises:
        SettingsError: no selection has this name, or a cosine outside 0..1.
        DataError: index or score has not run, or the selection is outdated.
    """
    run = as_run(run)
    if not 0 <= duplicate_cosine <= 1:
        raise SettingsError(f"duplicate_cosine = {duplicate_cosine}: expected 0 (off) to 1, such as 0.95.")
    opened = OpenedRun(run)
    chosen = opened.selection(name).select("image_id")
    refuse_outdated(run, ["index", "score", f"select:{name}"])
    return audit_of(opened, name, chosen, duplicate_cosine)


def audit_of(opened: OpenedRun, name: str, chosen: pl.DataFrame, duplicate_cosine: float = DUPLICATE_COSINE) -> Audit:
    """As `audit`, of the images in column image_id of `chosen`."""
    labelled = opened.labelled
    whole_pool, areas = _facts(opened, opened.pool), _object_areas(opened, opened.pool)
    pool = Side(whole_pool, opened.counts, areas, labelled.height)
    own = chosen_side(pool, chosen["image_id"])
    known = own.images.join(labelled, on="image_id", how="semi").height
    own = Side(own.images, own.counts, _object_areas(opened, chosen), known)
    target, known_by = _target(opened)
    rows = audit_rows(own, pool, target)
    alike = near_duplicates_of(opened, chosen, duplicate_cosine) if duplicate_cosine and opened.has_vectors else None
    images, whole = own.images.height, pool.images.height
    warnings = audit_warnings(rows, images, whole, opened.frequencies.rare, alike, known)
    unknown = tuple(_unknown(opened, known, images, known_by))
    return Audit(name, images, whole, known_by, Table.of(rows), tuple(warnings), alike, unknown)


def _unknown(opened: OpenedRun, known: int, images: int, known_by: str) -> list[str]:
    """What could not be compared, in sentences."""
    sentences, labelled, pool = [], opened.labelled.height, opened.pool.height
    if not labelled:
        sentences.append("The pool has no boxes, so it is not known what its images hold: classes are not compared.")
    elif labelled < pool:
        sentences.append(
            f"{pool - labelled:,} of {pool:,} images of the pool are of data sets without boxes: classes are compared "
            f"among the others alone, of which {known:,} of {images:,} chosen images are."
        )
    if labelled and not known_by:
        masks = opened.masks.join(opened.target, on="image_id", how="semi").height
        why = f"none of its {masks:,} masks can be read" if masks else "it has neither boxes nor masks"
        sentences.append(f"The target's classes are not known: {why}.")
    return sentences


def near_duplicates_of(opened: OpenedRun, chosen: pl.DataFrame, cosine: float) -> Alike:
    """How many chosen images have a near-duplicate among the chosen, and in the target.

    Of more than `MOST_COMPARED` chosen images as many, evenly spaced over their ids, are compared.

    Raises:
        DataError: embed has not run.
    """
    ids, vectors = opened.vectors(chosen)
    _, target = opened.vectors(opened.target)
    drawn = vectors
    if len(vectors) > MOST_COMPARED:
        drawn = vectors[np.linspace(0, len(vectors) - 1, MOST_COMPARED).astype(np.int64)]
    inside = int((nearest_rows(drawn)[1][:, 0] >= cosine).sum()) if len(drawn) > 1 else 0
    of_target = int((nearest_rows(vectors, target)[1][:, 0] >= cosine).sum()) if len(target) and ids.height else 0
    return Alike(cosine, len(drawn), inside, of_target)


def _facts(opened: OpenedRun, images: pl.DataFrame) -> pl.DataFrame:
    """image_id, dataset, and what is known of each image as numbers."""
    known = images.select("image_id", "dataset", "width_px", "height_px")
    if not opened.has_vectors:
        return known
    sizes = opened.pooled.drop("vector", "grid_h", "grid_w")
    known = known.drop("width_px", "height_px").join(sizes, on="image_id", how="left")
    return known.join(opened.image_facts, on="image_id", how="left")


def _object_areas(opened: OpenedRun, ids: pl.DataFrame) -> Float32[np.ndarray, " objects"]:
    """The area of each object of interest's box in some images, as a share of its image."""
    boxes = opened.lazy_boxes().join(ids.lazy().select("image_id"), on="image_id", how="semi")
    area = (pl.col("x1") - pl.col("x0")) * (pl.col("y1") - pl.col("y0"))
    found = counted_boxes(boxes, opened.classes).select(area=area).drop_nulls().collect(engine="streaming")
    return found["area"].to_numpy()


def _target(opened: OpenedRun) -> tuple[Target, str]:
    """The target, and where its classes are known from: its boxes, else its masks."""
    images, counts = _facts(opened, opened.target), opened.target_counts
    if counts.height:
        names = [name for name in counts.columns if name != "image_id"]
        holders = counts.select((pl.col(name) > 0).sum() for name in names).row(0, named=True)
        sums = counts.select(pl.col(name).sum() for name in names).row(0, named=True)
        total = max(1, sum(sums.values()))
        shares = {name: count / images.height for name, count in holders.items()}
        objects = {name: count / total for name, count in sums.items()}
        return Target(images, shares, objects, _object_areas(opened, opened.target)), "boxes"
    masked = _mask_shares(opened)
    return Target(images, masked), "masks" if masked else ""


def _mask_shares(opened: OpenedRun) -> Mapping[str, float]:
    """Share of the target's masks with each class of interest, from at most `_MOST_MASKS` of them."""
    masks = opened.masks.join(opened.target.select("image_id"), on="image_id", how="semi").sort("image_id")
    if masks.height > _MOST_MASKS:
        masks = masks[np.linspace(0, masks.height - 1, _MOST_MASKS).astype(np.int64)]
    paths = [(Path(path), encoding) for path, encoding in masks.select("path", "encoding").iter_rows()]
    _, images, read = class_pixels(paths, opened.taxonomy)
    shares = {each.name: int(count) / read for each, count in zip(opened.taxonomy.classes, images, strict=True) if read}
    return {name: share for name, share in shares.items() if name in opened.classes}
