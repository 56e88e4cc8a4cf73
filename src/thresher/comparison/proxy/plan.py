"""What a comparison by proxy trains, from which tables, and where each finished training is kept."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from thresher.comparison.proxy.materials import Files, files_of, prepare, true_masks
from thresher.comparison.proxy.store import Store, missing
from thresher.comparison.proxy.trainings import Arm
from thresher.comparison.results import SETS
from thresher.comparison.settings import ALL, LABELS, NONE, CompareSettings, Trial
from thresher.data.source_text import parsed_source
from thresher.pretrained import weights_file
from thresher.run.digests import Input, Listing, digest_of
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.perform import Track, as_json, fingerprint, is_current
from thresher.run.record import Record
from thresher.segmentation.tree import ClassTree, class_tree
from thresher.settings import restored
from thresher.training.settings import TrainSettings, unused_weights


@dataclass(frozen=True)
class ProxyTraining:
    """All that shapes one training."""

    trial: Trial
    training: TrainSettings
    test: str

    @property
    def as_used(self) -> ProxyTraining:
        """The same, with the weights that it does not use at fixed values."""
        return dataclasses.replace(self, training=dataclasses.replace(self.training, **self.unused))

    @property
    def unused(self) -> dict[str, Any]:
        """The weights that it does not use (`unused_weights`)."""
        mode = LABELS if self.trial.mode.startswith(LABELS) else self.trial.mode
        return unused_weights(mode, has_weak=self.trial.method != NONE)


@dataclass(frozen=True)
class ProxyPlan:
    """A comparison by proxy."""

    run: Run
    settings: CompareSettings
    training: TrainSettings

    def as_line(self) -> str:
        """The plan as one line of text, for a worker."""
        settings, training = as_json(self.settings), as_json(self.training)
        return json.dumps({"run": str(self.run.folder.absolute()), "settings": settings, "training": training})

    @cached_property
    def opened(self) -> OpenedRun:
        """The run's tables."""
        return OpenedRun(self.run)

    @cached_property
    def files(self) -> Files:
        """The images with masks, and where features and label maps are kept."""
        return files_of(self.run, self.training, self.settings.test)

    @cached_property
    def tree(self) -> ClassTree:
        """The classes."""
        return class_tree(self.opened.taxonomy)

    @cached_property
    def true(self) -> pl.DataFrame:
        """image_id, path, mask and encoding of the weakly labelled images whose true masks are known."""
        known = true_masks(self.opened, self.settings.true_masks)
        return known.join(self.weak(self.settings.trials()), on="image_id", how="semi")

    def images(self, trial: Trial) -> pl.DataFrame:
        """The rows of the pool that a training may learn from."""
        if trial.budget is not None:
            return self.opened.selection(trial.selection)
        return self.opened.choosable if trial.selection == ALL else self.opened.pool.clear()

    def weak(self, trials: Iterable[Trial]) -> pl.DataFrame:
        """image_id, path and dataset of all images that these trainings may learn from."""
        parts = {trial.selection: self.images(trial).select("image_id", "path", "dataset") for trial in trials}
        return pl.concat([self.opened.pool.clear().select("image_id", "path", "dataset"), *parts.values()]).unique(
            "image_id", maintain_order=True
        )

    def arm(self, trial: Trial) -> Arm:
        """What a training learns from besides the strong images."""
        ids = tuple(self.images(trial)["image_id"])
        loss = LABELS if trial.mode.startswith(LABELS) else "hierarchical"
        return Arm(ids, self.settings.proxy_route(trial), loss)

    def record(self, trial: Trial) -> Record:
        """The folder in which a finished training is kept, laid out as that of a full training."""
        return Record(self.settings.kept(self.run, trial.training))

    def asked(self, trial: Trial) -> ProxyTraining:
        """All that shapes a training, for its fingerprint."""
        return ProxyTraining(trial, self.training, self.settings.test)

    def outputs(self, trial: Trial) -> dict[str, Path]:
        """The tables of metrics of a training, by set."""
        folder = self.record(trial).folder
        return {name: folder / SETS[name] for name in self.files.sets}

    @cached_property
    def _read(self) -> dict[str, Input]:
        """What all trainings read; digests, so that it is looked at once."""
        run, training = self.run, self.training
        read: dict[str, Input] = {
            "images": run.images,
            "boxes": run.boxes,
            "masks": run.masks,
            "taxonomy": run.taxonomy,
        }
        if (weights := weights_file(training.encoder, training.weights)) is not None:
            read["weights"] = weights
        for name in ("validation", "test", "true_masks"):
            source = training.validation if name == "validation" else getattr(self.settings, name)
            if source:
                read[name] = Listing(parsed_source(source).root)
        return {name: digest_of(given) for name, given in read.items()}

    def inputs(self, trial: Trial) -> dict[str, Input]:
        """What a training reads, by name."""
        chosen = {"selection": self.run.selection_path(trial.selection)} if trial.budget is not None else {}
        return {**self._read, **chosen, **(self.opened.guard_inputs if trial.selection == ALL else {})}

    def is_done(self, trial: Trial) -> bool:
        """Whether a training is done, with tables that have not changed."""
        inputs = self.inputs(trial)
        outputs = [*self.outputs(trial).values()]
        return is_current(self.record(trial), "proxy", fingerprint("proxy", self.asked(trial), inputs), outputs)

    def missing(self, trials: Sequence[Trial]) -> int:
        """How many images these trainings need whose features are not kept yet."""
        labelled = [self.files.strong, *self.files.sets.values()]
        paths = [*self.weak(trials)["path"], *(path for part in labelled for path in part["path"])]
        return len(missing(Store(self.files.features), paths))

    def prepare(self, track: Track[Any]) -> dict[str, str]:
        """Work out and keep the features and label maps that its trainings need and that are missing.

        Returns:
            The images that cannot be read, with the reason.

        Raises:
            DataError: an image or mask to measure on cannot be read.
        """
        weak = self.weak(self.settings.trials())
        return prepare(self.files, weak["path"].to_list(), self.true, track)


def plan_of(line: str) -> ProxyPlan:
    """The plan of a line of text."""
    given = json.loads(line)
    settings, training = restored(CompareSettings, given["settings"]), restored(TrainSettings, given["training"])
    return ProxyPlan(Run(given["run"]), settings, training)
