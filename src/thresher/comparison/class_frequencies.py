"""How often each class occurs in the pool, in the target and in each selection: are rare classes kept?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thresher import tables
from thresher.data.label_maps import class_pixels
from thresher.data.taxonomy import Taxonomy
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, perform
from thresher.run.record import Record
from thresher.training.images import training_images
from thresher.training.settings import TrainSettings


@dataclass(frozen=True)
class SelectionOf:
    """A selection, and how it was made."""

    selection: str
    method: str
    budget: str
    seed: int


@dataclass(frozen=True)
class _Settings:
    """What the table depends on besides the tables that are read."""

    selections: tuple[SelectionOf, ...]
    training: TrainSettings


def write_frequencies(
    run: Run, record: Record, chosen: Iterable[SelectionOf], training: TrainSettings, path: Path
) -> StageResult:
    """Write table FREQUENCIES, unless it is there and nothing has changed.

    Args:
        record: Where it is recorded what the table was made from.
        training: Says which images with masks are trained on; those are the target here.

    Raises:
        DataError: a table is not there, or the target has no masks.
    """
    # Only these settings of a training decide which strong images there are.
    split = ("strong_limit", "validation", "validation_share")
    strong = TrainSettings(**{name: getattr(training, name) for name in split})
    settings = _Settings(tuple(chosen), strong)
    read = {"images": run.images, "boxes": run.boxes, "masks": run.masks, "taxonomy": run.taxonomy}
    read |= {each.selection: run.selection_path(each.selection) for each in settings.selections}

    def work() -> tuple[dict[str, Any], int]:
        tables.write(_frequencies(run, settings), path)
        return {"selections": len(settings.selections)}, 0

    return perform(run, "frequencies", settings, read, [path], work, record)


def _frequencies(run: Run, settings: _Settings) -> pl.DataFrame:
    opened = OpenedRun(run)
    parts = [opened.class_boxes("pool", opened.pool)]
    for each in settings.selections:
        made_by = {key: pl.lit(value) for key, value in asdict(each).items() if key != "selection"}
        parts.append(opened.class_boxes(each.selection, opened.selection(each.selection)).with_columns(**made_by))
    parts.append(strong_frequencies(training_images(run, settings.training).strong, opened.taxonomy))
    rare = pl.col("class").is_in(list(opened.frequencies.rare))
    table = pl.concat(parts, how="diagonal_relaxed").with_columns(rare=rare)
    missing = [pl.lit(None, kind).alias(name) for name, kind in tables.FREQUENCIES.items() if name not in table.columns]
    types = {name: kind for name, kind in tables.FREQUENCIES.items() if name in table.columns}
    return tables.checked(table.cast(types).with_columns(missing), tables.FREQUENCIES, "frequencies")  # type: ignore[arg-type]


def strong_frequencies(strong: pl.DataFrame, taxonomy: Taxonomy) -> pl.DataFrame:
    """The rows of FREQUENCIES for the target: labelled pixels of each class, their share, and masks that have it.

    A mask that cannot be read is left out, as it is in training, where it is listed.

    Args:
        strong: mask and encoding of each image.
    """
    masks = [(Path(mask), encoding) for mask, encoding in strong.select("mask", "encoding").iter_rows()]
    pixels, images, read = class_pixels(masks, taxonomy)
    names = [each.name for each in taxonomy.classes]
    shares = pixels / max(1, pixels.sum())
    columns = {"class": names, "strong_px": pixels, "strong_share": shares, "images": images}
    return pl.DataFrame(columns).with_columns(of=pl.lit("target"), of_images=pl.lit(read, pl.Int64))
