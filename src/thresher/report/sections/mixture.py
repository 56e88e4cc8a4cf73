"""The mixture: the choice of K, its components, and the domain gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from thresher.drawings import charts
from thresher.report.blocks import (
    Block,
    Cell,
    Chart,
    Drawing,
    Drawings,
    Facts,
    Grid,
    Missing,
    Section,
    Words,
    number,
    percent,
)


@dataclass(frozen=True)
class Findings:
    """What insight left: its summary, three of its tables, and the names of its heat maps with what each shows."""

    summary: Mapping[str, Any]
    components: pl.DataFrame
    tried: pl.DataFrame
    heat: Sequence[tuple[str, str]]


def mixture_section(findings: Findings | None) -> Section:
    """The section; None before insight."""
    title = "The mixture"
    if findings is None:
        return Section(
            "mixture", title, [Missing("The components of the mixture have not been drawn.", "thresher insight RUN")]
        )
    gap = findings.summary["domain_gap"]
    share = percent(findings.summary["share_of_pool_that_reaches_it"], column="share_of_pool_that_reaches_it")
    blocks: list[Block] = [
        Facts(
            [
                ("Domain gap (AUC)", number(gap["auc"], 3, "auc")),
                ("95 % interval from", number(gap["low"], 3, "low")),
                ("to", number(gap["high"], 3, "high")),
                ("Pool images as near as 95 % of the target", share),
            ]
        ),
        Words(
            "Domain gap: AUC of a linear classifier of target against pool; 0.5 = no difference, 1 = fully separable."
        ),
    ]
    if findings.tried.height:
        alt = "Lines: log-likelihood over the number of components, of images fitted and held out; numbers below."
        rows: list[list[Cell]] = [
            [str(row["components"]), *(number(row[name], 2, name) for name in ("held_out_nats", "fitted_nats"))]
            for row in findings.tried.iter_rows(named=True)
        ]
        blocks.append(Chart("tried", alt, {"": charts.components_tried_chart(findings.tried)}))
        heads = ["components", "held out (nats)", "fitted (nats)"]
        blocks.append(Grid("components-tried", "Components tried", heads, rows, folded=True))
    blocks.append(_components(findings.components))
    words = "Rows of crops, one row for each component; its shares are in the table above."
    caption = "The target's slices most typical of each component"
    blocks.append(Drawing("insight/component_slices.png", caption, words))
    heat = [
        Drawing(
            f"insight/heat/{name}.png",
            f"{name}: {image_id}",
            f"The image, and beside it the log-likelihood of each slice in colours: {image_id}",
        )
        for name, image_id in findings.heat
    ]
    if heat:
        blocks.append(Drawings("Heat maps: which parts of an image are like the target", heat))
    return Section("mixture", title, blocks)


def _components(sizes: pl.DataFrame) -> Grid:
    names = ("weight", "target_share", "pool_share")
    rows: list[list[Cell]] = [
        [str(row["component"]), *(percent(row[name], column=name) for name in names)]
        for row in sizes.sort("target_share", descending=True).iter_rows(named=True)
    ]
    heads = ["component", "weight", "of the target's slices", "of the pool's slices"]
    return Grid("components", "Components", heads, rows)
