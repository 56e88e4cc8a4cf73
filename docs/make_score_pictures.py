"""Draws docs/images/score-*.jpg: what each method ranks first and last in a run of made-up scenes.

Run: on a run of the scenes of SyntheticSettings(), scored: thresher score RUN --scores all;
     then: python docs/make_score_pictures.py RUN
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

from thresher import Run, tables
from thresher.density.scorers import SCORERS
from thresher.drawings.contact_sheet import Cell, contact_sheet
from thresher.selection.methods import COMBINED, ranking

IMAGES = Path(__file__).parent / "images"
EACH = 5


def draw(run: Run, method: str) -> None:
    """One strip: the first five and the last five, with ranks and scores."""
    scores = tables.read(run.scores_path, tables.SCORES, key="image_id")
    order = ranking(scores, method, seed=0).order
    if order.is_empty():  # a similarity that score was not asked for
        return
    paths = tables.read(run.images, tables.INDEXED_IMAGES).select("image_id", "path")
    ends = pl.concat([order.head(EACH), order.tail(EACH)]).join(paths, on="image_id", maintain_order="left")
    cells = [Cell(Path(r["path"]), f"rank {r['rank']}", f"{r['score']:.3f}") for r in ends.iter_rows(named=True)]
    sheet = contact_sheet(cells, f"{method}: first {EACH} and last {EACH} of {order.height}", columns=2 * EACH)
    sheet.resize((sheet.width // 2, sheet.height // 2)).save(IMAGES / f"score-{method}.jpg", quality=80)


if __name__ == "__main__":
    for name in (*COMBINED, "diversity", *SCORERS):
        draw(Run(sys.argv[1]), name)
