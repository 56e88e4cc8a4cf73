"""Coverage by objects: against brute force and plain greedy, and what classes, kept images and samples do to it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from thresher.errors import DataError, SettingsError
from thresher.selection.object_cover import ObjectLooks, Objects, covered_by_objects, covering_by_objects
from thresher.selection.on_frames import choose


def objects(rng: np.random.Generator, count: int, images: int, classes: int = 2) -> Objects:
    return Objects(rng.normal(size=(count, 3)), rng.integers(0, classes, count), rng.integers(0, images, count))


def worth(own: Objects, target: Objects, number: int, taken: list[int]) -> float:
    """How well a class is covered, as the docstring says, object by object."""
    total, sides = 0.0, [side.vectors[side.classes == number] for side in (target, own)]
    weights = [0.5, 0.5] if len(sides[0]) else [0.0, 1.0]
    mine = own.vectors[(own.classes == number) & np.isin(own.images, taken)]
    for side, weight in zip(sides, weights, strict=True):
        for each in side:
            near = [each @ one / np.linalg.norm(each) / np.linalg.norm(one) for one in mine]
            total += weight / len(side) * max([0.0, *near])
    return total


@examples(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 3))
def test_of_each_class_it_reaches_the_bound_of_the_best(seed: int, images: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    own, target = objects(rng, 9, images, classes=1), objects(rng, 4, 1, classes=2)
    made = covering_by_objects(own, target, images, count).tolist()
    assert worth(own, target, 0, made[:1]) == pytest.approx(max(worth(own, target, 0, [n]) for n in range(images)))
    best = max(worth(own, target, 0, list(each)) for each in itertools.combinations(range(images), min(count, images)))
    assert worth(own, target, 0, made) >= (1 - 1 / math.e) * best - 1e-5


def test_an_object_covers_those_of_its_class_alone_and_classes_take_turns_rarest_first() -> None:
    look = np.array([[1.0, 0.0]] * 20 + [[1.0, 0.0]] + [[0.0, 1.0]] * 3)
    # Twenty images with the same dog, one of which holds a cat that looks like it, and three with another dog.
    own = Objects(look, np.array([0] * 20 + [1] + [0] * 3), np.array([*range(20), 7, 20, 21, 22]))
    assert covering_by_objects(own, count=4).tolist() == [7, 0, 20]  # nothing else adds anything
    both = covering_by_objects(Objects(look, own.classes * 0, own.images), count=4)
    assert both.tolist() == [0, 20]


def test_what_is_taken_already_needs_no_more_cover_and_a_sample_takes_of_every_look() -> None:
    rng = np.random.default_rng(0)
    looks = np.repeat(np.eye(6), 50, axis=0) + 0.05 * rng.normal(size=(300, 6))
    own = Objects(looks, np.zeros(300, np.int64), np.arange(300))
    for most in (10**8, 300 * 60):  # all are covered, or every fifth
        made = covering_by_objects(own, images=300, count=6, most_cosines=most)
        assert sorted(made // 50) == [0, 1, 2, 3, 4, 5]
    taken = Objects(np.eye(6)[:4], np.zeros(4, np.int64), np.zeros(4, np.int64))
    assert sorted(covering_by_objects(own, images=300, count=2, taken=taken) // 50) == [4, 5]


def test_images_without_objects_stay_behind_in_their_order() -> None:
    order = pl.DataFrame({"image_id": list("abcdef"), "rank": list(range(1, 7)), "score": [6.0, 5, 4, 3, 2, 1]})
    held = pl.DataFrame({"image_id": ["b", "d", "f", "d"], "class": ["dog"] * 3 + ["cat"], "row": [0, 1, 2, 3]})
    none = pl.DataFrame(schema={"class": pl.String, "row": pl.Int64})
    looks = ObjectLooks(held, none, np.array([[1.0, 0], [1, 0], [0, 1], [1, 0]]))
    found = covered_by_objects(order, 4, 5, looks)  # f is beyond the shortlist; d holds the cat, b the better dog
    assert found["image_id"].to_list() == ["d", "b", "a", "c", "e", "f"]
    assert found["rank"].to_list() == [1, 2, 3, 4, 5, 6]
    with pytest.raises(SettingsError, match="none of the images to choose from has a box of a class of interest"):
        covered_by_objects(order, 1, 1, looks)


def test_choose_covers_objects_of_ones_own() -> None:
    scores = {"near": [5.0, 4.0, 3.0, 2.0, 1.0]}
    table = pl.DataFrame(
        {
            "image_id": ["0", "1", "2", "3", None],
            "class": ["dog", "dog", "dog", "cat", "dog"],
            "vector": [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]],
        }
    )
    made = choose(scores, 2, objects=table, coverage="objects", shortlist="100%")
    assert made["image_id"].to_list() == ["3", "2"]  # the only cat; then the dog that the target has too
    with pytest.raises(SettingsError, match="Give objects = TABLE"):
        choose(scores, 2, coverage="objects")
    with pytest.raises(DataError, match="expected image_id, class and one column of lists"):
        choose(scores, 2, objects=table.drop("class"), coverage="objects")
