"""Whether each recorded result of a run still follows from what is there: done, out of date, damaged or unfinished."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from thresher.errors import DataError, quoted
from thresher.run.digests import damage_of, file_digest, folder_digest
from thresher.run.inputs import INPUTS, OUTSIDE, WORDS
from thresher.run.record import Record
from thresher.run.stages import STAGES, stage_named
from thresher.run_files import WRITTEN_BY

#: In the manifest's entry of a stage while it runs, and after it was interrupted.
UNFINISHED = {"unfinished": True}
_INTERRUPTED = "it was interrupted, so tables may mix old and new settings"
#: The stages that a selection needs, in order.
LINE = ("index", "embed", "fit", "score")
#: Trainings, label sets and comparisons are recorded in folders of their own.
_OWN_FOLDER = {"train": "trainings", "labels": "labels", "compare": "comparisons"}
Word = Literal["done", "outdated", "damaged", "unfinished", "running", "missing"]


@dataclass(frozen=True)
class StageState:
    """State of one result: of a stage, a selection ("select:first") or a training ("train:base")."""

    name: str
    word: Word
    because: str = ""
    """Why it is not done; empty if it is."""
    seconds: float | None = None
    """How long the stage took."""
    bytes: int | None = None
    """Size of what it wrote; of folders only that of slices."""
    finished: float | None = None
    """When it ended, in seconds since 1970."""

    @property
    def current(self) -> bool:
        """Whether others may read it. What is missing has its own error, from whoever reads it."""
        return self.word in ("done", "missing")

    def in_words(self) -> str:
        """State and reason.

        >>> StageState("fit", "outdated", "embed is outdated").in_words()
        'outdated: embed is outdated'
        """
        return f"{self.word}: {self.because}" if self.because else self.word


class RunState:
    """States of a run's results, each worked out once.

    Args:
        sources: Whether to look at what lies outside the run's folder too, such as the sources of index. With
            millions of images that takes seconds.
    """

    def __init__(self, run: Record, sources: bool = False) -> None:
        """Read the manifest only."""
        self._run, self._sources = run, sources
        self._recorded = run.recorded()
        self._known: dict[str, StageState] = {}

    def of(self, name: str) -> StageState:
        """State of a stage ("score") or of a result: "select:first", "train:…", "labels:…" or "compare:…"."""
        if name not in self._known:
            stage, _, own = name.partition(":")
            if stage in _OWN_FOLDER:
                record = Record(self._run.folder / _OWN_FOLDER[stage] / own)
                self._known[name] = self._of_entry(name, record, record.recorded().get(stage))
            else:
                self._known[name] = self._of_entry(name, self._run, self._recorded.get(name))
        return self._known[name]

    def all(self) -> Iterator[StageState]:
        """The line, then other recorded stages, selections and trainings."""
        order = [stage.name for stage in STAGES]
        recorded = sorted(self._recorded, key=lambda name: (order.index(name.partition(":")[0]), name))
        own = [
            f"{stage}:{path.parent.name}"
            for stage, folder in _OWN_FOLDER.items()
            for path in sorted((self._run.folder / folder).glob("*/manifest.json"))
        ]
        for name in dict.fromkeys((*LINE, *recorded, *own)):
            yield self.of(name)

    def _of_entry(self, name: str, record: Record, entry: Any) -> StageState:
        if entry is None:
            written = [record.folder / file for file in stage_named(name).writes if ":" not in name]
            there = [path.name for path in written if path.exists()]
            return StageState(name, "missing", f"{there[0]} is there, but not recorded" if there else "")
        if "unfinished" in entry:
            running = self._sources and record.is_locked()
            return StageState(name, "running") if running else StageState(name, "unfinished", _INTERRUPTED)
        seals = entry.get("outputs", {})
        sizes = [seal.get("bytes", 0) for seal in seals.values()] if isinstance(seals, dict) else []
        facts: dict[str, Any] = {
            "seconds": entry.get("seconds"),
            "bytes": sum(sizes) + (entry["summary"].get("bytes", 0) if name == "embed" else 0),
            "finished": entry.get("finished"),
        }
        if words := damaged_problems(record, name, entry):
            return StageState(name, "damaged", words, **facts)
        if damaged := damaged_outputs(record, entry, list(seals)):
            # Slices may be deleted to save space: what was made from them stays good.
            gone = not (record.folder / "slices").exists() and "slices" in seals
            return StageState(name, "missing" if gone else "damaged", damaged[0], **facts)
        if changed := self._changed(name, entry):
            return StageState(name, "outdated", changed, **facts)
        return StageState(name, "done", **facts)

    def _changed(self, name: str, entry: Mapping[str, Any]) -> str:
        """Why the entry no longer follows from what is there, in words; empty if it does."""
        if entry.get("version", stage_named(name).version) != stage_named(name).version:
            return "this version of thresher works it out differently"
        for read in self._reads(name, entry):
            if self.of(read).word in ("outdated", "unfinished"):
                return f"{read} is {self.of(read).word}"
        # What is worked out from tables cannot be if one of them is damaged or gone.
        whole = all(self.of(read).word == "done" for read in self._reads(name, entry))
        for key, recorded in entry.get("inputs", {}).items():
            if key in (INPUTS | OUTSIDE) and not whole:
                continue
            place = entry.get("read", {}).get(key, {})
            # Of what lies outside the run, the lists and columns of a selection are few and small.
            outside = self._sources or name.startswith("select:")
            if words := self._changed_input(key, recorded, place, outside):
                return words
        return ""

    def _reads(self, name: str, entry: Mapping[str, Any]) -> list[str]:
        """The recorded results that it was made from."""
        reads = [read for read in stage_named(name).reads if read in self._recorded]
        if not name.startswith(("train:", "labels:")):
            return reads
        settings, told = entry.get("settings", {}), entry.get("summary", {})
        chosen = settings.get("selection", ())
        named = [f"select:{each}" for each in ([chosen] if isinstance(chosen, str) else chosen)]
        reads += [read for read in named if read in self._recorded]
        # A label set has a teacher, and a training may have a label set.
        made_from = (("train", told.get("teacher")), ("labels", settings.get("labels")))
        return reads + [f"{stage}:{of}" for stage, of in made_from if of and self._has_own(stage, of)]

    def _has_own(self, stage: str, name: str) -> bool:
        return (self._run.folder / _OWN_FOLDER[stage] / name / "manifest.json").is_file()

    def _changed_input(self, key: str, recorded: str, place: Mapping[str, str], and_outside: bool) -> str:
        """How an input differs from what was read, in words; empty if it does not, or is not looked at."""
        if value := (INPUTS | OUTSIDE).get(key):
            looked_at = key in INPUTS or self._sources
            same = not looked_at or value(self._run.folder, recorded) == recorded
            return "" if same else WORDS[key]
        if not place:
            return ""
        path = self._run.folder / (place.get("file") or place["below"])
        outside = not path.absolute().is_relative_to(self._run.folder.absolute())
        if outside and not and_outside:
            return ""
        if not path.exists():
            # A table of the run that was deleted to save space says nothing against what was made from it.
            return f"{path} is not there" if outside else ""
        if "below" in place:
            return "" if folder_digest(path) == recorded else f"files in {path} have changed"
        return "" if self._is(path, recorded) else f"{path.name} has changed"

    def _is(self, path: Path, digest: str) -> bool:
        """Whether a file has this digest: by the record of the stage that wrote it, if it is as that wrote it."""
        writer = self._recorded.get(WRITTEN_BY.get(path.name, ""), {})
        seals = writer.get("outputs", {})
        seal = seals.get(path.name, {}) if isinstance(seals, dict) else {}
        if seal.get("sha256") == digest and not damage_of(path, seal, writer.get("finished", 0.0)):
            return True
        return file_digest(path) == digest


def damaged_outputs(record: Record, entry: Mapping[str, Any], places: Sequence[str]) -> list[str]:
    """The outputs of a recorded stage that are not as it wrote them, in words.

    Args:
        places: Paths of the outputs, relative to the record's folder.
    """
    seals = entry.get("outputs", {})
    seals = seals if isinstance(seals, dict) else {}  # older releases listed names
    finished = entry.get("finished", 0.0)
    found = (damage_of(record.folder / place, seals.get(place, {}), finished) for place in places)
    return [words for words in found if words]


def damaged_problems(record: Record, name: str, entry: Mapping[str, Any]) -> str:
    """Whether the stage's rows in the table of problems are not as it wrote them, in words; empty if they are."""
    written = entry.get("problems")
    if written is None or record.problems_digest(name.partition(":")[0]) == written:
        return ""
    return f"{record.problems.name} is not as it was written (damaged, or changed by hand)"


def refuse_outdated(run: Record, names: Iterable[str], otherwise: str = "") -> None:
    """Refuse to read results that are outdated, damaged or unfinished.

    Args:
        names: Stages ("score"), selections ("select:first") or trainings ("train:base").
        otherwise: A sentence on what else can be done with an outdated one.

    Raises:
        DataError: names the first, the reason, and the commands that bring the run up to date.
    """
    states = RunState(run)
    wrong = [state for name in names if not (state := states.of(name)).current]
    if wrong:
        first = wrong[0]
        # What is outdated because of an earlier stage is so because of the first such stage of the line.
        wrong_stages = [state for state in map(states.of, LINE) if not state.current]
        follows = any(first.because == f"{state.name} is {state.word}" for state in wrong_stages)
        root = wrong_stages[0] if follows else first
        reason = first.in_words() if root is first else f"{first.word}, as {root.name} is {root.in_words()}"
        hint = f" {otherwise}" if otherwise and first.word == "outdated" else ""
        raise DataError(f"{run.folder}: {first.name} is {reason}. {_remedy(run, root.name)}{hint}")


def outdated_of(run: Record, names: Iterable[str]) -> list[str]:
    """Those of the results that are outdated, for whoever reads them as they stand; none may be damaged or unfinished.

    Raises:
        DataError: names the first, the reason, and the command that mends it.
    """
    states = [*map(RunState(run).of, names)]
    for state in states:
        if state.word in ("damaged", "unfinished"):
            raise DataError(f"{run.folder}: {state.name} is {state.in_words()}. {_remedy(run, state.name)}")
    return [state.name for state in states if state.word == "outdated"]


def _remedy(run: Record, name: str) -> str:
    """What brings a result up to date, as a sentence."""
    stage = name.partition(":")[0]
    if stage in _OWN_FOLDER:  # takes hours, or needs settings of its own: `thresher run` leaves it alone
        return f"Run the same `thresher {stage} {quoted(run.folder)} …` again, which mends it."
    return f"Run `thresher run {quoted(run.folder)}`, which brings the run up to date, or add --update to this command."
