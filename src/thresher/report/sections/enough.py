"""How many images are worth taking: what the first N add, and what trainings on N have reached."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.drawings.page_charts import trained_chart, worth_chart
from thresher.reasons.budget import HowMany
from thresher.report.blocks import Block, Cell, Chart, Grid, Section, Words, number, percent


def enough_section(found: HowMany) -> Section:
    """The section: the answer in words, charts, and the table behind them."""
    table = found.table
    alt = "Line: the share of the target covered, over the number of images; the numbers stand in the table below."
    words = [
        f"Covered: with an image as near (cosine {found.threshold:.2f}) as the target's own images are to each other.",
        f"Dashed: the knee at {found.knee:,}. Order: {found.method}.",
    ]
    blocks: list[Block] = [
        Words(found.answer),
        Chart("worth", alt, {"": worth_chart(table.select("images", "covered"), found.knee, words)}),
    ]
    rows: list[list[Cell]] = [
        [
            number(row["images"], column="images"),
            number(row["nearness"], 3, "nearness"),
            percent(row["covered"], column="covered"),
            *(number(row[name], column=name) for name in ("near", "objects", "classes")),
            percent(row["repeated"], column="repeated"),
        ]
        for row in table.iter_rows(named=True)
    ]
    heads = ["images", "nearness", "covered", "near", "objects", "classes", "repeated"]
    blocks.append(Grid("worth-table", "What the first images are worth", heads, rows, folded=True))
    if found.trained:
        blocks.append(_trained(found))
    return Section("how-many", "How many are worth taking", blocks)


def _trained(found: HowMany) -> Chart:
    tried, curves = [], []
    for each in found.trained:
        name = f"{each.comparison}: {each.method}, {each.mode}"
        tried.append(pl.DataFrame({"images": each.images, "iou": each.means}).with_columns(name=pl.lit(name)))
        if each.curve is not None:
            between = np.geomspace(each.images[0], each.images[-1], 60)
            line = pl.DataFrame({"images": between, "iou": each.curve.at(between)})
            curves.append(line.with_columns(name=pl.lit(name)))
    lines = pl.concat(curves) if curves else tried[0].clear()
    words = ["Dots: means over seeds. Lines: a - b / N^c through all seeds, where four numbers or more were tried."]
    alt = "Dots and lines: mIoU over the number of images of each method; comparisons below have the numbers."
    return Chart("worth-trained", alt, {"": trained_chart(pl.concat(tried), lines, words)})
