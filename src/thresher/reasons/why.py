"""why: why images were taken, or why not."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from thresher.data.image_lists import matched
from thresher.errors import SettingsError
from thresher.reasons.remade import made_again
from thresher.run.folder import AnyRun, as_run
from thresher.run.opened import OpenedRun
from thresher.run.state import RunState, refuse_outdated
from thresher.selection.why import Choice, Instead, Why, why_of
from thresher.settings import items_of
from thresher.vectors import nearest_rows

#: Among at most so many ids a similar one is looked for: it takes a second.
_MOST_COMPARED = 50_000


@dataclass(frozen=True)
class Reasons:
    """Why images were taken by a selection, or why not."""

    selection: str
    note: str
    """What is to be known of the selection first: that it is outdated, or was changed by hand; else empty."""
    images: tuple[Why, ...]

    def __str__(self) -> str:
        """All of it in words."""
        lines = [self.note] if self.note else []
        for each in self.images:
            lines += [each.image_id, *(f"  {line}" for line in each.words)]
            if each.places:
                told = (f"{one.score.replace('_', ' ')} {one.place:,} of {one.of:,}" for one in each.places)
                lines.append(f"  Places: {', '.join(told)}.")
        return "\n".join(lines)


def why(run: AnyRun, name: str, ids: str | Sequence[str]) -> Reasons:
    """Why images were taken by a selection, or why not: what decided, the bar missed, what was taken instead.

    The selection is made again from its recorded settings by the functions of `select`.

    Args:
        run: The run, or the path of its folder.
        name: Name of the selection.
        ids: Ids of images, with or without the data set before them, or ends of their paths.

    Raises:
        SettingsError: no selection or image has this name; suggests a similar one.
        DataError: score has not run or is outdated, or it is not recorded how the selection was made.
    """
    run = as_run(run)
    opened = OpenedRun(run)
    saved = opened.selection(name).select("image_id", "rank")
    refuse_outdated(run, ["index", "score"])
    known = [_known(opened, str(each)) for each in items_of(ids)]
    choice = made_again(opened, name)
    note = _note(opened, name, saved, choice)
    return Reasons(name, note, tuple(why_in(opened, choice, image_id, saved) for image_id in known))


def why_in(opened: OpenedRun, choice: Choice, image_id: str, saved: pl.DataFrame | None = None) -> Why:
    """Why an image of the run was taken, or why not.

    Args:
        saved: image_id of the selection as it is on disk; None if that is the same.
    """
    role = opened.images.filter(image_id=image_id)["role"][0]
    if role == "target":
        words = ("Not taken: it is an image of the target; selections are made from the pool.",)
        return Why(image_id, False, "target", words)
    holds = _holds(opened, image_id)
    found = why_of(image_id, choice, holds)
    more = [_holds_words(holds)]
    if not found.taken:
        found = replace(found, instead=_instead(opened, image_id, choice.made.chosen))
        unreadable = _unreadable(opened, image_id)
        if unreadable and found.decided_by == "not ranked":
            found = replace(found, decided_by="unreadable")
        more += [unreadable] if unreadable else []
        if found.instead is not None:
            near = found.instead
            more.append(
                f"The chosen image most like it: {near.image_id}, rank {near.rank:,} (cosine {near.cosine:.2f})."
            )
    if saved is not None and saved.filter(image_id=image_id).height != found.taken:
        more.append(
            "The selection on disk leaves it out, though."
            if found.taken
            else "The selection on disk holds it all the same."
        )
    return replace(found, words=(*found.words, *more))


def _known(opened: OpenedRun, text: str) -> str:
    """The id of the image meant.

    Raises:
        SettingsError: no image, or several.
    """
    images = opened.images.select("image_id", "path", "dataset")
    if images.filter(image_id=text).height:
        return text
    found = matched([(text,)], images, text).image_ids
    if len(found) == 1:
        return found[0]
    if found:
        raise SettingsError(f"image '{text}': {len(found)} images are meant: {', '.join(found[:3])}, …. Give the id.")
    part = images.filter(pl.col("image_id").str.contains(text, literal=True))["image_id"].head(1).to_list()
    close = part or (
        difflib.get_close_matches(text, images["image_id"].to_list(), n=1) if images.height <= _MOST_COMPARED else []
    )
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise SettingsError(f"image '{text}': no such image in the run.{hint} Ids look like {images['image_id'][0]}.")


def _note(opened: OpenedRun, name: str, saved: pl.DataFrame, choice: Choice) -> str:
    """That the selection on disk is not what its settings make now, and why."""
    made = choice.made.chosen
    others = saved.join(made, on="image_id", how="anti").height
    state = RunState(opened.run).of(f"select:{name}")
    wrong = state.word not in ("done", "missing")
    if not others and saved.height == made.height:
        return f"Selection '{name}' is {state.in_words()}; made again it has the same images." if wrong else ""
    also = f" is {state.in_words()}, and" if wrong else ""
    return (
        f"Selection '{name}'{also} holds {others:,} of {saved.height:,} images that its settings would not take now. "
        "What follows is about the settings."
    )


def _holds(opened: OpenedRun, image_id: str) -> Mapping[str, int] | None:
    if opened.labelled.filter(image_id=image_id).is_empty():
        return None
    own = opened.counts.filter(image_id=image_id)
    counts = own.drop("image_id").row(0, named=True) if own.height else {}
    return {name: count for name, count in counts.items() if count}


def _holds_words(holds: Mapping[str, int] | None) -> str:
    if holds is None:
        return "Its data set has no boxes."
    if not holds:
        return "It holds no box of a class of interest."
    return (
        f"It holds {', '.join(f'{count} {name}' for name, count in sorted(holds.items(), key=lambda each: -each[1]))}."
    )


def _unreadable(opened: OpenedRun, image_id: str) -> str:
    if not opened.run.problems.is_file():
        return ""
    found = opened.problems.filter(image_id=image_id, stage="embed")
    return f"embed could not read it: {found['detail'][0]}" if found.height else ""


def _instead(opened: OpenedRun, image_id: str, chosen: pl.DataFrame) -> Instead | None:
    """The chosen image whose pooled vector is nearest; None without vectors."""
    if not opened.has_vectors:
        return None
    _, own = opened.vectors(pl.DataFrame({"image_id": [image_id]}))
    ids, vectors = opened.vectors(chosen)
    if not len(own) or not len(vectors):
        return None
    rows, cosines = nearest_rows(own, vectors)
    near: str = ids["image_id"][int(rows[0, 0])]
    return Instead(near, chosen.filter(image_id=near)["rank"][0], float(cosines[0, 0]))
