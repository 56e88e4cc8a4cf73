"""How the images of a label set are labelled: the routes are measured, and one is chosen for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from thresher import tables
from thresher.labelling.held_out import chosen_routes, earned_stuff, route_table, with_choice
from thresher.labelling.image_boxes import drawn_nodes, promised_by_sets
from thresher.labelling.label_set import Plan
from thresher.labelling.label_tables import LABEL_ROUTES
from thresher.labelling.measure import BoxesOfMasks, measured_routes
from thresher.labelling.pixels import opened_classes
from thresher.labelling.request import Request
from thresher.labelling.routes import NONE, ROUTES, Rules
from thresher.labelling.teacher import Teacher, held_out
from thresher.run.perform import Track
from thresher.segmentation.tree import ClassTree, class_tree


def new_plan(request: Request, track: Track[Any]) -> Plan:
    """Measure the routes, choose one for each class, and write both down: routes.parquet and plan.json."""
    opened, settings = request.opened, request.settings
    tree = class_tree(opened.taxonomy)
    drawn = drawn_nodes(opened, request.images, tree)
    boxed = np.asarray(opened_classes(tree)[drawn].any(0))
    route_of: dict[str, str] = dict.fromkeys(tree.classes, settings.route)
    rates = np.zeros(len(tree.nodes))
    table = tables.empty(LABEL_ROUTES)
    if request.teacher is not None:
        of_masks = BoxesOfMasks(opened.taxonomy, tree, drawn, boxed, settings.jitter, settings.seed)
        rates = of_masks.rates(request.teacher.images().strong)
        if settings.measures:
            rules = Rules(tree, rates, settings.sure)
            route_of, table = _measured(request, request.teacher, of_masks, rules, track)
        elif settings.stuff == "never":
            route_of = _without_stuff(route_of, tree, boxed)
    known = table.filter(pl.col("chosen")).select("class", "iou")
    expected = dict.fromkeys(tree.classes) | dict(known.iter_rows())
    by_sets = promised_by_sets(opened, tree, settings.exhaustive)
    tables.write(table, request.files.routes)
    plan = Plan(
        request.made_from,
        str(request.teacher.checkpoint.absolute()) if request.teacher else "",
        route_of,
        expected,
        boxed.tolist(),
        rates.tolist(),
        settings.sure,
        settings.exhaustive,
        {name: promised.tolist() for name, promised in by_sets.items()},
    )
    plan.write(request.files.plan)
    return plan


def _measured(
    request: Request, teacher: Teacher, of_masks: BoxesOfMasks, rules: Rules, track: Track[Any]
) -> tuple[dict[str, str], pl.DataFrame]:
    """The route of each class, and table LABEL_ROUTES."""
    from thresher.segmentation.trained import ready, trained_network

    settings, tree, boxed = request.settings, of_masks.tree, of_masks.boxed
    judged = held_out(teacher, request.files.folder / "judge", settings.held_out, track)
    network = ready(trained_network(judged.checkpoint))
    measured = measured_routes(network, judged.images, of_masks, rules, [*ROUTES], track)
    table = route_table(measured.counts, measured.objects, tree, boxed, settings.seed)
    route_of: dict[str, str] = dict.fromkeys(tree.classes, settings.route)
    if settings.route == "auto":
        route_of = chosen_routes(table, [*ROUTES], tree, boxed)
    if settings.stuff == "never":
        route_of = _without_stuff(route_of, tree, boxed)
    elif settings.stuff == "auto":
        route_of = earned_stuff(measured.counts, route_of, tree, boxed, settings.stuff_precision)
    return route_of, with_choice(table, route_of)


def _without_stuff(route_of: dict[str, str], tree: ClassTree, boxed: np.ndarray) -> dict[str, str]:
    return {name: route_of[name] if boxed[number] else NONE for number, name in enumerate(tree.classes)}
