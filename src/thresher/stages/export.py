"""export: a selection → files that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from thresher import tables
from thresher.data.export import FORMATS
from thresher.errors import DataError, SettingsError
from thresher.run import Run, StageResult
from thresher.selection.explain import sentence
from thresher.stages.select import selected


def export(
    run: Run,
    name: str,
    format: str,
    out: Path,
    *,
    images: Literal["link", "copy", "none"] = "link",
    dry_run: bool = False,
) -> StageResult:
    """Write a selection in the given format; the reader of the same format reads it back to the same table.

    Args:
        images: For formats that are folders: link the image files into it, copy them, or only name them.

    Raises:
        SettingsError: no such selection or format.
        DataError: `out` holds something that thresher did not write, or the selection was not finished.
    """
    if format not in FORMATS:
        raise SettingsError(f"format '{format}': unknown. Known: {', '.join(FORMATS)}.")
    chosen = selected(run, name)
    if dry_run:
        return StageResult("export", "planned", {"images": chosen.height, "format": format, "out": str(out)})
    recorded = run.recorded().get(f"select:{name}", {})
    if "settings" not in recorded:
        raise DataError(f"selection '{name}': {run.manifest} does not say how it was made. Run select again first.")
    method = recorded["settings"]["method"]
    words = [sentence(row["why"], row["score"], method) for row in chosen.iter_rows(named=True)]
    chosen = chosen.with_columns(why_text=pl.Series(words, dtype=pl.String))
    boxes = tables.read(run.boxes, tables.BOXES).join(chosen.select("image_id"), on="image_id", how="semi")
    labels = tables.read(run.labels, tables.LABELS).drop_nulls("name")
    names = dict(zip(labels["label"].to_list(), labels["name"].to_list(), strict=True))
    FORMATS[format](chosen, boxes, names, out, images)
    return StageResult("export", "done", {"images": chosen.height, "boxes": boxes.height, "out": str(out)})
