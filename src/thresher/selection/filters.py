"""From the ranking to the candidates: each step removes images and says of each why."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from thresher.errors import SettingsError
from thresher.selection.methods import Ranking
from thresher.selection.redundancy import Near
from thresher.settings import did_you_mean

#: One row per image that a step removed: the step, and a short sentence with the facts.
STEPS = {"image_id": pl.String, "step": pl.String, "reason": pl.String}


@dataclass(frozen=True)
class Line:
    """The candidates on their way through the steps, and who was removed by which step, and why."""

    order: pl.DataFrame
    """Candidates, best first: image_id, rank (1 first among those that are left), score."""
    removed: tuple[pl.DataFrame, ...] = ()
    """image_id, step, reason; a frame per step."""
    always: frozenset[str] = frozenset()
    """Ids that no step removes: pinned and kept images."""

    @property
    def steps(self) -> pl.DataFrame:
        """The rows of all steps, in the order of the steps: image_id, step, reason."""
        return pl.concat([pl.DataFrame(schema=STEPS), *self.removed])

    @property
    def height(self) -> int:
        """How many images can be chosen: the candidates, and those of `always` that are not ranked."""
        return self.order.height + len(self.always - set(self.order["image_id"]) if self.always else ())

    def reordered(self, order: pl.DataFrame) -> Line:
        """With the same candidates in another order."""
        return replace(self, order=renumbered(order))

    def without(self, gone: pl.DataFrame, step: str) -> Line:
        """Without these candidates; those of `always` stay.

        Args:
            gone: image_id and reason; images that are no candidates (any more) do not matter.

        >>> order = pl.DataFrame({"image_id": ["a", "b"], "rank": [1, 2], "score": [2.0, 1.0]})
        >>> line = Line(order).without(pl.DataFrame({"image_id": ["a"], "reason": ["too dark"]}), "where")
        >>> line.order.rows(), line.steps.rows()
        ([('b', 1, 1.0)], [('a', 'where', 'too dark')])
        """
        if gone.is_empty():
            return self
        if self.always:
            gone = gone.filter(~pl.col("image_id").is_in(list(self.always)))
        found = gone.join(self.order, on="image_id", how="semi", maintain_order="left")
        if found.is_empty():
            return self
        order = self.order.join(found, on="image_id", how="anti", maintain_order="left")
        rows = found.select("image_id", step=pl.lit(step), reason="reason")
        return replace(self, order=renumbered(order), removed=(*self.removed, rows))


def renumbered(order: pl.DataFrame) -> pl.DataFrame:
    """The rows with ranks 1, 2, 3, … in their order: image_id, rank, score."""
    return order.with_columns(rank=pl.int_range(1, order.height + 1, dtype=pl.Int64)).select(
        "image_id", "rank", "score"
    )


def ranked(found: Ranking, why_not: str, always: Collection[str] = ()) -> Line:
    """The start of the line: a ranking, without the images that it cannot rank.

    Args:
        why_not: The reason given for each of these.
        always: Ids of pinned and kept images; one of them that is not ranked comes last, without a score.
    """
    unranked = found.unranked.filter(~pl.col("image_id").is_in(list(always)))
    rows = unranked.select("image_id", step=pl.lit("not ranked"), reason=pl.lit(why_not))
    return Line(found.order, (rows,) if rows.height else (), frozenset(always))


def named(ids: Collection[str], reason: str) -> pl.DataFrame:
    """Rows for `Line.without`: the same reason for each of these ids."""
    return pl.DataFrame({"image_id": list(ids)}, schema={"image_id": pl.String}).with_columns(reason=pl.lit(reason))


def of_other_datasets(datasets: pl.DataFrame, wanted: Sequence[str]) -> pl.DataFrame:
    """Rows for `Line.without`: the images of other data sets than these.

    Args:
        datasets: image_id and dataset.

    Raises:
        SettingsError: one of them is no data set of the pool.
    """
    known = sorted(datasets["dataset"].unique())
    for name in wanted:
        if name not in known:
            raise SettingsError(f"datasets '{name}': no such data set in the pool.{did_you_mean(name, known)}")
    others = datasets.filter(~pl.col("dataset").is_in(list(wanted)))
    return others.select("image_id", reason=pl.format("of data set {}", "dataset"))


def marked(marks: pl.DataFrame, mark: str) -> list[str]:
    """Ids of the images with this mark."""
    return marks.filter(mark=mark)["image_id"].to_list()


def always_chosen(keep: Sequence[str], lists: Mapping[str, Sequence[str]], marks: pl.DataFrame) -> dict[str, set[str]]:
    """Ids of the images that are always chosen: those pinned, and those kept that are neither pinned nor rejected.

    Args:
        keep: Names of lists.
        lists: By name, the ids in it.
        marks: image_id and mark.
    """
    pinned, kept = set(marked(marks, "pinned")), {each for text in keep for each in lists[text]}
    return {"pinned": pinned, "kept": kept - pinned - set(marked(marks, "rejected"))}


def excluded(text: str, ids: Sequence[str], always: Collection[str]) -> pl.DataFrame:
    """Rows for `Line.without`: the images of a list.

    Args:
        text: The list as written.

    Raises:
        SettingsError: some of them are always chosen.
    """
    both = sorted(set(ids) & set(always))
    if both:
        raise SettingsError(
            f"exclude '{text}': {len(both)} of its images are kept or pinned as well (first: {both[0]}). "
            "Take them out of one of the two."
        )
    return named(ids, f"listed in {text}")


@dataclass(frozen=True)
class Apart:
    """A line without the near-duplicates of better images that stay, and of the target.

    Of large pools only the best are compared, as far down as `enough` asks.
    """

    start: Line
    """With all near-duplicates."""
    line: Line
    near: Near | None
    enough: int | None
    """How many images stay among those compared; None: all were compared."""
    compared: pl.DataFrame
    """image_id of those that were."""

    @classmethod
    def of(cls, line: Line, near: Near | None, enough: int | None = None) -> Apart:
        """Compare the best, from the first down. Pinned and kept images (`line.always`) come before all others.

        Args:
            near: None: nothing is a near-duplicate.
            enough: How many images that stay are needed. Default: compare all.
        """
        return cls(line, line, near, 0, pl.DataFrame(schema={"image_id": pl.String}))._to(enough)

    def _to(self, enough: int | None) -> Apart:
        if self.near is None:
            return replace(self, enough=None)
        start, unranked = self.start, sorted(self.start.always - set(self.start.order["image_id"]))
        last = pl.DataFrame({"image_id": unranked}, {"image_id": pl.String})
        order = pl.concat([start.order.select("image_id"), last])
        found = self.near.clusters(order, start.always, enough)
        if found.height == order.join(self.near.ids, on="image_id", how="semi").height:
            enough = None
        gone = found.filter(pl.col("of").is_null() | (pl.col("of") != pl.col("image_id")))
        like = pl.format("near-duplicate of {} (cosine {})", "of", pl.col("cosine").round(3))
        target = pl.lit("near-duplicate of an image of the target")
        rows = gone.select("image_id", reason=pl.when(pl.col("of").is_null()).then(target).otherwise(like))
        line = self.line.without(rows, "near-duplicate")
        return replace(self, line=line, enough=enough, compared=found.select("image_id"))

    def reordered(self, order: pl.DataFrame) -> Apart:
        """With the candidates of `line` in another order, of which no more than `enough` come from elsewhere."""
        return replace(self, line=self.line.reordered(order))

    def allows(self, chosen: pl.DataFrame) -> bool:
        """Whether all these images were compared, or need not be: none is then a near-duplicate of a better one."""
        if self.enough is None:
            return True
        assert self.near is not None
        unknown = chosen.join(self.compared, on="image_id", how="anti").join(self.near.ids, on="image_id", how="semi")
        return unknown.height == 0

    def further(self) -> Apart:
        """With ten times as many that stay, or all; what is found to be a near-duplicate leaves the line as ordered."""
        many = 10 * (self.enough or 0)
        return self._to(many if 0 < 4 * many < self.start.height else None)
