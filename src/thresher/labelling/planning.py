"""How the images of a label set are labelled: the routes are measured, and one is chosen for each class."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher import tables
from thresher.errors import DataError
from thresher.labelling.held_out import chosen_routes, earned_stuff, route_table, with_choice
from thresher.labelling.image_boxes import drawn_nodes, promised_by_sets
from thresher.labelling.label_set import Plan
from thresher.labelling.label_tables import LABEL_ROUTES
from thresher.labelling.measure import measured_routes
from thresher.labelling.of_masks import BoxesOfMasks
from thresher.labelling.pixels import opened_classes
from thresher.labelling.request import Request
from thresher.labelling.routes import NONE, ROUTES, Rules
from thresher.labelling.showing import Shown, new_shown, read_segmenter, write_shown
from thresher.labelling.teacher import Teacher, held_out
from thresher.run.perform import Track
from thresher.segmentation.tree import ClassTree, class_tree

log = logging.getLogger(__name__)


def new_plan(request: Request, track: Track[Any]) -> Plan:
    """Measure the routes, choose one for each class, and write both down: routes.parquet and plan.json."""
    opened, settings, teacher = request.opened, request.settings, request.teacher
    tree = class_tree(opened.taxonomy)
    drawn = drawn_nodes(opened, request.images, tree)
    boxed = np.asarray(opened_classes(tree)[drawn].any(0))
    of_masks = BoxesOfMasks(opened.taxonomy, tree, drawn, boxed, settings.jitter, settings.seed)
    choice, rates, output_of = Choice(dict.fromkeys(tree.classes, settings.route)), np.zeros(len(tree.nodes)), []
    if teacher is not None:
        strong = teacher.images().strong
        rates = of_masks.rates(strong)
        if settings.measures:
            choice = _measured(request, teacher, of_masks, track)
        elif settings.stuff == "never":
            choice = Choice(_without_stuff(choice.route_of, tree, boxed))
        if "shown" in choice.route_of.values() and not settings.segmenter:
            learnt = choice.shown or _shown(request, teacher, strong, of_masks, track)
            write_shown(learnt[0], request.files.shown)
            output_of = learnt[1].tolist()
    known = choice.table.filter(pl.col("chosen")).select("class", "iou")
    by_sets = promised_by_sets(opened, tree, settings.exhaustive)
    tables.write(choice.table, request.files.routes)
    plan = Plan(
        request.made_from,
        str(teacher.checkpoint.absolute()) if teacher else "",
        choice.route_of,
        dict.fromkeys(tree.classes) | dict(known.iter_rows()),
        boxed.tolist(),
        rates.tolist(),
        settings.sure,
        settings.exhaustive,
        {name: promised.tolist() for name, promised in by_sets.items()},
        [str(Path(file).absolute()) for file in settings.segmenter],
        output_of,
    )
    plan.write(request.files.plan)
    return plan


def is_current(plan: Plan, request: Request) -> bool:
    """Whether the plan is that of this request, and what it was made with is there."""
    files, teacher = request.files, request.teacher
    same = plan.made_from == request.made_from and files.routes.is_file()
    there = not plan.output_of or files.shown.is_file()
    return same and there and (teacher is None or plan.checkpoint == str(teacher.checkpoint.absolute()))


@dataclass(frozen=True)
class Choice:
    """The route of each class, and the table from which it was chosen."""

    route_of: dict[str, str]
    table: pl.DataFrame = field(default_factory=lambda: tables.empty(LABEL_ROUTES))
    shown: Shown | None = None
    """The network that is shown boxes, if the one that was measured has learnt from all masks."""


def _measured(request: Request, teacher: Teacher, of_masks: BoxesOfMasks, track: Track[Any]) -> Choice:
    """Measure the routes on held-out masks, and choose."""
    from thresher.segmentation.box_shown import box_shown
    from thresher.segmentation.trained import ready, trained_network

    settings, tree, boxed = request.settings, of_masks.tree, of_masks.boxed
    judged = held_out(teacher, settings.held_out, track)
    rules, routes = Rules(tree, of_masks.rates(judged.learnt_from), settings.sure), [*ROUTES]
    found = None
    if settings.segmenter and settings.shows_boxes:
        rules = dataclasses.replace(rules, shown=read_segmenter(settings.segmenter))
    elif settings.route == "shown" or (settings.shows_boxes and boxed.any()):
        found = _shown(request, teacher, judged.learnt_from, of_masks, track)
        rules = dataclasses.replace(rules, shown=box_shown(*found))
    else:
        routes.remove("shown")
    network = ready(trained_network(judged.checkpoint))
    log.info("labels: routes are measured on %s held-out masks", f"{judged.images.height:,}")
    measured = measured_routes(network, judged.images, of_masks, rules, routes, track)
    table = route_table(measured.counts, measured.objects, tree, boxed, settings.seed)
    route_of: dict[str, str] = dict.fromkeys(tree.classes, settings.route)
    if settings.route == "auto":
        route_of = chosen_routes(table, routes, tree, boxed)
    if settings.stuff == "never":
        route_of = _without_stuff(route_of, tree, boxed)
    elif settings.stuff == "auto":
        route_of = earned_stuff(measured.counts, route_of, tree, boxed, settings.stuff_precision)
    return Choice(route_of, with_choice(table, route_of), found if teacher.has_held_out else None)


def _shown(
    request: Request, teacher: Teacher, strong: pl.DataFrame, of_masks: BoxesOfMasks, track: Track[Any]
) -> Shown:
    """Train the network that is shown boxes.

    Raises:
        DataError: there is nothing to learn from.
    """
    log.info("labels: the network that is shown boxes is trained, %s steps", f"{request.settings.shown_steps:,}")
    found = new_shown(strong, of_masks, request.settings.shown_steps, teacher.settings, track)
    if found is None:
        raise DataError(
            f"{request.run.masks}: the masks hold no object of a class that boxes are drawn around, so no network can "
            "learn from boxes around them. Set shown_steps = 0, or route = gate."
        )
    return found


def _without_stuff(route_of: dict[str, str], tree: ClassTree, boxed: np.ndarray) -> dict[str, str]:
    return {name: route_of[name] if boxed[number] else NONE for number, name in enumerate(tree.classes)}
