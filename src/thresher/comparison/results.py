"""What compare writes: the tables of a comparison, from its finished trainings, and its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from thresher import tables
from thresher.comparison.settings import ALL, NONE, Cell
from thresher.comparison.statistics import differences, mean_over_classes, summary
from thresher.files import replacing
from thresher.run.folder import Record, Run

if TYPE_CHECKING:
    from thresher.comparison.settings import CompareSettings

#: Where a training leaves its measures, by the set that they are of.
SETS = {"validation": Path("classes.parquet"), "test": Path("evaluations", "test", "classes.parquet")}


def write_numbers(run: Run, settings: CompareSettings, record: Record, done: Sequence[Cell]) -> pl.DataFrame:
    """Write results, summary and differences of the trainings done; gives the results."""
    measured = results(run, done, [name for name in SETS if name == "validation" or settings.test])
    tables.write(measured, record.folder / "results.parquet")
    tables.write(summary(measured), record.folder / "summary.parquet")
    tables.write(differences(measured), record.folder / "differences.parquet")
    return measured


def results(run: Run, done: Sequence[Cell], sets: Sequence[str]) -> pl.DataFrame:
    """Table RESULTS: of each training, on each set, every class and the mean over classes."""
    parts = [tables.empty(tables.RESULTS)]
    for cell in done:
        recorded = Record(run.training(cell.training)).recorded()["train"]
        about = {
            "method": cell.method,
            "mode": cell.mode,
            "budget": cell.budget,
            "images": _images(run, cell),
            "seed": cell.seed,
            "weak_images": recorded["summary"]["weak_images"],
            "seconds": recorded["seconds"],
        }
        for name in sets:
            metrics = tables.read(run.training(cell.training) / SETS[name], tables.CLASS_METRICS)
            rows = [*metrics.drop("decided_px").to_dicts(), {"class": None, **mean_over_classes(metrics)}]
            parts.append(tables.from_rows([{**about, "set": name, **row} for row in rows], tables.RESULTS))
    return pl.concat(parts)


def _images(run: Run, cell: Cell) -> int:
    """How many weak images were selected for a training."""
    if cell.selection == NONE:
        return 0
    if cell.selection == ALL:
        pool = tables.scan(run.images, tables.INDEXED_IMAGES).filter(pl.col("role") == "pool")
        return int(pool.select(pl.len()).collect().item())
    return int(tables.scan(run.selection(cell.selection), tables.SELECTION).select(pl.len()).collect().item())


def write(run: Run, settings: CompareSettings, record: Record, done: Sequence[Cell]) -> dict[str, Any]:
    """Write the tables and draw the figures; gives what is told of them."""
    from thresher.drawings import charts
    from thresher.drawings import comparison_charts as comparison

    measured = write_numbers(run, settings, record, done)
    if measured.is_empty():
        return {"folder": str(record.folder)}
    means = summary(measured)
    shown = "test" if settings.test else "validation"
    frequencies = tables.read(record.folder / "frequencies.parquet", tables.FREQUENCIES)
    strong = int(frequencies.filter(of="target")["of_images"][0])
    specs = {
        "figure": comparison.miou_chart(measured.filter(set=shown), means.filter(set=shown), shown, strong),
        "frequencies": comparison.frequencies_chart(frequencies),
    }
    for name, spec in specs.items():
        for kind, content in (
            ("json", (json.dumps(spec, sort_keys=True) + "\n").encode()),
            ("svg", charts.svg(spec).encode()),
            ("png", charts.png(spec)),
        ):
            with replacing(record.folder / f"{name}.{kind}") as file:
                file.write(content)
    return {
        "miou": _told(means.filter(pl.col("class").is_null())),
        "differences": _told_differences(differences(measured).filter(pl.col("class").is_null())),
        "folder": str(record.folder),
        "figure": str(record.folder / "figure.png"),
    }


def _told(means: pl.DataFrame) -> list[dict[str, Any]]:
    """The summary's rows over all classes, best first, in percent: mean, and interval where there is one."""
    rows = means.sort("set", "iou", descending=[True, True], nulls_last=True).iter_rows(named=True)
    return [
        {key: row[key] for key in ("set", "method", "mode", "budget", "images", "seeds") if row[key] is not None}
        | {"miou_percent": _percent(row["iou"]), "interval": _between(row["iou_low"], row["iou_high"])}
        for row in rows
    ]


def _told_differences(pairs: pl.DataFrame) -> list[dict[str, Any]]:
    rows = pairs.sort("set", "against", "iou_difference", descending=[True, False, True], nulls_last=True)
    return [
        {key: row[key] for key in ("set", "method", "mode", "budget", "against", "seeds") if row[key] is not None}
        | {"points": _percent(row["iou_difference"]), "interval": _between(row["low"], row["high"])}
        for row in rows.iter_rows(named=True)
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _between(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f}"


def problems(run: Run, failed: Mapping[str, str]) -> pl.DataFrame:
    """Table PROBLEMS: the trainings that failed."""
    rows: list[dict[str, object]] = [
        {"path": str(run.training(name)), "stage": "compare", "problem": "training_failed", "detail": reason}
        for name, reason in failed.items()
    ]
    return tables.from_rows(rows, tables.PROBLEMS)
