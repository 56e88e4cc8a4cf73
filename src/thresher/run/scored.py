"""Similarities of the last scores that still hold: of shards that are as they were, under the same evidence."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl

from thresher import tables
from thresher.run.digests import file_digest
from thresher.run.folder import Run
from thresher.run.state import damaged_outputs

log = logging.getLogger(__name__)

#: The keys of the metadata of scores.parquet.
_SHAPED_BY, _SHARDS = "similarities", "shards"


@dataclass(frozen=True)
class Scored:
    """What scores.parquet says of itself."""

    shaped_by: str
    """Fingerprint of all that shapes a similarity but the image."""
    shards: Collection[str]
    """Digests of the shards whose images were scored."""

    def metadata(self) -> dict[str, str]:
        """To be written with scores.parquet."""
        return {_SHAPED_BY: self.shaped_by, _SHARDS: json.dumps(sorted(self.shards))}


def last_scored(run: Run) -> Scored | None:
    """What the last scores were made from; None if score did not finish or the table is not as it was written."""
    outputs = run.recorded().get("score", {}).get("outputs")
    seal = outputs.get(run.scores_path.name, {}) if isinstance(outputs, dict) else {}
    if not run.scores_path.is_file() or seal.get("sha256") != file_digest(run.scores_path):
        return None
    metadata = pl.read_parquet_metadata(run.scores_path)
    if _SHAPED_BY not in metadata:
        return None
    return Scored(metadata[_SHAPED_BY], frozenset(json.loads(metadata[_SHARDS])))


def kept_scores(
    run: Run, last: Scored | None, shaped_by: str, pool: pl.DataFrame, columns: Sequence[str]
) -> tuple[pl.DataFrame, list[int]]:
    """The last similarities that still hold, and the numbers of the shards whose images are to be scored.

    Args:
        last: From `last_scored`, before this `score` began.
        pool: image_id of the pool's images.
        columns: Those of table SCORES to keep.
    """
    shards = tables.read(run.shards, tables.SHARDS).sort("number")
    if last is None or last.shaped_by != shaped_by:
        return tables.empty(tables.some(tables.SCORES, *columns)), shards["number"].to_list()
    same = shards.filter(pl.col("sha256").is_in(list(last.shards)))
    embedded = tables.scan(run.embedded, tables.EMBEDDED).filter(pl.col("slices").is_not_null())
    here = embedded.select("image_id", "shard").collect().join(pool, on="image_id", how="semi")
    old = pl.read_parquet(run.scores_path, columns=list(columns))
    # An image of the target that has become one of the pool has no score yet, though its shard is the same.
    lacking = here.join(old, on="image_id", how="anti")["shard"].unique()
    whole = same.filter(~pl.col("number").is_in(lacking.implode()))["number"]
    kept = old.join(here.filter(pl.col("shard").is_in(whole.implode())), on="image_id", how="semi")
    return kept, sorted(set(shards["number"]) - set(whole))


def own_columns(run: Run) -> pl.DataFrame | None:
    """image_id and the columns that the user added to the last scores; None if there are none.

    Those of a damaged table are given up.
    """
    recorded = run.recorded().get("score", {})
    damaged = damaged_outputs(run, recorded, [run.scores_path.name])
    if not run.scores_path.is_file() or "outputs" not in recorded:
        return None
    if damaged:
        log.warning("score: %s; columns of your own in it, if any, are lost", damaged[0])
        return None
    own = [name for name in tables.schema_of(run.scores_path) if name not in tables.SCORES]
    return pl.read_parquet(run.scores_path, columns=["image_id", *own]) if own else None
