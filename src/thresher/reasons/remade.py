"""A selection made again from its recorded settings, by the functions of `select`."""

from __future__ import annotations

from thresher.errors import DataError, quoted
from thresher.run.lists import review_marks
from thresher.run.opened import OpenedRun
from thresher.selection.choose import Selection
from thresher.selection.methods import ranking
from thresher.selection.why import Choice
from thresher.settings import restored
from thresher.stages.candidates import alike_of, scores_with, shortlist_of
from thresher.stages.select import SelectSettings, candidates_for, choose


def settings_of_selection(opened: OpenedRun, name: str) -> SelectSettings:
    """The settings that a selection was made with.

    Raises:
        DataError: the manifest has no record of it.
    """
    recorded = opened.settings_of(f"select:{name}")
    if "method" not in recorded:
        raise DataError(
            f"{opened.run.folder}: manifest.json does not say how selection '{name}' was made. Make it again: "
            f"`thresher select {quoted(opened.run.folder)} --name {name} …`."
        )
    return restored(SelectSettings, recorded)


def made_again(opened: OpenedRun, name: str) -> Choice:
    """The selection that the recorded settings of this name make now.

    Raises:
        DataError: as `settings_of_selection`, or the review or a list is gone.
        SettingsError: the tables have changed since, and no longer allow this choice.
    """
    settings = settings_of_selection(opened, name)
    made = choose(candidates_for(opened, settings), settings, review_marks(opened.run, settings.review))
    return choice_of(opened, made, settings)


def choice_of(opened: OpenedRun, made: Selection, settings: SelectSettings) -> Choice:
    """A selection and what it was made by."""
    scores = scores_with(opened, settings.columns)
    ranked = ranking(scores, settings.method, settings.seed, settings.diversity_weight).order
    shortlist = None
    if settings.coverage != "off":
        shortlist = shortlist_of(settings, made.chosen.height, made.candidates.height, alike_of(opened))
    return Choice(made, settings.method, ranked, scores, shortlist, settings.coverage)
