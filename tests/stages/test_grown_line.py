"""A pool that grows, over the whole line: what fit learnt is kept, score works on new images alone, nothing differs."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from thresher import Run, tables
from thresher.features.projection import load_projection
from thresher.run.inputs import share_changed
from thresher.run.state import RunState
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import ScoreSettings, score
from thresher.stages.select import SelectSettings, select

pytestmark = pytest.mark.slow

TARGET, POOL, C = 20, 100, 12
FIT = FitSettings(components=2, slice_directions=2, max_slices=150)


class Grown:
    """A run over vectors of made-up images; every third image of the pool has a box."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, Run(folder / "run")
        self.vectors: dict[str, np.ndarray] = {}
        for side, count in (("target", TARGET), ("pool", POOL)):
            (folder / side / "images").mkdir(parents=True)
            for number in range(count):
                self.add(side, number)

    def add(self, side: str, number: int, seed: int = 0) -> None:
        rng = np.random.default_rng([number, seed, side == "pool"])
        (self.folder / side / "images" / f"{number:04d}.jpg").touch()
        self.vectors[f"{side}/{number:04d}"] = rng.normal(size=(2, 2, C)) + np.arange(C) * (side == "target")

    def remove(self, number: int) -> None:
        (self.folder / "pool" / "images" / f"{number:04d}.jpg").unlink()
        del self.vectors[f"pool/{number:04d}"]

    def _annotations(self) -> None:
        numbers = sorted(int(name.split("/")[1]) for name in self.vectors if name.startswith("pool"))
        images = [{"id": n, "file_name": f"{n:04d}.jpg", "width": 100, "height": 80} for n in numbers]
        boxes = [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [5, 5, 20 + n % 7, 9]} for n in numbers if n % 3 == 0
        ]
        content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "car"}]}
        (self.folder / "pool" / "annotations").mkdir(exist_ok=True)
        (self.folder / "pool" / "annotations" / "instances_all.json").write_text(json.dumps(content))

    def embedded(self, run: Run | None = None) -> dict[str, int]:
        run = run or self.run
        self._annotations()
        index(run, IndexSettings(f"folder:{self.folder}/target", f"coco:{self.folder}/pool#all"))
        ids = tables.read(run.images, tables.INDEXED_IMAGES)["image_id"].sort().to_list()
        values = [self.vectors[f"{name.split('/')[0]}/{name.split('/')[-1]}"].tolist() for name in ids]
        pl.DataFrame({"image_id": ids, "v": values}).write_parquet(self.folder / "vectors.parquet")
        vectors = EmbedSettings(vectors=self.folder / "vectors.parquet", width=6, shard_images=16)
        return embed(run, vectors).summary

    def fresh(self) -> Run:
        """A run over the same images and vectors from nothing but the projection."""
        run = Run(self.folder / "fresh")
        shutil.rmtree(run.folder, ignore_errors=True)
        run.folder.mkdir()
        shutil.copy(self.run.projection, run.projection)
        self.embedded(run)
        return run


@pytest.fixture
def grown(tmp_path: Path) -> Grown:
    made = Grown(tmp_path)
    made.embedded()
    fit(made.run, FIT)
    score(made.run)
    return made


def same_scores(one: Run, other: Run) -> bool:
    ours, theirs = (pl.read_parquet(each.scores_path) for each in (one, other))
    assert ours["image_id"].to_list() == theirs["image_id"].to_list()
    numeric = [name for name, kind in ours.schema.items() if kind.is_numeric()]
    return ours.equals(theirs) and all(
        ours[name].to_numpy().tobytes() == theirs[name].to_numpy().tobytes() for name in numeric
    )


def with_evidence(run: Run, of: Run) -> Run:
    for path in (of.mixture, of.mixture.with_suffix(".json"), of.evidence):
        shutil.copy(path, run.folder / path.name)
    return run


def test_score_keeps_what_still_holds_and_equals_a_fresh_one(grown: Grown) -> None:
    for number in range(POOL, POOL + 5):
        grown.add("pool", number)
    told = grown.embedded()
    assert (told["embedded_now"], told["kept"], told["removed"]) == (5, TARGET + POOL, 0)
    assert fit(grown.run, FIT).status == "unchanged"
    done = score(grown.run).summary
    assert done["scored_now"] + done["kept"] == POOL + 5
    assert 5 <= done["scored_now"] <= 5 + 32  # the new ones, and those that small shards were put together with
    fresh = with_evidence(grown.fresh(), grown.run)
    assert score(fresh).summary["kept"] == 0
    assert same_scores(grown.run, fresh)
    for each in (grown.run, fresh):
        select(each, SelectSettings(budget=20, name="best"))
    assert grown.run.selection_path("best").read_bytes() == fresh.selection_path("best").read_bytes()


def test_other_settings_of_score_and_scores_changed_by_hand_are_scored_anew(grown: Grown) -> None:
    assert score(grown.run, ScoreSettings(neighbours=2)).summary["kept"] == 0
    grown.add("pool", POOL)
    grown.embedded()
    scores = pl.read_parquet(grown.run.scores_path)
    tables.write(scores.with_columns(layout=pl.lit(1.0)), grown.run.scores_path)
    assert score(grown.run, ScoreSettings(neighbours=2)).summary["kept"] == 0
    assert pl.read_parquet(grown.run.scores_path)["layout"].max() < 1  # type: ignore[operator]


def test_fit_stays_until_a_fifth_of_the_pool_is_new_or_it_is_asked_for(grown: Grown) -> None:
    before = grown.run.evidence.read_bytes()
    for number in range(POOL, POOL + 10):
        grown.add("pool", number)
    grown.embedded()
    assert fit(grown.run, FIT).status == "unchanged"
    mixture = grown.run.mixture.read_bytes()
    assert fit(grown.run, FIT, refit=True).status == "done"
    assert grown.run.evidence.read_bytes() != before
    assert grown.run.mixture.read_bytes() == mixture
    assert fit(grown.run, FIT).status == "unchanged"
    for number in range(22):
        grown.remove(number)
    grown.embedded()
    assert fit(grown.run, FIT).status == "done"


def test_a_changed_target_is_fitted_anew(grown: Grown) -> None:
    grown.add("target", 3, seed=7)
    grown.embedded()
    assert fit(grown.run, FIT).status == "done"


def test_a_fit_to_a_grown_pool_is_that_of_a_fresh_run(grown: Grown) -> None:
    for number in range(POOL, POOL + 7):
        grown.add("pool", number)
    grown.remove(3)
    grown.embedded()
    fit(grown.run, FIT, refit=True)
    fresh = grown.fresh()
    fit(fresh, FIT)
    assert fresh.mixture.read_bytes() == grown.run.mixture.read_bytes()
    assert fresh.evidence.read_bytes() == grown.run.evidence.read_bytes()


def test_thirty_growths_leave_no_crumbs_and_equal_a_fresh_run(grown: Grown) -> None:
    rng = np.random.default_rng(3)
    for week in range(30):
        here = sorted(int(name[5:]) for name in grown.vectors if name.startswith("pool"))
        gone, changed = rng.choice(here, (2, 2), replace=False)
        for number in gone:
            grown.remove(int(number))
        for number in changed:
            grown.add("pool", int(number), seed=week + 1)
        for number in range(1000 + 3 * week, 1003 + 3 * week):
            grown.add("pool", number)
        told = grown.embedded()
        assert (told["embedded_now"], told["removed"]) == (5, 2)
    assert fit(grown.run, FIT).status == "done"
    images = told["images_embedded"]
    assert told["shards"] <= 2 * images / 16 + 2
    score(grown.run)
    fresh = with_evidence(grown.fresh(), grown.run)
    score(fresh)
    assert grown.run.pooled.read_bytes() == fresh.pooled.read_bytes()
    assert same_scores(grown.run, fresh)


def test_fitted_again_for_another_reason_it_is_fitted_to_the_pool_as_it_is(grown: Grown) -> None:
    for number in range(POOL, POOL + 3):
        grown.add("pool", number)
    grown.embedded()
    other = dataclasses.replace(FIT, seed=FIT.seed + 1)
    assert fit(grown.run, other).status == "done"
    assert RunState(grown.run).of("fit").word == "done"
    assert fit(grown.run, other).status == "unchanged"
    assert score(grown.run).summary["scored_now"] == POOL + 3


def test_a_projection_is_kept_and_says_when_the_pool_has_moved_away(grown: Grown) -> None:
    before = grown.run.projection.read_bytes()
    rng = np.random.default_rng(5)
    lost = np.linalg.svd(load_projection(grown.run.projection).axes)[2][6:]  # what the axes do not keep
    for number in range(POOL, POOL * 4):
        grown.add("pool", number)
        grown.vectors[f"pool/{number:04d}"] = rng.normal(size=(2, 2, len(lost))) @ lost
    told = grown.embedded()
    assert grown.run.projection.read_bytes() == before
    assert told["variance_kept_now"] < told["variance_kept"]
    assert "--refit-projection" in told["warning"]
    vectors = EmbedSettings(vectors=grown.folder / "vectors.parquet", width=6, shard_images=16)
    again = embed(grown.run, vectors, refit_projection=True).summary
    assert (again["embedded_now"], again["kept"]) == (TARGET + POOL * 4, 0)
    assert grown.run.projection.read_bytes() != before
    assert embed(grown.run, vectors).status == "unchanged"


def test_the_area_covered_is_computed_on_request(grown: Grown) -> None:
    assert pl.read_parquet(grown.run.scores_path)["covered_area"].null_count() == POOL
    score(grown.run, ScoreSettings(scores=("covered_area",)))
    areas = pl.read_parquet(grown.run.scores_path).sort("image_id")["covered_area"]
    assert areas.to_list() == pytest.approx(
        [(20 + n % 7) * 9 / 8000 if n % 3 == 0 else 0 for n in range(POOL)], rel=1e-5
    )


def test_how_much_has_changed_counts_what_came_or_went() -> None:
    ten = np.arange(10, dtype=np.uint64)
    assert share_changed(ten, ten) == 0
    assert share_changed(ten, np.arange(12, dtype=np.uint64)) == pytest.approx(0.2)
    assert share_changed(ten, np.array([], np.uint64)) == 1
    assert share_changed(np.array([1, 1], np.uint64), np.array([1], np.uint64)) == pytest.approx(0.5)
