"""The section on label sets: its numbers are those of the tables, and it is there only where there is a label set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from thresher import tables
from thresher.labelling.label_tables import LABEL_FILES, LABEL_ROUTES, LABELLED_BOXES
from thresher.report.blocks import Grid, Number
from thresher.report.sections.labelled import label_section
from thresher.report.tables import label_sets
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun


def test_the_section_shows_the_tables(hostile_run: Callable[[Path], Run], tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    assert label_sets(OpenedRun(run)) == []
    folder = run.label_set("first")
    folder.mkdir(parents=True)
    routes: list[dict[str, object]] = [
        {"route": route, "class": name, "iou": iou, "low": iou - 0.1, "high": iou + 0.1, "images": 4, "objects": 7}
        | {"chosen": name is not None and route == "fill"}
        for name in (None, "sign")
        for route, iou in (("gate", 0.5), ("fill", 0.625))
    ]
    boxes: list[dict[str, object]] = [
        {"class": "sign", "share_labelled": share, "agreement": 1.0, "warning": "little" if share < 0.5 else None}
        for share in (0.25, 0.75)
    ]
    tables.write(tables.from_rows(routes, LABEL_ROUTES), folder / "routes.parquet")
    tables.write(tables.from_rows(boxes, LABELLED_BOXES), folder / "boxes.parquet")
    tables.write(tables.empty(LABEL_FILES), folder / "images.parquet")
    Image.new("RGB", (8, 8)).save(folder / "sheet.png")
    section = label_section(label_sets(OpenedRun(run)))
    measured, counted = (block for block in section.blocks if isinstance(block, Grid))
    assert measured.columns == ["class", "gate", "fill", "taken", "images", "objects"]
    assert measured.rows[1] == [
        "sign",
        Number(0.5, "50.0 (40.0–60.0)", "iou"),
        Number(0.625, "62.5 (52.5–72.5)", "iou"),
        "fill",
        Number(4, "4", "images"),
        Number(7, "7", "objects"),
    ]
    assert [cell.text if isinstance(cell, Number) else cell for cell in counted.rows[0]] == [
        "sign",
        "2",
        "50.0 %",
        "100.0 %",
        "1",
    ]
