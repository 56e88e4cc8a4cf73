"""report: a run's tables → one HTML page that opens from disk and needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from thresher import __version__, extras
from thresher.errors import SettingsError
from thresher.files import replacing
from thresher.reasons.audit import Audit, audit_of
from thresher.reasons.budget import BudgetSettings, HowMany, how_many
from thresher.report.answers import answers_block, first_images, newest_first, others_of
from thresher.report.command_lines import command_lines, in_order
from thresher.report.pictures import boxes_of, heat_of, pictures_of
from thresher.report.places import below_roots, shown_folder, without_parents
from thresher.report.tables import (
    comparisons,
    findings,
    frequencies,
    held_out_target,
    label_sets,
    map_places,
    redundant,
    reported_selection,
    sizes,
)
from thresher.run.folder import AnyRun, as_run
from thresher.run.opened import OpenedRun, source_roots
from thresher.run.perform import StageResult, Track, untracked
from thresher.run.record import Record
from thresher.run.state import refuse_outdated
from thresher.selection.methods import DEFAULT_METHOD
from thresher.settings import OptionalPath, Texts, converted, default

if TYPE_CHECKING:
    from thresher.report.blocks import Section
    from thresher.report.sections.chosen import Look, ReportedSelection
    from thresher.report.sections.compared import Compared


@converted
@dataclass(frozen=True)
class ReportSettings:
    """What the report shows, and the file to write."""

    selection: str = ""
    """Name of the selection to show. Default: the newest that was not drawn at random or made by a comparison."""
    out: OptionalPath = default(None)
    """HTML file to write; its pictures go to a folder beside it. Default: RUN/report.html."""
    single_file: bool = False
    """Embed the pictures in the HTML file."""
    duplicate_cosine: float = 0.95
    """Pool images whose pooled vectors have at least this cosine are reported as near-duplicates. 0 = not reported."""
    map_images: int = 2000
    """Maximum number of images in the map, 4 to 5000: a third each of target, selection and other pool. 0 = no map."""
    remarks: Texts = default(())
    """Sentences of your own, shown first."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if not 0 <= self.duplicate_cosine <= 1:
            raise SettingsError(f"duplicate_cosine = {self.duplicate_cosine}: expected 0 (off) to 1, such as 0.95.")
        if not (self.map_images == 0 or 4 <= self.map_images <= 5000):
            raise SettingsError(f"map_images = {self.map_images}: expected 0, or 4 to 5000.")


def write_report(
    run: AnyRun, settings: ReportSettings | None = None, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Write one HTML page on everything done in the run so far; for what is missing it gives the command.

    Raises:
        SettingsError: there is no such selection, or the optional part `report` is not installed.
        DataError: index has not run, or a table that it shows is outdated or damaged.
    """
    run = as_run(run)
    settings = settings or ReportSettings()
    extras.require("report", "report")
    opened = OpenedRun(run)
    name = _selection(opened, settings.selection)
    refuse_outdated(run, ["index", "embed", "fit", "score", "insight", f"select:{name}"])
    out = settings.out or run.folder / "report.html"
    summary: dict[str, Any] = {"path": str(out), "selection": name or "none", "images": opened.images.height}
    if dry_run:
        return StageResult("report", "planned", summary)
    from thresher.report.page import page

    _ = opened.boxes  # read whole and kept, since nearly every section asks for some of them
    sections = _sections(opened, settings, name)
    pictures, unreadable = pictures_of(opened, sections, out, settings.single_file, track)
    html = page(f"thresher: {run.folder.absolute().name}", shown_folder(run.folder), sections, pictures, __version__)
    with replacing(out) as file:
        file.write(html.encode())
    summary |= {"sections": len(sections), "pictures_unreadable": unreadable, "html_bytes": out.stat().st_size}
    return StageResult("report", "done", summary)


def _selection(opened: OpenedRun, asked: str) -> str | None:
    """The name of the selection to show; None if the run has none."""
    if asked:
        opened.selection(asked)  # refuses a name that is not there
        return asked
    names = newest_first(opened)
    return names[0] if names else None


def _sections(opened: OpenedRun, settings: ReportSettings, name: str | None) -> list[Section]:
    """The answer first, then the reasons, and last how it was made."""
    from thresher.report.sections.audited import audit_section
    from thresher.report.sections.chosen import chosen_section
    from thresher.report.sections.compared import comparison_section
    from thresher.report.sections.distributions import DistributionsInput, distributions_section
    from thresher.report.sections.enough import enough_section
    from thresher.report.sections.labelled import label_section
    from thresher.report.sections.mapped import map_section
    from thresher.report.sections.mixture import mixture_section
    from thresher.report.sections.problems import problems_section

    scores = opened.scores if opened.has_scores else None
    found = reported_selection(opened, name) if name and scores is not None else None
    taken = found.taken.select("image_id") if found else None
    run, labelled, compared = opened.run, label_sets(opened), comparisons(opened)
    given = DistributionsInput(
        opened.images, scores, taken, held_out_target(run), frequencies(opened, found), sizes(opened)
    )
    enough = how_many(opened, BudgetSettings()) if scores is not None and opened.has_vectors else None
    audit = audit_of(opened, found.name, found.taken, settings.duplicate_cosine) if found else None
    look = _look(opened, found) if found else None
    return [
        _answered(opened, found, audit, enough, compared, look, settings.remarks),
        *([chosen_section(found, opened.pool.select("image_id", "dataset"), look)] if found and look else []),
        *([audit_section(audit)] if audit else []),
        *([enough_section(enough)] if enough else []),
        comparison_section(compared),
        *([label_section(labelled)] if labelled else []),
        distributions_section(given),
        map_section(map_places(opened, taken, settings.map_images), scores, settings.map_images == 0),
        mixture_section(findings(run)),
        problems_section(
            _problems(opened) if run.problems.is_file() else None,
            opened.labels if run.labels.is_file() else None,
            redundant(opened, taken, settings.duplicate_cosine),
        ),
        _done(opened, name),
    ]


def _answered(
    opened: OpenedRun,
    found: ReportedSelection | None,
    audit: Audit | None,
    enough: HowMany | None,
    compared: Sequence[Compared],
    look: Look | None,
    remarks: Sequence[str],
) -> Section:
    from thresher.report.blocks import Missing, Section, Words

    first = [Words(each) for each in remarks]
    if found is None or audit is None or look is None:
        return Section("answer", "The answer", [*first, Missing("Nothing has been selected.", "thresher select RUN")])
    return Section("answer", "The answer", [*first, answers_block(opened, found, audit, enough, compared, look)])


def _look(opened: OpenedRun, found: ReportedSelection) -> Look:
    """What is needed to show the images of the selection, and the first ones of those beside it."""
    from thresher.report.sections.chosen import EDGE, FIRST, Look

    frames = [frame for frame in (found.taken, found.left_out, found.drawn) if frame is not None]
    colours = {each: number for number, each in enumerate(opened.classes)}
    shown = [found.taken.head(FIRST), found.taken.tail(EDGE), *frames[1:]]
    beside = [first_images(opened, name) for name in others_of(opened, found.name)]
    heat = heat_of(opened, shown, str(found.settings.get("method", DEFAULT_METHOD)))
    return Look(boxes_of(opened, [*frames, *beside], colours), colours, heat)


def _done(opened: OpenedRun, selection: str | None) -> Section:
    from thresher.report.sections.done import done_section

    run, recorded = opened.run, in_order(opened.recorded)
    counted = (
        opened.lazy_boxes()
        .group_by("image_id")
        .agg(boxes=pl.len(), mapped=pl.col("class").is_not_null().sum())
        .collect(engine="streaming")
    )
    masks = opened.masks.select("image_id").unique()
    read = opened.pooled.select("image_id") if opened.has_vectors else None
    unreadable = pl.col("problem").is_in(["image_unreadable", "image_missing", "archive_broken"])
    broken = opened.problems.filter(unreadable).select("image_id").unique()
    compared = {
        folder.name: entry
        for folder in sorted((run.folder / "comparisons").glob("*"))
        if "settings" in (entry := _compare_entry(folder))
    }
    # Of other selections, of which a comparison makes dozens, the command lines are enough.
    shown = {stage: entry for stage, entry in recorded.items() if stage.partition(":")[2] in ("", selection)}
    folder = Path(shown_folder(run.folder))
    lines = command_lines(folder, without_parents(recorded), without_parents(compared))
    return done_section(without_parents(shown), opened.images, counted, masks, read, broken, lines)


def _problems(opened: OpenedRun) -> pl.DataFrame:
    """Table PROBLEMS with the folders of the data by their last name."""
    roots = [opened.run.folder, *source_roots(opened)]
    names = {
        text: below_roots(text, roots) for name in ("path", "detail") for text in opened.problems[name].drop_nulls()
    }
    return opened.problems.with_columns(pl.col("path", "detail").replace(names))


def _compare_entry(folder: Path) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = Record(folder).recorded().get("compare", {})
    return entry
