"""Which images are worked on again, and that shards neither lose images nor add up to ever more."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.features.shard_plan import ShardPlan, planned

SIZE = 8


def frame(images: dict[str, int]) -> pl.DataFrame:
    schema = {"image_id": pl.String, "shard": pl.Int64}
    return pl.DataFrame(sorted(images.items()), schema=schema, orient="row")


def plan_of(
    now: set[str], last: dict[str, int], changed: set[str] = frozenset(), lost: set[int] = frozenset()
) -> ShardPlan:
    unchanged = {name: shard for name, shard in last.items() if name in now - changed}
    images = pl.DataFrame({"image_id": sorted(now)}, schema={"image_id": pl.String})
    return planned(images, frame(unchanged), frame(last), lost, SIZE, "print")


def held(plan: ShardPlan, last: dict[str, int]) -> dict[str, int]:
    """The shard of each image after the plan was carried out."""
    found = [(name, shard) for name, shard in last.items() if shard in plan.kept]
    found += [(name, each.number) for each in plan.gatherings for ids in each.sources.values() for name in ids]
    found += [(name, each.number) for each in plan.batches for name in each.image_ids]
    assert len(dict(found)) == len(found), "an image is in two shards"
    return dict(found)


def names(count: int, start: int = 0) -> set[str]:
    return {f"{number:04d}" for number in range(start, start + count)}


def test_a_first_run_is_cut_into_whole_shards() -> None:
    plan = plan_of(names(20), {})
    assert [(each.number, len(each.image_ids)) for each in plan.batches] == [(0, 8), (1, 8), (2, 4)]
    assert (plan.kept, plan.gatherings, plan.embedded_now) == ((), (), 20)


def test_new_images_go_to_new_shards_and_all_others_stay() -> None:
    last = held(plan_of(names(16), {}), {})
    plan = plan_of(names(19), last)
    assert plan.kept == (0, 1)
    assert [(each.number, each.image_ids) for each in plan.batches] == [(2, ("0016", "0017", "0018"))]


def test_a_shard_that_loses_an_image_is_put_together_anew_without_the_backbone() -> None:
    last = held(plan_of(names(16), {}), {})
    plan = plan_of(names(16) - {"0003"}, last)
    assert (plan.kept, plan.embedded_now) == ((1,), 0)
    assert dict(plan.gatherings[0].sources) == {0: tuple(sorted(names(8) - {"0003"}))}
    assert plan.gatherings[0].number == 2


def test_a_lost_shard_is_made_again_under_its_own_number() -> None:
    first = plan_of(names(20), {})
    last = held(first, {})
    plan = plan_of(names(21), last, lost={1})
    assert plan.kept == (0, 2)
    again, new = plan.batches
    assert again == first.batches[1]
    assert (new.number, new.image_ids) == (3, ("0020",))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5), st.integers(0, 3)), max_size=30), st.randoms())
def test_over_many_growths_no_image_is_lost_and_shards_do_not_add_up(
    growths: list[tuple[int, int, int]], random: object
) -> None:
    now, last, made = names(20), {}, 20
    for added, removed, changing in growths:
        plan = plan_of(now, last)
        last = held(plan, last)
        assert set(last) == now
        gone = set(random.sample(sorted(now), min(removed, len(now) - 1)))  # type: ignore[attr-defined]
        now = now - gone | names(added, made)
        made += added
        changed = set(random.sample(sorted(now), min(changing, len(now))))  # type: ignore[attr-defined]
        plan = plan_of(now, last, changed)
        assert plan.embedded_now == len(changed | (now - set(last)))
        last = held(plan, last)
        sizes = pl.Series(list(last.values())).value_counts()["count"]
        assert sizes.max() <= SIZE
        assert len(sizes) <= 2 * len(now) / SIZE + 2


def test_what_is_planned_does_not_depend_on_what_is_there_already() -> None:
    """Jobs of an array plan on their own while others already write."""
    last = held(plan_of(names(20), {}), {})
    one = plan_of(names(30), last, lost={1})
    other = plan_of(names(30), last)
    assert one.batches[1:] == other.batches
