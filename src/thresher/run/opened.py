"""The tables of a run, each read once, on first use, and kept in memory."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float16

from thresher import tables
from thresher.data.readers.table_columns import column_map
from thresher.data.source_text import parsed_sources, with_places
from thresher.data.taxonomy import Taxonomy, load_taxonomy
from thresher.errors import SettingsError
from thresher.frames import Table
from thresher.run.digests import Input
from thresher.run.folder import AnyRun, as_run
from thresher.run.inputs import guard_cosine
from thresher.run.reading import existing_selection, none_of, read_scores, read_selection, selection_names
from thresher.run_files import existing
from thresher.selection.diversity import (
    ClassFrequencies,
    box_frequencies,
    boxed_counts,
    class_frequencies,
    with_objects,
    with_tags,
)
from thresher.selection.redundancy import like_any

#: Of the boxes what pictures and counts need; `boxes_of` gives all columns of some images' boxes.
_BOX_COLUMNS = ("image_id", "class", "x0", "y0", "x1", "y1", "is_group", "is_depiction", "is_inside")


class OpenedRun:
    """The tables of a run, read lazily. A table that changes on disk afterwards is not read again."""

    def __init__(self, run: AnyRun) -> None:
        """Read nothing yet."""
        self.run = as_run(run)
        self._selections: dict[str, pl.DataFrame] = {}
        self._counted: dict[str, pl.DataFrame] = {}
        self._results: dict[str, pl.DataFrame] = {}

    @cached_property
    def recorded(self) -> dict[str, Any]:
        """The manifest: an entry per stage."""
        return self.run.recorded()

    def settings_of(self, stage: str) -> dict[str, Any]:
        """The settings of the last finished run of a stage, as plain values; empty if there is none."""
        settings: dict[str, Any] = self.recorded.get(stage, {}).get("settings", {})
        return settings

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The classes of the target.

        Raises:
            DataError: index has not run.
        """
        return load_taxonomy(str(existing(self.run.taxonomy)))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes of interest: things and their groups."""
        return self.taxonomy.classes_of_interest

    @cached_property
    def images(self) -> pl.DataFrame:
        """Table INDEXED_IMAGES.

        Raises:
            DataError: index has not run.
        """
        return tables.read(self.run.images, tables.INDEXED_IMAGES, key="image_id")

    @cached_property
    def target(self) -> pl.DataFrame:
        """The rows of `images` that are the target's."""
        return self.images.filter(role="target")

    @cached_property
    def pool(self) -> pl.DataFrame:
        """The rows of `images` that are the pool's."""
        return self.images.filter(role="pool")

    @cached_property
    def guard(self) -> pl.DataFrame:
        """The rows of `images` that judge, from which nothing is learnt."""
        return self.images.filter(role="guard")

    @cached_property
    def guarded(self) -> frozenset[str]:
        """Ids of the pool's images that nearly are one of the guard's; none without a guard.

        Raises:
            DataError: there is a guard, and embed has not run.
        """
        if self.guard.is_empty():
            return frozenset()
        ids, vectors = self.vectors(self.pool)
        limit = float(guard_cosine(self.run.folder))
        return frozenset(ids.filter(like_any(vectors, self.vectors(self.guard)[1], limit))["image_id"])

    @property
    def choosable(self) -> pl.DataFrame:
        """The rows of `pool` that something may be learnt from: all but `guarded`.

        Raises:
            DataError: as `guarded`.
        """
        return self.pool.filter(~pl.col("image_id").is_in(list(self.guarded))) if self.guard.height else self.pool

    @property
    def guard_inputs(self) -> dict[str, Input]:
        """What `guarded` depends on, by name, as the input of a stage."""
        if self.guard.is_empty():
            return {}
        return {"pooled": self.run.pooled, "guard_cosine": guard_cosine(self.run.folder)}

    @cached_property
    def masks(self) -> pl.DataFrame:
        """Table MASKS, with full paths: those of masks in the run's folder are stored as below it."""
        masks = tables.read(self.run.masks, tables.MASKS, key="image_id")
        path, within = pl.col("path"), pl.lit(f"{self.run.folder.absolute()}/")
        return masks.with_columns(pl.when(path.str.starts_with("/")).then(path).otherwise(within + path).alias("path"))

    @cached_property
    def labels(self) -> pl.DataFrame:
        """Table LABELS; empty where index has left none."""
        return tables.read_if_there(self.run.labels, tables.LABELS)

    @cached_property
    def problems(self) -> pl.DataFrame:
        """Table PROBLEMS; empty where no stage has left any."""
        return tables.read_if_there(self.run.problems, tables.PROBLEMS)

    @cached_property
    def boxes(self) -> pl.DataFrame:
        """The boxes of all images in memory (70 bytes each): image_id, class, corners and the flags that count."""
        return tables.read(self.run.boxes, tables.some(tables.BOXES, *_BOX_COLUMNS))

    def lazy_boxes(self) -> pl.LazyFrame:
        """`boxes` as a lazy frame: from memory if `boxes` has been read, else from disk."""
        if "boxes" in vars(self):
            return self.boxes.lazy()
        return tables.scan(self.run.boxes, tables.some(tables.BOXES, *_BOX_COLUMNS))

    def all_boxes(self) -> pl.LazyFrame:
        """Table BOXES with all its columns, as a lazy frame from disk."""
        return tables.scan(self.run.boxes, tables.BOXES)

    def boxes_of(self, ids: pl.DataFrame) -> pl.DataFrame:
        """The rows of table BOXES for the images in column image_id, read from disk."""
        wanted = ids.lazy().select("image_id")
        return self.all_boxes().join(wanted, on="image_id", how="semi").collect()

    @cached_property
    def _boxed(self) -> pl.DataFrame:
        counts = boxed_counts(self.lazy_boxes(), self.classes)
        return with_tags(counts, self.tags, self.classes) if self.tags.height else counts

    @cached_property
    def tags(self) -> pl.DataFrame:
        """Table TAGS; empty where no source says anything of whole images."""
        return tables.read_if_there(self.run.tags, tables.TAGS)

    @cached_property
    def counts(self) -> pl.DataFrame:
        """Objects of each class of interest of the pool's images that hold any (`selection.diversity.class_counts`)."""
        return with_objects(self._boxed).join(self.pool, on="image_id", how="semi")

    @cached_property
    def target_counts(self) -> pl.DataFrame:
        """As `counts`, of the target's images; empty where it has no boxes."""
        return with_objects(self._boxed).join(self.target, on="image_id", how="semi")

    @cached_property
    def labelled(self) -> pl.DataFrame:
        """image_id of the pool's labelled images.

        A data set without any box counts as unlabelled: the diversity of its images is null, not 0.
        """
        datasets = self._boxed.select("image_id").join(self.pool, on="image_id")["dataset"].unique()
        return self.pool.filter(pl.col("dataset").is_in(datasets.implode())).select("image_id")

    @cached_property
    def frequencies(self) -> ClassFrequencies:
        """How many labelled pool images contain each class, and the weights that follow."""
        return class_frequencies(self.counts, self.labelled.height)

    def class_boxes(self, of: str, ids: pl.DataFrame) -> pl.DataFrame:
        """The rows of table FREQUENCIES on the boxes of some images, without method, budget, seed and pixels.

        Args:
            of: Name of this set of images in the table.
            ids: Their `image_id`.
        """
        boxes = self.lazy_boxes().join(ids.lazy().select("image_id"), on="image_id", how="semi")
        found = pl.DataFrame({"class": self.classes}).join(box_frequencies(boxes, self.classes), on="class", how="left")
        return found.with_columns(pl.col("boxes", "images").fill_null(0)).with_columns(
            of=pl.lit(of), of_images=pl.lit(ids.height, pl.Int64), boxes_per_image=pl.col("boxes") / max(1, ids.height)
        )

    @property
    def compared(self) -> list[str]:
        """The comparisons that have counted the classes of the target's masks, by name."""
        return sorted(path.parent.name for path in (self.run.folder / "comparisons").glob("*/frequencies.parquet"))

    def counted_target(self, comparison: str) -> pl.DataFrame:
        """The target's rows of table FREQUENCIES of a comparison: pixels and images of each class of its masks."""
        if comparison not in self._counted:
            path = self.run.comparison(comparison) / "frequencies.parquet"
            self._counted[comparison] = tables.read(path, tables.FREQUENCIES).filter(of="target")
        return self._counted[comparison]

    def results(self, comparison: str) -> pl.DataFrame:
        """Table RESULTS of a comparison: what its finished trainings have reached."""
        if comparison not in self._results:
            self._results[comparison] = tables.read(self.run.comparison(comparison) / "results.parquet", tables.RESULTS)
        return self._results[comparison]

    @cached_property
    def scores(self) -> pl.DataFrame:
        """Table SCORES, with any columns added by the user; columns that an older release lacks are null.

        Raises:
            DataError: score has not run, or the table has other columns.
        """
        return read_scores(self.run.scores_path)

    @property
    def has_scores(self) -> bool:
        """Whether score has run."""
        return "scores" in vars(self) or self.run.scores_path.is_file()

    @cached_property
    def pooled(self) -> pl.DataFrame:
        """Table POOLED: an image's pooled vector, its grid and its true size.

        Raises:
            DataError: embed has not run.
        """
        return tables.read(self.run.pooled, tables.POOLED, key="image_id")

    @cached_property
    def image_facts(self) -> pl.DataFrame:
        """Table IMAGE_FACTS; empty where embed has left none."""
        return tables.read_if_there(self.run.facts, tables.IMAGE_FACTS)

    @property
    def has_vectors(self) -> bool:
        """Whether embed has run."""
        return "pooled" in vars(self) or self.run.pooled.is_file()

    def vectors(self, ids: pl.DataFrame) -> tuple[pl.DataFrame, Float16[np.ndarray, "n c"]]:
        """image_id, sorted, and pooled vectors of those of the images that have been embedded."""
        own = self.pooled.join(ids.select("image_id"), on="image_id", how="semi").sort("image_id")
        return own.select("image_id"), own["vector"].rechunk().to_numpy(allow_copy=False)

    @property
    def selection_names(self) -> list[str]:
        """The run's selections, by name."""
        return selection_names(self.run.folder)

    def selection(self, name: str) -> pl.DataFrame:
        """The selection of this name, joined with the columns of its images, rank 1 first.

        Raises:
            SettingsError: no selection has this name.
        """
        if name not in self._selections:
            path = existing_selection(self.run.folder, name)
            self._selections[name] = read_selection(path, self.images)
        return self._selections[name]

    @property
    def training_names(self) -> list[str]:
        """Names of the trainings that have a network, sorted."""
        return sorted(path.parent.name for path in (self.run.folder / "trainings").glob("*/checkpoint.safetensors"))

    def checkpoint(self, training: str) -> Path:
        """Path of the network of this training.

        Raises:
            SettingsError: no training has this name.
        """
        path = self.run.training(training) / "checkpoint.safetensors"
        if not path.is_file():
            raise SettingsError(none_of("training", training, self.run.folder, self.training_names))
        return path


def selected(run: AnyRun, name: str) -> Table:
    """The selection of this name, joined with the columns of its images, rank 1 first.

    Raises:
        SettingsError: no selection has this name.
    """
    run = as_run(run)
    return Table.of(OpenedRun(run).selection(name))


def source_roots(opened: OpenedRun) -> list[Path]:
    """The folders given to index; for a file, such as a list of images, its folder."""
    settings = opened.settings_of("index")
    sources = parsed_sources(*(settings.get(role, ()) for role in ("target", "pool", "guard")))
    placed = with_places(sources, settings.get("images", ()), settings.get("masks", ()))
    told = column_map(settings.get("columns", ())).get("images")
    return [folder for source in placed for folder in source.folders] + ([Path(told).expanduser()] if told else [])
