"""What is asked of the stage `labels`: images, a teacher or masks, and all that the label set is made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.source_text import parsed_source
from thresher.errors import DataError
from thresher.labelling.coco_masks import COCO_MASKS, read_coco_masks
from thresher.labelling.label_set import LabelFiles, mask_file
from thresher.labelling.settings import LabelSettings
from thresher.labelling.teacher import Teacher
from thresher.run.digests import Input, Listing
from thresher.run.folder import Run
from thresher.run.masked import read_with_masks
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, fingerprint, perform
from thresher.run.record import Record

ALL = "all"


@dataclass(frozen=True)
class Request:
    """A label set of a run that is to be made."""

    run: Run
    settings: LabelSettings
    teacher: Teacher | None
    """None if masks are given."""

    @cached_property
    def opened(self) -> OpenedRun:
        """The run's tables."""
        return OpenedRun(self.run)

    @property
    def told(self) -> dict[str, Any]:
        """The first lines of what the stage tells."""
        return {"name": self.settings.set_name, "images": self.images.height}

    @property
    def record(self) -> Record:
        """The label set's folder."""
        return Record(self.files.folder)

    @property
    def files(self) -> LabelFiles:
        """The label set's files."""
        return LabelFiles(self.run.label_set(self.settings.set_name))

    @cached_property
    def images(self) -> pl.DataFrame:
        """image_id, path, dataset, file, mask and encoding of the images to label, by id.

        Raises:
            SettingsError: no such selection.
            DataError: there is no such image, or no mask of any of them is given.
        """
        names = [name for name in self.settings.selection if name != ALL]
        chosen = [self.opened.selection(name).select("image_id", "path", "dataset") for name in names]
        if ALL in self.settings.selection:
            chosen = [self.opened.pool.select("image_id", "path", "dataset")]
        images = pl.concat(chosen).unique("image_id").sort("image_id")
        if images.is_empty():
            raise DataError(f"{self.run.images}: the pool holds no image. Index one with --pool FORMAT:ROOT.")
        files = images["image_id"].map_elements(mask_file, return_dtype=pl.String)
        images = images.with_columns(file=files)
        if self.teacher is not None:
            return images.with_columns(mask=pl.lit(None, pl.String), encoding=pl.lit(None, pl.String))
        return self._with_masks(images)

    def _with_masks(self, images: pl.DataFrame) -> pl.DataFrame:
        """Those of the images that have a mask: of the same id, whatever their data sets are called."""
        bare = pl.col("image_id").str.replace(r"^[^/]*/", "")
        kind, _, place = self.settings.masks.partition(":")
        if kind == COCO_MASKS:
            masks = read_coco_masks(Path(place).absolute()).table()
        else:
            found = read_with_masks(self.run, self.settings.masks, self.opened.taxonomy).masks
            masks = found.select(mask="path", encoding="encoding", bare=bare)
        told = masks.unique("bare", keep="none")
        found = images.with_columns(bare=bare).join(told, on="bare").drop("bare").sort("image_id")
        if found.is_empty():
            first, given = images["image_id"][0], masks["bare"][0] if masks.height else "none"
            raise DataError(
                f"masks = {self.settings.masks}: none of {masks.height} masks is of one of the {images.height} images. "
                f"Ids must be the same behind the data set's name; found {given}, expected such as {first}."
            )
        return found

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """All that the label set is made from."""
        run = self.run
        read: dict[str, Input] = {
            "images": run.images,
            "boxes": run.boxes,
            "masks": run.masks,
            "taxonomy": run.taxonomy,
        }
        read |= {f"select:{name}": run.selection_path(name) for name in self.settings.selection if name != ALL}
        if self.teacher is not None:
            read["teacher"] = self.teacher.checkpoint
        for part, file in zip(("encoder", "decoder"), self.settings.segmenter, strict=False):
            read[part] = Path(file).absolute()
        if self.settings.masks:
            kind, _, place = self.settings.masks.partition(":")
            is_coco = kind == COCO_MASKS
            read["given"] = Path(place).absolute() if is_coco else Listing(parsed_source(self.settings.masks).root)
        return read

    @cached_property
    def made_from(self) -> str:
        """Fingerprint of all that."""
        return fingerprint("labels", self.settings, self.inputs)

    def performed(self, work: Callable[[], tuple[dict[str, Any], int]]) -> StageResult:
        """Do the work and record it, unless it was done."""
        reads = ["index", *(f"select:{name}" for name in self.settings.selection if name != ALL)]
        if self.teacher is not None:
            reads.append(f"train:{self.teacher.name}")
        return perform(self.run, "labels", self.settings, self.inputs, self.files.outputs, work, self.record, reads)
