"""The tables and figures of a comparison, from its finished trainings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from thresher import tables
from thresher.comparison.settings import ALL, NONE, CompareSettings, Trial
from thresher.comparison.statistics import differences, mean_over_classes, summary
from thresher.comparison.verdicts import power_words, reduction_words
from thresher.files import replacing
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.record import Record

#: The tables of a comparison that hold its numbers.
TABLES = ("results", "summary", "differences")
#: Where a training has its metrics of each set, in its folder.
SETS = {"validation": Path("classes.parquet"), "test": Path("evaluations", "test", "classes.parquet")}


def write_numbers(run: Run, settings: CompareSettings, record: Record, done: Sequence[Trial]) -> pl.DataFrame:
    """Write the tables results, summary and differences of the trials that are done; returns the results."""
    measured = results(run, settings, done, [name for name in SETS if name == "validation" or settings.test])
    if settings.endpoint:
        measured = with_endpoint(measured, settings.endpoint)
    tables.write(measured, record.folder / "results.parquet")
    tables.write(summary(measured), record.folder / "summary.parquet")
    tables.write(differences(measured), record.folder / "differences.parquet")
    return measured


def results(run: Run, settings: CompareSettings, done: Sequence[Trial], sets: Sequence[str]) -> pl.DataFrame:
    """Table RESULTS: for each trial and each set the metrics of every class, and their mean over classes."""
    parts = [tables.empty(tables.RESULTS)]
    opened = OpenedRun(run)
    for trial in done:
        folder = settings.kept(run, trial.training)
        recorded = Record(folder).recorded()["proxy" if settings.proxy else "train"]
        key = {
            "method": trial.method,
            "mode": trial.mode,
            "budget": trial.budget,
            "images": _images(opened, trial),
            "seed": trial.seed,
            "weak_images": recorded["summary"]["weak_images"],
            "seconds": recorded["seconds"],
        }
        for name in sets:
            metrics = tables.read(folder / SETS[name], tables.CLASS_METRICS)
            rows = [*metrics.drop("decided_px").to_dicts(), {"class": None, **mean_over_classes(metrics)}]
            parts.append(tables.from_rows([{**key, "set": name, **row} for row in rows], tables.RESULTS))
    return pl.concat(parts)


def with_endpoint(measured: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """Table RESULTS with a row more for each training and set: the means over the classes of the endpoint."""
    means = ("iou", "precision", "recall")
    of_training = [name for name in tables.RESULTS if name not in ("class", "labelled_px", *means)]
    rows = (
        measured.filter(pl.col("class").is_in(list(classes)))
        .group_by(of_training, maintain_order=True)
        .agg(pl.col("labelled_px").sum(), pl.col(means).mean())
        .with_columns(pl.lit(endpoint_name(classes)).alias("class"))
    )
    return pl.concat([measured, rows.select(list(tables.RESULTS))])


def endpoint_name(classes: Sequence[str]) -> str:
    """What stands in column `class` for the endpoint.

    >>> endpoint_name(("car", "bus"))
    'mean of car, bus'
    """
    return f"mean of {', '.join(classes)}"


def _images(opened: OpenedRun, trial: Trial) -> int:
    """How many images the trial's selection holds."""
    if trial.selection == NONE:
        return 0
    if trial.selection == ALL:
        return opened.choosable.height
    return opened.selection(trial.selection).height


def write(run: Run, settings: CompareSettings, record: Record, done: Sequence[Trial]) -> dict[str, Any]:
    """Write the tables and draw the figures; returns a summary of them."""
    measured = write_numbers(run, settings, record, done)
    if measured.is_empty():
        return {"folder": str(record.folder)}
    means, shown = summary(measured), "test" if settings.test else "validation"
    pairs = differences(measured)
    _draw(record, measured, means, shown, endpoint_name(settings.endpoint) if settings.endpoint else None)
    overall = pl.col("class").is_null()
    told: dict[str, Any] = {
        "miou": _mean_rows(means.filter(overall)),
        "differences": _difference_rows(pairs.filter(overall)),
    }
    if settings.endpoint:
        told["endpoint"] = endpoint_name(settings.endpoint)
        overall = pl.col("class") == told["endpoint"]
        told["endpoint_iou"] = _mean_rows(means.filter(overall))
        told["endpoint_differences"] = _difference_rows(pairs.filter(overall))
    judged = pairs.filter(overall & (pl.col("set") == shown))
    told["power"] = power_words(judged)
    told["reduction"] = reduction_words(judged, settings.margin)
    figure = record.folder / "figure.png"
    files = {"folder": str(record.folder)} | ({"figure": str(figure)} if figure.is_file() else {})
    return {name: words for name, words in told.items() if words} | files


def _draw(record: Record, measured: pl.DataFrame, means: pl.DataFrame, shown: str, endpoint: str | None) -> None:
    """Draw the figures, each as JSON (Vega-Lite), SVG and PNG: mIoU on one set, that of the endpoint if there is one,
    and the frequencies of classes.
    """
    from thresher.drawings import charts, comparison_charts

    frequencies = tables.read(record.folder / "frequencies.parquet", tables.FREQUENCIES)
    strong = int(frequencies.filter(of="target")["of_images"][0])
    # Without the times, so that the same comparison gives the same files.
    one_set, its_means = (each.filter(set=shown).drop("seconds") for each in (measured, means))
    specs = {"frequencies": comparison_charts.frequencies_chart(frequencies)}
    for name, of in {"figure": None, **({"endpoint": endpoint} if endpoint else {})}.items():
        if comparison_charts.is_measured(its_means, of):
            specs[name] = comparison_charts.miou_chart(one_set, its_means, shown, strong, of)
    for stale in (
        path for name in ("figure", "endpoint") if name not in specs for path in record.folder.glob(f"{name}.*")
    ):
        stale.unlink()
    for name, spec in specs.items():
        for kind, content in (
            ("json", (json.dumps(spec, sort_keys=True) + "\n").encode()),
            ("svg", charts.svg(spec).encode()),
            ("png", charts.png(spec)),
        ):
            with replacing(record.folder / f"{name}.{kind}") as file:
                file.write(content)


def _mean_rows(means: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of SUMMARY over all classes, best first, in percent: mean, and interval where there is one."""
    rows = means.sort("set", "iou", descending=[True, True], nulls_last=True).iter_rows(named=True)
    return [
        {key: row[key] for key in ("set", "method", "mode", "budget", "images", "seeds") if row[key] is not None}
        | {"miou_percent": _percent(row["iou"]), "interval": _between(row["iou_low"], row["iou_high"])}
        for row in rows
    ]


def _difference_rows(pairs: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of DIFFERENCES over all classes, largest first, in percentage points."""
    rows = pairs.sort("set", "against", "iou_difference", descending=[True, False, True], nulls_last=True)
    return [
        {key: row[key] for key in ("set", "method", "mode", "budget", "against", "seeds") if row[key] is not None}
        | {"points": _percent(row["iou_difference"]), "interval": _between(row["low"], row["high"])}
        | {"holm": _between(row["low_holm"], row["high_holm"])}
        # With one seed there is no p-value.
        | {key: round(row[key], 4) for key in ("p", "p_holm") if row[key] is not None}
        for row in rows.iter_rows(named=True)
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _between(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else f"{100 * low:.2f} to {100 * high:.2f}"


def problems(
    run: Run, settings: CompareSettings, failed: Mapping[str, str], unreadable: Mapping[str, str]
) -> pl.DataFrame:
    """Table PROBLEMS: the trainings that failed, and the images that a proxy leaves out since they cannot be read."""
    rows: list[dict[str, object]] = [
        {"path": str(settings.kept(run, name)), "stage": "compare", "problem": "training_failed", "detail": reason}
        for name, reason in failed.items()
    ]
    rows += [
        {"path": path, "stage": "compare", "problem": "image_unreadable", "detail": reason}
        for path, reason in unreadable.items()
    ]
    return tables.from_rows(rows, tables.PROBLEMS)
