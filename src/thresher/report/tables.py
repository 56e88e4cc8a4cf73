"""What the report reads of a run: each table, or None where its stage has not run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from thresher import tables
from thresher.comparison.class_frequencies import class_boxes
from thresher.comparison.compare import missing_parts
from thresher.comparison.pictures import pictures
from thresher.data.taxonomy import load_taxonomy
from thresher.density.mixture import load_mixture, responsibilities
from thresher.errors import DataError, SettingsError
from thresher.features.shards import slices_of, with_slices
from thresher.report.command_lines import command_lines
from thresher.run.contents import selected, selection_names
from thresher.run.folder import Record, Run
from thresher.selection.diversity import class_counts, class_frequencies
from thresher.selection.explain import with_reasons
from thresher.selection.methods import METHODS
from thresher.selection.redundancy import most_alike
from thresher.stages.candidates import LIKE_TARGET, candidates_of, clusters_of, labelled_pool
from thresher.stages.select import Chosen, chosen, review_marks, settings_from

if TYPE_CHECKING:
    from thresher.report.blocks import Block
    from thresher.report.sections.chosen import Choice
    from thresher.report.sections.compared import Compared
    from thresher.report.sections.mixture import Findings

#: The seed of all that the report draws at random.
SEED = 0
#: Near-duplicates are looked for in pools of so many images at most: the work grows with the square, and these take
#: some five minutes of one processor (by extrapolation from half as many).
MOST_COMPARED = 200_000


def choice(run: Run, name: str, scores: pl.DataFrame, pool: pl.DataFrame) -> Choice:
    """The selection, the images ranked next after it, and a draw of the pool, each with its scores and reasons."""
    from thresher.report.sections.chosen import DRAWN, EDGE, Choice

    numbers = scores.drop("nearest_ids")
    taken = selected(run, name).select("image_id", "rank", "score", "why", "dataset")
    settings = run.recorded().get(f"select:{name}", {}).get("settings", {})
    made = _made_again(run, settings, scores, pool)
    same = made is not None and made.chosen["image_id"].to_list() == taken["image_id"].to_list()
    order = made.candidates if same and made is not None else None
    drawn = scores.sort("image_id")[np.sort(np.random.default_rng(SEED).permutation(scores.height)[:DRAWN])]
    drawn = drawn.select("image_id")
    shown = drawn.with_columns(rank=None, score=None) if order is None else (
        drawn.join(order, on="image_id", how="left")
    )  # fmt: skip
    next_ones = None if order is None else order.join(taken, on="image_id", how="anti", maintain_order="left")
    left_out = None if next_ones is None else _explained(run, next_ones.head(EDGE), scores, pool)
    return Choice(
        name,
        settings,
        taken.join(numbers, on="image_id", how="left", maintain_order="left"),
        left_out,
        _explained(run, shown, scores, pool),
        [each for each in selection_names(run) if each != name],
    )


def _made_again(run: Run, settings: dict[str, Any], scores: pl.DataFrame, pool: pl.DataFrame) -> Chosen | None:
    """What the selection's settings choose now; None where manifest, scores or review do not say it."""
    method, review = settings.get("method", ""), settings.get("review", "")
    if method not in METHODS or (method == "yield" and "yield_area" not in scores.columns):
        return None
    if review and not run.review(review).is_file():
        return None
    try:
        wished = settings_from(settings)
        return chosen(candidates_of(run, scores, pool, wished.duplicate_cosine), wished, review_marks(run, review))
    except (DataError, SettingsError):  # the pool has changed since, and no longer allows this choice
        return None


def _explained(run: Run, rows: pl.DataFrame, scores: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    counts, labelled = labelled_pool(run, pool)
    reasons = with_reasons(rows, scores, counts, class_frequencies(counts, labelled.height))
    numbers = scores.drop("nearest_ids")
    return reasons.join(pool, on="image_id", how="left").join(numbers, on="image_id", how="left").sort(
        pl.col("rank"), "image_id", nulls_last=True
    )  # fmt: skip


def held_out_target(run: Run) -> pl.DataFrame | None:
    """Table SIMILARITIES of insight, the target's rows."""
    path = run.insight / "similarities.parquet"
    return tables.read(path, tables.SIMILARITIES).filter(role="target") if path.is_file() else None


def frequencies(run: Run, pool: pl.DataFrame, found: Choice | None) -> pl.DataFrame:
    """Table FREQUENCIES of the pool, the selection and, where a comparison counted its masks, the target."""
    taxonomy = load_taxonomy(str(run.taxonomy))
    counts, labelled = labelled_pool(run, pool)
    rare = sorted(class_frequencies(counts, labelled.height).rare)
    parts = [class_boxes(run, taxonomy, "pool", pool)]
    for path in sorted(run.folder.glob("comparisons/*/frequencies.parquet"))[:1]:
        parts.append(tables.read(path, tables.FREQUENCIES).filter(of="target").drop("rare"))
    if found is not None:
        about = {"method": pl.lit(found.settings.get("method", found.name)), "seed": pl.lit(SEED)}
        about["budget"] = pl.lit(str(found.settings.get("budget", found.taken.height)))
        own = class_boxes(run, taxonomy, "selection", found.taken.select("image_id"))
        parts.append(own.with_columns(**about))
    table = pl.concat(parts, how="diagonal_relaxed").with_columns(rare=pl.col("class").is_in(rare))
    return tables.from_rows(table.to_dicts(), tables.FREQUENCIES)


def sizes(run: Run) -> pl.DataFrame | None:
    """image_id, width_px and height_px as decoded."""
    columns = tables.some(tables.POOLED, "image_id", "width_px", "height_px")
    return tables.read(run.pooled, columns) if run.pooled.is_file() else None


def map_places(run: Run, images: pl.DataFrame, taken: pl.DataFrame | None, most: int) -> pl.DataFrame | None:
    """At most that many images, placed by t-SNE: image_id, x, y, set, dataset, class and component."""
    from thresher.density.map import similarity_map

    if most == 0 or not run.pooled.is_file():
        return None
    chosen = [] if taken is None else taken["image_id"].to_list()
    sets = pl.when(pl.col("image_id").is_in(chosen)).then(pl.lit("selection")).otherwise("role").alias("set")
    pooled = tables.scan(run.pooled, tables.some(tables.POOLED, "image_id", "vector"))
    ids = pooled.select("image_id").collect()
    rows = images.join(ids, on="image_id", how="semi").select("image_id", "dataset", sets).sort("image_id")
    drawn = _thirds(rows, most)
    if drawn.height < 4:
        return None
    own = pooled.join(drawn.lazy().select("image_id"), on="image_id", how="semi").collect().sort("image_id")
    vectors = own["vector"].rechunk().to_numpy(allow_copy=False)
    placed = similarity_map(own["image_id"].to_list(), ["pool"] * own.height, vectors, SEED).drop("role")
    known = placed.join(drawn, on="image_id").join(_frequent_classes(run, drawn), on="image_id", how="left")
    return known.join(_components(run, drawn), on="image_id", how="left")


def _frequent_classes(run: Run, ids: pl.DataFrame) -> pl.DataFrame:
    """image_id and its most frequent class of interest, of equals the first by name; not of images without."""
    classes = load_taxonomy(str(run.taxonomy)).classes_of_interest
    boxes = tables.scan(run.boxes, tables.BOXES).join(ids.lazy().select("image_id"), on="image_id", how="semi")
    counts = class_counts(boxes, classes).unpivot(index="image_id", variable_name="class", value_name="count")
    first = counts.filter(pl.col("count") > 0).sort(["count", "class"], descending=[True, False])
    return first.group_by("image_id", maintain_order=True).first().select("image_id", "class")


def _components(run: Run, ids: pl.DataFrame) -> pl.DataFrame:
    """image_id and the component that has most of its slices; empty where the run has no mixture of them."""
    from thresher.stages.heat import mixture_fits

    known = with_slices(run.slices, set(ids["image_id"]))
    if not mixture_fits(run, known):
        return pl.DataFrame(schema={"image_id": pl.String, "component": pl.String})
    mixture, block = load_mixture(run.mixture), slices_of(run.slices, known)
    shares = np.add.reduceat(responsibilities(mixture, block.slices), block.starts[:-1], axis=0)
    # A number that is a name: no component is more than another.
    names = [str(number) for number in shares.argmax(axis=1)]
    return pl.DataFrame({"image_id": block.image_ids, "component": names})


def _thirds(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most that many rows: a third of each set, and more of the pool where the others are fewer."""
    rng = np.random.default_rng(SEED)
    kept = []
    for name in ("target", "selection"):
        own = rows.filter(set=name)
        kept.append(own[np.sort(rng.permutation(own.height)[: most // 3])])
    pool = rows.filter(set="pool")
    kept.append(pool[np.sort(rng.permutation(pool.height)[: most - sum(each.height for each in kept)])])
    return pl.concat(kept)


def redundant(run: Run, pool: pl.DataFrame, taken: pl.DataFrame | None, cosine: float) -> list[Block]:
    """What is told of near-duplicates; nothing where embed has not run, nothing was selected, or nobody asked."""
    from thresher.report.blocks import Words
    from thresher.report.sections.redundant import Redundancy, redundancy_blocks

    if cosine == 0 or taken is None or not run.pooled.is_file():
        return []
    if pool.height > MOST_COMPARED:
        return [Words(f"Near-duplicates were not looked for: the pool has {pool.height:,} images, and the work, which "
                      f"grows with their square, is done for {MOST_COMPARED:,} at most.")]  # fmt: skip
    clusters = clusters_of(run, pool, cosine)
    shared = clusters.filter((pl.col("cluster") == LIKE_TARGET) | (pl.len().over("cluster") > 1))
    alike = _most_alike(run, pool, shared, taken)
    return redundancy_blocks(Redundancy(cosine, shared, LIKE_TARGET, alike), taken["image_id"].to_list())


def _most_alike(run: Run, pool: pl.DataFrame, clusters: pl.DataFrame, taken: pl.DataFrame) -> pl.DataFrame:
    """image_id, other_id and cosine of each image of a cluster that the selection takes from; see `Redundancy`."""
    chosen = pl.col("image_id").is_in(taken["image_id"].implode())
    touched = clusters.filter(chosen | (chosen.any().over("cluster") & (pl.col("cluster") != LIKE_TARGET)))
    pooled = tables.scan(run.pooled, tables.some(tables.POOLED, "image_id", "vector"))
    own = pooled.join(touched.lazy(), on="image_id").collect().sort("image_id")
    target = pooled.join(pool.lazy().select("image_id"), on="image_id", how="anti").collect().sort("image_id")
    found = [pl.DataFrame(schema={"image_id": pl.String, "other_id": pl.String, "cosine": pl.Float64})]
    for (cluster,), members in own.group_by("cluster"):
        others = target if cluster == LIKE_TARGET else members
        vectors, known = (each["vector"].rechunk().to_numpy(allow_copy=False) for each in (members, others))
        rows, cosines = most_alike(vectors, known if cluster == LIKE_TARGET else None)
        names, near = members["image_id"], others["image_id"].gather(rows)
        found.append(pl.DataFrame({"image_id": names, "other_id": near, "cosine": cosines.astype(np.float64)}))
    return pl.concat(found)


def findings(run: Run) -> Findings | None:
    """What insight left."""
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


def comparisons(run: Run) -> list[Compared]:
    """The comparisons of which at least one training ended."""
    from thresher.report.sections.compared import Compared

    found = []
    for folder in sorted((run.folder / "comparisons").glob("*")):
        if not (folder / "summary.parquet").is_file():
            continue
        schemas = {"results": tables.RESULTS, "summary": tables.SUMMARY, "differences": tables.DIFFERENCES}
        results, summary, differences = (
            tables.read(folder / f"{name}.parquet", each) for name, each in schemas.items()
        )
        counted = tables.read(folder / "frequencies.parquet", tables.FREQUENCIES).filter(of="target")
        if summary.height:
            strong = int(counted["of_images"].max() or 0)  # type: ignore[arg-type]
            record = Record(folder)
            drawn = [str(path.relative_to(run.folder)) for path in pictures(record)]
            command = _again(folder.name, record.recorded().get("compare", {}))
            lacking = tuple(missing_parts())
            found.append(Compared(folder.name, results, summary, differences, strong, drawn, command, lacking))
    return found


def _again(name: str, entry: Mapping[str, Any]) -> str:
    """The command line that goes on with a comparison, in one line: a paragraph keeps no line breaks."""
    if "settings" not in entry:
        return f"thresher compare RUN --name {name}"
    # A folder that was copied or renamed is made again under its own name, not over the one it was begun as.
    own = {**entry, "settings": {**entry["settings"], "name": name}}
    (line,) = command_lines(Path("RUN"), {}, {name: own})
    return line.replace("\\\n    ", "")
