"""A run's folder: the paths of its tables, its manifest, and a lock against concurrent processes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from thresher import tables
from thresher.errors import DataError, SettingsError
from thresher.files import replacing
from thresher.frames import Table
from thresher.run.reading import existing_selection, read_scores, read_selection, selection_names
from thresher.run.summary import run_summary

_NAME = re.compile(r"[\w][\w.+-]*")


def check_name(name: str, what: str = "name") -> None:
    """Refuse a name of a selection, review, training or comparison that is no plain file name.

    Raises:
        SettingsError: it holds something else than letters, digits, '.', '-', '+' and '_', or starts with a mark.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{what} '{name}': expected letters, digits, '.', '-', '+' or '_'.")


class Record:
    """A folder with a manifest, a table of problems, and a lock against concurrent processes.

    Creating the object touches nothing on disk.
    """

    def __init__(self, folder: Path | str) -> None:
        """Point at a folder, which need not exist yet."""
        self.folder = Path(folder)
        self.problems = self.folder / "problems.parquet"
        self.manifest = self.folder / "manifest.json"

    def recorded(self) -> dict[str, Any]:
        """The manifest: an entry per stage; empty for a new folder.

        Raises:
            DataError: the manifest is not JSON.
        """
        if not self.manifest.is_file():
            return {}
        try:
            content: dict[str, Any] = json.loads(self.manifest.read_text("utf-8"))
        except json.JSONDecodeError as error:
            raise DataError(f"{self.manifest}: not JSON ({error}). Delete it; all stages will run again.") from error
        return content

    def note(self, stage: str, entry: dict[str, Any]) -> None:
        """Write a stage's entry to the manifest, replacing its last one."""
        recorded = self.recorded()
        recorded[stage] = entry
        with replacing(self.manifest) as file:
            file.write((json.dumps(recorded, indent=1, sort_keys=True) + "\n").encode())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder for this process.

        Raises:
            DataError: another process holds it, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / ".lock").open("a+")
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be written ({error.strerror}). Choose another folder.") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DataError(f"{self.folder}: another thresher process works in this folder. Wait for it.") from None
            yield

    def add_problems(self, stage: str, problems: pl.DataFrame) -> None:
        """Replace the problems of a stage in the table of problems."""
        kept = tables.empty(tables.PROBLEMS)
        if self.problems.is_file():
            kept = tables.read(self.problems, tables.PROBLEMS).filter(pl.col("stage") != stage)
        tables.write(pl.concat([kept, problems.select(list(tables.PROBLEMS))]), self.problems)


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
        self.labels = self.folder / "labels.parquet"
        self.taxonomy = self.folder / "taxonomy.toml"
        self.slices = self.folder / "slices"
        self.shards = self.folder / "shards.parquet"
        self.projection = self.folder / "projection.safetensors"
        self.pooled = self.folder / "pooled.parquet"
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
