"""budget: how many images of a pool are worth taking, by what they add, and by what trainings on them have reached."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float16

from thresher.errors import DataError, SettingsError
from thresher.frames import Table
from thresher.reasons.audit import DUPLICATE_COSINE
from thresher.reasons.remade import made_again
from thresher.reasons.trained import Trained, trained_numbers
from thresher.run.folder import AnyRun, as_run
from thresher.run.opened import OpenedRun
from thresher.run.state import refuse_outdated
from thresher.selection.coverage import parted
from thresher.selection.methods import DEFAULT_METHOD, ranking
from thresher.selection.worth import Worth, log_grid, worth
from thresher.settings import converted
from thresher.tables import Schema

#: One row per N. `nearness`: mean cosine of the target's images to the nearest of the N; `covered`: share of them with
#: one of the N as near as their own kind; `near`: of the N, those as near to the target as its images are to each
#: other; `objects` and `classes`: of interest, on the N; `repeated`: share of the images since the last N that
#: near-duplicate an earlier one.
BUDGET: Schema = {"images": pl.Int64, "nearness": pl.Float64, "covered": pl.Float64, "near": pl.Int64} | {
    "objects": pl.Int64,
    "classes": pl.Int64,
    "repeated": pl.Float64,
}


@converted
@dataclass(frozen=True)
class BudgetSettings:
    """In which order images are taken, and how far it is followed."""

    method: str = parted(DEFAULT_METHOD)[0]
    """How the pool is ranked, as for `select`, without coverage: its order depends on how many are chosen."""
    selection: str = ""
    """Follow the candidates of this selection instead, in its order: without what its filters leave out, with its
    coverage."""
    seed: int = 0
    """Seed of methods random and holds_class."""
    duplicate_cosine: float = DUPLICATE_COSINE
    """Images whose pooled vectors have at least this cosine are near-duplicates."""
    most: int = 100_000
    """Images of the order that are looked at, at most."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            SettingsError: names the setting, its value and what is expected.
        """
        if not 0 < self.duplicate_cosine <= 1:
            raise SettingsError(f"duplicate_cosine = {self.duplicate_cosine}: expected above 0, to 1, such as 0.95.")
        if parted(self.method)[1]:
            raise SettingsError(
                f"method = {self.method}: the order of a coverage depends on how many are chosen. Choose many "
                "by `thresher select RUN --method …`, and name that selection (--selection)."
            )
        if self.most < 2:
            raise SettingsError(f"most = {self.most}: expected 2 or more.")


@dataclass(frozen=True)
class HowMany:
    """What the first N images of an order are worth."""

    method: str
    """The method, or "selection NAME", whose order was followed."""
    candidates: int
    """Images that are ranked and embedded."""
    table: Table
    """A row per N (`BUDGET`)."""
    knee: int
    """From this N on an image adds less than the average of all that were looked at (`selection.worth.knee`)."""
    threshold: float
    """The cosine that 95 % of the target's images reach to their nearest other."""
    trained: tuple[Trained, ...]
    """What trainings have reached, of each method and mode that a comparison has tried with several budgets."""
    answer: str
    """How many, in words."""


def budget(run: AnyRun, settings: BudgetSettings | None = None) -> HowMany:
    """How many images are worth taking: what the first N of a method's order add, and what trainings on N have reached.

    Raises:
        SettingsError: an unknown method or selection, or no image has its score.
        DataError: embed or score has not run or is outdated, or the target has fewer than two readable images.
    """
    run = as_run(run)
    settings = settings or BudgetSettings()
    own = [f"select:{settings.selection}"] if settings.selection else []
    refuse_outdated(run, ["index", "embed", "score", *own])
    return how_many(OpenedRun(run), settings)


def how_many(opened: OpenedRun, settings: BudgetSettings) -> HowMany:
    """As `budget`, of tables that are current."""
    order, vectors, candidates = _ordered(opened, settings)
    _, target = opened.vectors(opened.target)
    if len(target) < 2:
        raise DataError(
            f"{opened.run.folder}: the target has {len(target)} readable images; 2 or more are needed to tell how near "
            "they are to each other."
        )
    found = worth(vectors, target, log_grid(len(vectors)), settings.duplicate_cosine)
    held = _held(opened, order, found)
    trained = tuple(trained_numbers(opened))
    return HowMany(
        f"selection {settings.selection}" if settings.selection else settings.method,
        candidates,
        Table.of(held),
        found.knee,
        found.threshold,
        trained,
        answer(held, found.knee, candidates, trained),
    )


def _ordered(opened: OpenedRun, settings: BudgetSettings) -> tuple[pl.DataFrame, Float16[np.ndarray, "n c"], int]:
    """image_id and pooled vectors of the best, best first, and how many could have been."""
    if settings.selection:
        opened.selection(settings.selection)  # refuses a name that is not there
        order = made_again(opened, settings.selection).made.candidates
    else:
        order = ranking(opened.scores, settings.method, settings.seed).order
    pooled = opened.pooled.select("image_id", "vector")
    ranked = order.select("image_id", "rank").join(pooled, on="image_id", maintain_order="left").sort("rank")
    if ranked.height < 2:
        raise SettingsError(
            f"method '{settings.method}': {ranked.height} images with a vector have this score; 2 or more are needed."
        )
    best = ranked.head(settings.most)
    return best.select("image_id"), best["vector"].rechunk().to_numpy(allow_copy=False), ranked.height


def _held(opened: OpenedRun, order: pl.DataFrame, found: Worth) -> pl.DataFrame:
    """Table `BUDGET`: what `worth` found, and the objects and classes of interest on the first N."""
    names = [name for name in opened.counts.columns if name != "image_id"]
    counts = order.join(opened.counts, on="image_id", how="left", maintain_order="left")
    sums = counts.select(pl.col(name).fill_null(0).cast(pl.Int64).cum_sum() for name in names)
    at = sums[found.images - 1] if names else None
    columns = {
        "images": found.images,
        "nearness": found.nearness,
        "covered": found.covered,
        "near": found.near,
        "objects": at.sum_horizontal() if at is not None else 0,
        "classes": at.select((pl.col(names) > 0).cast(pl.Int64)).sum_horizontal() if at is not None else 0,
        "repeated": found.repeated,
    }
    return pl.DataFrame(columns).cast(dict(BUDGET))  # type: ignore[arg-type]


def answer(table: pl.DataFrame, knee: int, candidates: int, trained: tuple[Trained, ...]) -> str:
    """How many images to take, in one or two sentences; trainings have the last word.

    Args:
        table: As `BUDGET`.
    """
    last = table.row(-1, named=True)
    after = table.filter(pl.col("images") > knee)
    sizes = table["images"].diff().fill_null(table["images"][0]).filter(table["images"] > knee)
    repeated = float((after["repeated"] * sizes).sum()) / max(1, int(sizes.sum())) if after.height else 0.0
    looked_at = "candidates" if last["images"] == candidates else f"first {last['images']:,}"
    near, of = last["near"], last["images"]
    words = (
        f"By what they add, about {_two_digits(knee):,}: from there on an image brings the selection nearer to the "
        f"target by less than the average of the {looked_at} does, and {repeated:.0%} near-duplicate an earlier one. "
        "As near to one image of the target as its images are to their nearest other: "
        f"{near:,} of {of:,} ({near / of:.0%})."
    )
    known = [each for each in trained if each.smallest is not None]
    return " ".join([words, *(each.in_words() for each in known)])


def _two_digits(number: int) -> int:
    return int(float(f"{number:.2g}"))
