"""What the report reads of a run: each table, or None where its stage has not run."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from thresher import extras, tables
from thresher.comparison.pictures import pictures
from thresher.comparison.results import endpoint_name
from thresher.comparison.settings import CompareSettings
from thresher.comparison.statistics import differences
from thresher.density.mixture import load_mixture, responsibilities
from thresher.errors import DataError, SettingsError
from thresher.features.shards import slices_of, with_slices
from thresher.labelling.label_set import LabelFiles
from thresher.labelling.label_tables import LABEL_ROUTES, LABELLED_BOXES
from thresher.reasons.remade import made_again
from thresher.report.command_lines import command_lines
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run.record import Record
from thresher.run.state import RunState
from thresher.selection.diversity import class_counts
from thresher.selection.edge import edge_words, places_by_score
from thresher.selection.explain import with_reasons
from thresher.selection.redundancy import LIKE_TARGET
from thresher.selection.why import Choice
from thresher.stages.candidates import near_of
from thresher.vectors import nearest_rows

if TYPE_CHECKING:
    from thresher.report.blocks import Block
    from thresher.report.sections.chosen import ReportedSelection
    from thresher.report.sections.compared import Compared
    from thresher.report.sections.labelled import Labelled
    from thresher.report.sections.mixture import Findings

#: Seed of all random samples in the report.
SEED = 0
#: Maximum size of pools for near-duplicates: the time grows with the square, and these take
#: some five minutes of one processor (by extrapolation from half as many).
MOST_COMPARED = 200_000


def reported_selection(opened: OpenedRun, name: str) -> ReportedSelection:
    """The selection, the best ranked images left out and why, and a draw of the pool, each with scores and reasons."""
    from thresher.report.sections.chosen import DRAWN, EDGE, ReportedSelection

    scores = opened.scores
    numbers = scores.drop("nearest_ids")
    taken = opened.selection(name).select("image_id", "rank", "score", "why", "dataset")
    settings = opened.settings_of(f"select:{name}")
    choice = _made_again(opened, name)
    made = choice.made if choice is not None else None
    same = made is not None and made.chosen["image_id"].to_list() == taken["image_id"].to_list()
    order = made.candidates if same and made is not None else None
    drawn = scores.sort("image_id")[np.sort(np.random.default_rng(SEED).permutation(scores.height)[:DRAWN])]
    drawn = drawn.select("image_id")
    unranked = drawn.with_columns(rank=None, score=None)
    shown = unranked if order is None else drawn.join(order, on="image_id", how="left")
    left_out = None
    if same and choice is not None:
        places = places_by_score(choice.made.candidates)
        next_ones = places.join(taken, on="image_id", how="anti", maintain_order="left").head(EDGE)
        words = edge_words(choice.made, places, choice.shortlist, next_ones["image_id"])
        explained = _explained(opened, next_ones.select("image_id", "score", rank="place"))
        edge = explained["image_id"].replace_strict(words, return_dtype=pl.String)
        left_out = explained.with_columns(edge=edge, rank=pl.lit(None, pl.Int64))
    return ReportedSelection(
        name,
        settings,
        taken.join(numbers, on="image_id", how="left", maintain_order="left"),
        left_out,
        _explained(opened, shown),
        scores.height,
    )


def _made_again(opened: OpenedRun, name: str) -> Choice | None:
    """The selection that its recorded settings make now; None if manifest, scores or review are missing."""
    try:
        return made_again(opened, name)
    except (DataError, SettingsError):  # the pool has changed since, and no longer allows this choice
        return None


def _explained(opened: OpenedRun, rows: pl.DataFrame) -> pl.DataFrame:
    reasons = with_reasons(rows, opened.scores, opened.counts, opened.frequencies)
    numbers = opened.scores.drop("nearest_ids")
    owners = opened.pool.select("image_id", "dataset")
    known = reasons.join(owners, on="image_id", how="left").join(numbers, on="image_id", how="left")
    return known.sort(pl.col("rank"), "image_id", nulls_last=True)


def held_out_target(run: Run) -> pl.DataFrame | None:
    """Table SIMILARITIES of insight, the target's rows."""
    path = run.insight / "similarities.parquet"
    return tables.read(path, tables.SIMILARITIES).filter(role="target") if path.is_file() else None


def frequencies(opened: OpenedRun, found: ReportedSelection | None) -> pl.DataFrame:
    """Table FREQUENCIES of the pool, the selection and, where a comparison counted its masks, the target."""
    parts = [opened.class_boxes("pool", opened.pool)]
    parts += [opened.counted_target(name).drop("rare") for name in opened.compared[:1]]
    if found is not None:
        made = {"method": pl.lit(found.settings.get("method", found.name)), "seed": pl.lit(SEED)}
        made["budget"] = pl.lit(str(found.settings.get("budget", found.taken.height)))
        parts.append(opened.class_boxes("selection", found.taken).with_columns(**made))
    rare = pl.col("class").is_in(sorted(opened.frequencies.rare))
    table = pl.concat(parts, how="diagonal_relaxed").with_columns(rare=rare)
    return tables.from_rows(table.to_dicts(), tables.FREQUENCIES)


def sizes(opened: OpenedRun) -> pl.DataFrame | None:
    """image_id, width_px and height_px as decoded."""
    return opened.pooled.select("image_id", "width_px", "height_px") if opened.has_vectors else None


def map_places(opened: OpenedRun, taken: pl.DataFrame | None, most: int) -> pl.DataFrame | None:
    """At most `most` images with t-SNE coordinates: image_id, x, y, set, dataset, class and component."""
    from thresher.density.map import similarity_map

    if most == 0 or not opened.has_vectors:
        return None
    chosen = [] if taken is None else taken["image_id"].to_list()
    sets = pl.when(pl.col("image_id").is_in(chosen)).then(pl.lit("selection")).otherwise("role").alias("set")
    readable = opened.images.join(opened.pooled.select("image_id"), on="image_id", how="semi")
    drawn = _thirds(readable.select("image_id", "dataset", sets).sort("image_id"), most)
    if drawn.height < 4:
        return None
    ids, vectors = opened.vectors(drawn)
    placed = similarity_map(ids["image_id"].to_list(), ["pool"] * ids.height, vectors, SEED).drop("role")
    known = placed.join(drawn, on="image_id").join(_frequent_classes(opened, drawn), on="image_id", how="left")
    return known.join(_components(opened.run, drawn), on="image_id", how="left")


def _frequent_classes(opened: OpenedRun, ids: pl.DataFrame) -> pl.DataFrame:
    """image_id and its most frequent class of interest (ties: first by name); images without boxes are left out."""
    boxes = opened.lazy_boxes().join(ids.lazy().select("image_id"), on="image_id", how="semi")
    counts = class_counts(boxes, opened.classes).unpivot(index="image_id", variable_name="class", value_name="count")
    first = counts.filter(pl.col("count") > 0).sort(["count", "class"], descending=[True, False])
    return first.group_by("image_id", maintain_order=True).first().select("image_id", "class")


def _components(run: Run, ids: pl.DataFrame) -> pl.DataFrame:
    """image_id and the component with most of its slices; empty if the mixture does not fit the slices."""
    from thresher.stages.heat import mixture_fits

    known = with_slices(run.slices, set(ids["image_id"]))
    if not mixture_fits(run, known):
        return pl.DataFrame(schema={"image_id": pl.String, "component": pl.String})
    mixture, block = load_mixture(run.mixture), slices_of(run.slices, known)
    shares = np.add.reduceat(responsibilities(mixture, block.slices), block.starts[:-1], axis=0)
    # As text, since component numbers have no order.
    names = [str(number) for number in shares.argmax(axis=1)]
    return pl.DataFrame({"image_id": block.image_ids, "component": names})


def _thirds(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most `most` rows: a third of each set; pool images fill up where the others are fewer."""
    rng = np.random.default_rng(SEED)
    kept = []
    for name in ("target", "selection"):
        own = rows.filter(set=name)
        kept.append(own[np.sort(rng.permutation(own.height)[: most // 3])])
    pool = rows.filter(set="pool")
    kept.append(pool[np.sort(rng.permutation(pool.height)[: most - sum(each.height for each in kept)])])
    return pl.concat(kept)


def redundant(opened: OpenedRun, taken: pl.DataFrame | None, cosine: float) -> list[Block]:
    """The blocks on near-duplicates; none if embed has not run, nothing is selected, or `cosine` is 0."""
    from thresher.report.blocks import Words
    from thresher.report.sections.redundant import Redundancy, redundancy_blocks

    if cosine == 0 or taken is None or not opened.has_vectors:
        return []
    if opened.pool.height > MOST_COMPARED:
        return [
            Words(
                f"Near-duplicates were not computed: the pool has {opened.pool.height:,} images, the limit is "
                f"{MOST_COMPARED:,}, since it would take minutes."
            )
        ]
    rest = opened.pool.select("image_id").join(taken, on="image_id", how="anti").sort("image_id")
    clusters = near_of(opened, cosine).clusters(pl.concat([taken.select("image_id"), rest]))
    in_one = (pl.col("cluster") == LIKE_TARGET) | (pl.len().over("cluster") > 1)
    shared = clusters.filter(in_one).select("image_id", "cluster")
    alike = _most_alike(opened, shared, taken)
    return redundancy_blocks(Redundancy(cosine, shared, LIKE_TARGET, alike), taken["image_id"].to_list())


def _most_alike(opened: OpenedRun, clusters: pl.DataFrame, taken: pl.DataFrame) -> pl.DataFrame:
    """image_id, other_id and cosine of each image of a cluster that the selection takes from; see `Redundancy`."""
    chosen = pl.col("image_id").is_in(taken["image_id"].implode())
    touched = clusters.filter(chosen | (chosen.any().over("cluster") & (pl.col("cluster") != LIKE_TARGET)))
    target_ids, target = opened.vectors(opened.target)
    found = [pl.DataFrame(schema={"image_id": pl.String, "other_id": pl.String, "cosine": pl.Float64})]
    for (cluster,), members in touched.sort("image_id").group_by("cluster", maintain_order=True):
        ids, vectors = opened.vectors(members)
        rows, cosines = nearest_rows(vectors, target if cluster == LIKE_TARGET else None)
        others = target_ids if cluster == LIKE_TARGET else ids
        near = others["image_id"].gather(rows[:, 0])
        found.append(pl.DataFrame({"image_id": ids["image_id"], "other_id": near, "cosine": cosines[:, 0]}))
    return pl.concat(found)


def findings(run: Run) -> Findings | None:
    """The results of insight."""
    from thresher.report.sections.mixture import Findings

    summary = run.insight / "summary.json"
    if not summary.is_file():
        return None
    heat = tables.read(run.insight / "heat.parquet", tables.some(tables.HEAT, "name", "image_id")).unique()
    return Findings(
        json.loads(summary.read_text("utf-8")),
        tables.read(run.insight / "components.parquet", tables.COMPONENTS),
        tables.read(run.insight / "components_tried.parquet", tables.COMPONENTS_TRIED),
        sorted(heat.iter_rows()),
    )


def label_sets(opened: OpenedRun) -> list[Labelled]:
    """The finished label sets."""
    from thresher.report.sections.labelled import Labelled

    run, found = opened.run, []
    for folder in sorted((run.folder / "labels").glob("*")):
        files = LabelFiles(folder)
        if not (files.images.is_file() and files.sheet.is_file()):
            continue
        state = RunState(run).of(f"labels:{folder.name}")
        if state.word == "damaged":
            raise DataError(f"{run.folder}: {state.name} is {state.in_words()}. Run `thresher labels` again.")
        columns = tables.some(LABELLED_BOXES, "class", "share_labelled", "agreement", "warning")
        routes, boxes = tables.read(files.routes, LABEL_ROUTES), tables.read(files.boxes, columns)
        sheet = str(files.sheet.relative_to(run.folder))
        found.append(Labelled(folder.name, routes, boxes, sheet, state.because))
    return found


def comparisons(opened: OpenedRun) -> list[Compared]:
    """Comparisons with at least one finished training."""
    from thresher.report.sections.compared import Compared

    run = opened.run
    found = []
    for folder in sorted((run.folder / "comparisons").glob("*")):
        if not (folder / "summary.parquet").is_file():
            continue
        results, summary = opened.results(folder.name), tables.read(folder / "summary.parquet", tables.SUMMARY)
        pairs = differences(results)  # releases before this one kept fewer columns of it
        counted = opened.counted_target(folder.name)
        if summary.height:
            strong = int(counted["of_images"].max() or 0)  # type: ignore[arg-type]
            record = Record(folder)
            state = RunState(run).of(f"compare:{folder.name}")
            if state.word == "damaged":
                raise DataError(f"{run.folder}: {state.name} is {state.in_words()}. Run `thresher compare` again.")
            drawn = [str(path.relative_to(run.folder)) for path in pictures(record)]
            entry = record.recorded().get("compare", {})
            command = _again(folder.name, entry)
            lacking = tuple(extras.missing("train", "report"))
            measured = Compared(folder.name, results, summary, pairs, strong, drawn, command, lacking)
            asked = entry.get("settings", {})
            endpoint = endpoint_name(asked["endpoint"]) if asked.get("endpoint") else None
            margin = asked.get("margin", CompareSettings.margin)
            measured = dataclasses.replace(measured, margin=margin, endpoint=endpoint, proxy=bool(asked.get("proxy")))
            found.append(dataclasses.replace(measured, outdated=state.because))
    return found


def _again(name: str, entry: Mapping[str, Any]) -> str:
    """The command that continues a comparison, in one line, since a paragraph keeps no line breaks."""
    if "settings" not in entry:
        return f"thresher compare RUN --name {name}"
    # A folder that was copied or renamed is made again under its own name, not over the one it was begun as.
    own = {**entry, "settings": {**entry["settings"], "name": name}}
    (line,) = command_lines(Path("RUN"), {}, {name: own})
    return line.replace("\\\n    ", "")
