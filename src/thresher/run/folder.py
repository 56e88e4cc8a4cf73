"""A run's folder: the paths of its tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TypeAlias

from thresher import tables
from thresher.errors import SettingsError
from thresher.frames import Table
from thresher.run.reading import existing_selection, read_scores, read_selection, selection_names
from thresher.run.record import Record
from thresher.run.summary import run_summary

_NAME = re.compile(r"[\w][\w.+-]*")


def check_name(name: str, what: str = "name") -> None:
    """Refuse a name of a selection, review, training or comparison that is no plain file name.

    Raises:
        SettingsError: it holds something else than letters, digits, '.', '-', '+' and '_', or starts with a mark.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{what} '{name}': expected letters, digits, '.', '-', '+' or '_'.")


class Run(Record):
    """The paths of one run. Its manifest records the stages up to select.

    Each training and comparison has a manifest in its own folder, so that several can run at once.
    """

    def __init__(self, folder: Path | str) -> None:
        """Point at a run's folder, which need not exist yet."""
        super().__init__(folder)
        self.images = self.folder / "images.parquet"
        self.boxes = self.folder / "boxes.parquet"
        self.masks = self.folder / "masks.parquet"
        self.drawn_masks = self.folder / "masks"
        self.tags = self.folder / "tags.parquet"
        self.remote = self.folder / "remote.parquet"
        self.labels = self.folder / "labels.parquet"
        self.taxonomy = self.folder / "taxonomy.toml"
        self.slices = self.folder / "slices"
        self.shards = self.folder / "shards.parquet"
        self.embedded = self.folder / "embedded.parquet"
        self.projection = self.folder / "projection.safetensors"
        self.pooled = self.folder / "pooled.parquet"
        self.facts = self.folder / "facts.parquet"
        self.objects = self.folder / "objects"
        self.backbone = self.folder / "backbone.onnx"
        self.mixture = self.folder / "mixture.safetensors"
        self.evidence = self.folder / "evidence.safetensors"
        self.scores_path = self.folder / "scores.parquet"
        self.insight = self.folder / "insight"

    def __repr__(self) -> str:
        """Images, stages, selections and trainings of the run, and which of them are out of date."""
        return run_summary(self.folder).as_text()

    def _repr_html_(self) -> str:
        return run_summary(self.folder).as_html()

    def scores(self) -> Table:
        """Table SCORES: a row per pool image. `.to_pandas()` needs no pyarrow.

        Raises:
            DataError: score has not run.
        """
        return Table.of(read_scores(self.scores_path))

    def selection(self, name: str) -> Table:
        """The selection of this name, joined with the columns of its images, rank 1 first.

        Raises:
            SettingsError: no selection has this name.
        """
        path = existing_selection(self.folder, name)
        return Table.of(read_selection(path, tables.read(self.images, tables.INDEXED_IMAGES, key="image_id")))

    def selections(self) -> list[str]:
        """The names of its selections."""
        return selection_names(self.folder)

    def selection_path(self, name: str) -> Path:
        """Path of the selection of this name."""
        return self.folder / "selections" / f"{name}.parquet"

    def review(self, name: str) -> Path:
        """Path of the review of this name: the marks and changes made in the explorer."""
        return self.folder / "reviews" / f"{name}.parquet"

    def training(self, name: str) -> Path:
        """Folder of the training of this name."""
        return self.folder / "trainings" / name

    def label_set(self, name: str) -> Path:
        """Folder of the label set of this name: pixel labels made from boxes."""
        return self.folder / "labels" / name

    def comparison(self, name: str) -> Path:
        """Folder of the comparison of this name."""
        return self.folder / "comparisons" / name


#: A run, or the path of its folder: the first argument of every function that works on a run.
AnyRun: TypeAlias = Run | Path | str


def as_run(run: AnyRun) -> Run:
    """The run, or the one in that folder.

    Raises:
        SettingsError: neither a run nor a path.

    >>> as_run("runs/first").images.as_posix()
    'runs/first/images.parquet'
    """
    if isinstance(run, Run):
        return run
    if isinstance(opened := getattr(run, "run", None), Run):
        return opened  # of an OpenedRun
    if not isinstance(run, str | Path) or not str(run):
        raise SettingsError(f'run = {run!r}: expected a run, Run("runs/first"), or the path of its folder.')
    if Path(run).is_file():
        raise SettingsError(f"run = {run}: this is a file; expected the folder of a run, such as runs/first.")
    return Run(run)
