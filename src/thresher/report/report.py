"""report: a run's tables → one HTML page that opens from disk and needs no network."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from thresher import __version__, tables
from thresher.data.taxonomy import load_taxonomy
from thresher.errors import SettingsError
from thresher.files import replacing
from thresher.report.command_lines import command_lines, in_order
from thresher.report.pictures import boxes_of, heat_of, pictures_of
from thresher.report.tables import (
    choice,
    comparisons,
    findings,
    frequencies,
    held_out_target,
    map_places,
    redundant,
    sizes,
)
from thresher.run.contents import scores_of, selection_names
from thresher.run.folder import Record, Run
from thresher.run.perform import StageResult, Track, untracked
from thresher.settings import OptionalPath, converted, default
from thresher.stages.select import SelectSettings

if TYPE_CHECKING:
    from thresher.report.blocks import Section

_NEEDED = ("altair", "jinja2", "vl_convert", "sklearn")


@converted
@dataclass(frozen=True)
class ReportSettings:
    """What the page shows, and where it goes."""

    selection: str = ""
    """The selection to show; by default that of select's default method, or else the first by name."""
    out: OptionalPath = default(None)
    """The HTML file to write, its pictures in a folder beside it; RUN/report.html by default."""
    single_file: bool = False
    """Put the pictures into the HTML file."""
    duplicate_cosine: float = 0.95
    """Pool images whose pooled vectors have this cosine or more are told as near-duplicates; 0: nothing is told."""
    map_images: int = 2000
    """The map places at most this many images, a third of them the target's and a third the selection's; 0: no map."""

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
    run: Run, settings: ReportSettings | None = None, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Write one HTML page on all that was done in the run so far; what was not says which command makes it.

    Raises:
        SettingsError: there is no such selection, or the optional part `report` is not installed.
        DataError: index has not run.
    """
    settings = settings or ReportSettings()
    if missing := missing_report_parts():
        raise SettingsError(f"report: {', '.join(missing)} not installed. Run: pip install 'thresher[report]'")
    images = tables.read(run.images, tables.INDEXED_IMAGES, key="image_id")
    name = _selection(run, settings.selection)
    out = settings.out or run.folder / "report.html"
    told: dict[str, Any] = {"path": str(out), "selection": name or "none", "images": images.height}
    if dry_run:
        return StageResult("report", "planned", told)
    from thresher.report.page import page

    sections = _sections(run, settings, images, name)
    pictures, unreadable = pictures_of(run, sections, images, out, settings.single_file, track)
    html = page(f"thresher: {run.folder.absolute().name}", str(run.folder), sections, pictures, __version__)
    with replacing(out) as file:
        file.write(html.encode())
    told |= {"sections": len(sections), "pictures_unreadable": unreadable, "html_bytes": out.stat().st_size}
    return StageResult("report", "done", told)


def missing_report_parts() -> list[str]:
    """The libraries of the optional part report that are not installed."""
    return [name for name in _NEEDED if importlib.util.find_spec(name) is None]


def _selection(run: Run, asked: str) -> str | None:
    """The selection's name; None where none was asked for and there is none."""
    names = selection_names(run)
    if asked and asked not in names:
        raise SettingsError(
            f"selection '{asked}': none in {run.folder}. There is: {', '.join(names) or 'no selection'}."
        )
    if asked or not names:
        return asked or None
    default = [name for name in names if name.startswith(SelectSettings.method)]
    return (default or names)[0]


def _sections(run: Run, settings: ReportSettings, images: pl.DataFrame, name: str | None) -> list[Section]:
    from thresher.report.blocks import Missing, Section
    from thresher.report.sections.chosen import EDGE, FIRST, Look, chosen_section
    from thresher.report.sections.compared import comparison_section
    from thresher.report.sections.distributions import Material, distributions_section
    from thresher.report.sections.mapped import map_section
    from thresher.report.sections.mixture import mixture_section
    from thresher.report.sections.problems import problems_section

    pool = images.filter(role="pool").select("image_id", "dataset")
    scores = scores_of(run)
    found = choice(run, name, scores, pool) if name and scores is not None else None
    taken = found.taken.select("image_id") if found else None
    if found is None:
        chosen = Section("selection", "The selection", [Missing("Nothing has been selected.", "thresher select RUN")])
    else:
        frames = [frame for frame in (found.taken, found.left_out, found.drawn) if frame is not None]
        colours = {each: number for number, each in enumerate(load_taxonomy(str(run.taxonomy)).classes_of_interest)}
        shown = [found.taken.head(FIRST), found.taken.tail(EDGE), *frames[1:]]
        look = Look(boxes_of(run, frames, colours), colours, heat_of(run, shown))
        chosen = chosen_section(found, pool, look)
    material = Material(
        images, scores, taken, held_out_target(run), frequencies(run, pool, found), sizes(run)
    )  # fmt: skip
    return [
        _done(run, images, name),
        chosen,
        distributions_section(material),
        map_section(map_places(run, images, taken, settings.map_images), scores, settings.map_images == 0),
        mixture_section(findings(run)),
        problems_section(
            tables.read(run.problems, tables.PROBLEMS) if run.problems.is_file() else None,
            tables.read(run.labels, tables.LABELS) if run.labels.is_file() else None,
            redundant(run, pool, taken, settings.duplicate_cosine),
        ),
        comparison_section(comparisons(run)),
    ]


def _done(run: Run, images: pl.DataFrame, selection: str | None) -> Section:
    from thresher.report.sections.done import done_section

    recorded = in_order(run.recorded())
    counted = (
        tables.scan(run.boxes, tables.some(tables.BOXES, "image_id", "class"))
        .group_by("image_id").agg(boxes=pl.len(), mapped=pl.col("class").is_not_null().sum())
        .collect(engine="streaming")
    )  # fmt: skip
    masks = tables.read(run.masks, tables.some(tables.MASKS, "image_id")).unique()
    read = tables.read(run.pooled, tables.some(tables.POOLED, "image_id")) if run.pooled.is_file() else None
    problems = tables.read(run.problems, tables.PROBLEMS) if run.problems.is_file() else tables.empty(tables.PROBLEMS)
    broken = (
        problems.filter(pl.col("problem").is_in(["image_unreadable", "image_missing", "archive_broken"]))
        .select("image_id")
        .unique()
    )
    compared = {
        folder.name: entry
        for folder in sorted((run.folder / "comparisons").glob("*"))
        if "settings" in (entry := _compare_entry(folder))
    }
    # Of other selections, of which a comparison makes dozens, the command lines are enough.
    shown = {stage: entry for stage, entry in recorded.items() if stage.partition(":")[2] in ("", selection)}
    return done_section(shown, images, counted, masks, read, broken, command_lines(run.folder, recorded, compared))


def _compare_entry(folder: Path) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = Record(folder).recorded().get("compare", {})
    return entry
