"""Wishes as people write them, and what they come to on a pool that is counted by hand."""

from __future__ import annotations

import polars as pl
import pytest

from thresher import choose
from thresher.errors import SettingsError
from thresher.selection.choose import Selection, Wishes, chosen_from
from thresher.selection.facts import Facts
from thresher.selection.filters import Line
from thresher.selection.wishes import Wish, all_wishes, parsed_quotas

IDS = [f"d/s{number // 4}_{number:03}" for number in range(12)]
#: Twelve images, best first; three sequences of four; buses in the odd ones, as many as their number.
IMAGES = pl.DataFrame({"image_id": IDS, "dataset": ["kitti"] * 8 + ["camvid"] * 4, "city": ["ulm", None, "bonn"] * 4})
COUNTS = pl.DataFrame(
    {"image_id": IDS, "bus": [n if n % 2 else 0 for n in range(12)], "car": [1 if n < 6 else 0 for n in range(12)]}
)
FACTS = Facts((IMAGES,), ("bus", "car"), lambda: COUNTS)
LINE = Line(pl.DataFrame({"image_id": IDS, "rank": range(1, 13), "score": [-float(n) for n in range(12)]}))


def shares(wish: Wish) -> dict[str, float]:
    return {"bus": 0.75, "car": 0.25}


def made(count: int, **texts: object) -> Selection:
    quotas = texts.pop("quotas", ())
    kinds = {kind: [each] if isinstance(each, str) else each for kind, each in texts.items()}
    wishes = all_wishes(kinds, quotas, FACTS)  # type: ignore[arg-type]
    return chosen_from(LINE, Wishes(count, FACTS, wishes, target_share=shares))


def numbers(count: int, **texts: object) -> list[int]:
    return [IDS.index(each) for each in made(count, **texts).chosen["image_id"]]


@pytest.mark.parametrize(
    ("wishes", "taken"),
    [
        ({}, [0, 1, 2, 3]),
        ({"at_least": "bus=3"}, [0, 1, 3, 5]),
        ({"at_least": "objects:bus=20"}, [1, 3, 5, 11]),
        ({"at_least": "dataset:camvid=2"}, [0, 1, 8, 9]),
        ({"at_least": "dataset:*=2"}, [0, 1, 8, 9]),
        ({"at_least": "bus=100%"}, [1, 3, 5, 7]),
        ({"at_most": "sequence:*=2"}, [0, 1, 4, 5]),
        ({"at_most": "city:*=1"}, [0, 1, 2, 4]),
        ({"at_most": "bus=1"}, [0, 1, 2, 4]),
        ({"at_most": "objects:bus=3", "at_least": "bus=1"}, [0, 1, 2, 4]),
        ({"at_most": "folder:d=12"}, [0, 1, 2, 3]),
        ({"share": "dataset:camvid=50%"}, [0, 1, 8, 9]),
        ({"share": "dataset:*=uniform"}, [0, 1, 8, 9]),
        ({"share": "class:*=target"}, [1, 7, 9, 6]),
        ({"at_least": "class:*=3"}, [1, 3, 5, 0]),
        ({"at_most": "class:car=1"}, [0, 6, 7, 8]),
    ],
)
def test_what_is_wished_is_had_with_the_best_ranks(wishes: dict[str, str], taken: list[int]) -> None:
    assert numbers(4, **wishes) == sorted(taken)


def test_each_class_is_each_that_a_candidate_holds() -> None:
    facts = Facts((IMAGES,), ("bus", "car", "tram"), lambda: COUNTS.with_columns(tram=0))
    wishes = all_wishes({"at_least": ["class:*=3"]}, (), facts)
    chosen = chosen_from(LINE, Wishes(4, facts, wishes, target_share=shares)).chosen
    assert sorted(IDS.index(each) for each in chosen["image_id"]) == [0, 1, 3, 5]


def test_several_quotas_in_one_are_told_how_to_be_written() -> None:
    with pytest.raises(SettingsError, match="expected one quota. Write --quotas before each"):
        parsed_quotas(["bus=3,car=2"], ["bus", "car"])


def test_objects_in_shares_are_near_the_share() -> None:
    chosen = made(6, share="objects:bus=90%").chosen.join(COUNTS, on="image_id")
    assert chosen["bus"].sum() / (chosen["bus"].sum() + chosen["car"].sum()) == pytest.approx(0.9, abs=0.01)


def test_soft_wishes_and_quotas_tell_what_is_missing() -> None:
    found = made(4, at_least="bus=9?")
    assert found.unmet == {"at_least bus=9": (4, 9)} and found.chosen.height == 4
    assert made(12, quotas=["bus=9"]).unmet == {"bus": (6, 9)}
    huge = made(4, at_least="objects:bus=1e9?")
    assert huge.chosen["image_id"].to_list() == made(4, at_least="objects:bus=40?").chosen["image_id"].to_list()
    assert made(4, at_least="tram:1=1?".replace("tram", "city")).unmet == {}


def test_reasons_of_those_taken_and_passed_over() -> None:
    found = made(4, at_most="sequence:*=2", at_least="dataset:camvid=1")
    decided = {IDS.index(each): why for each, why in found.decided.iter_rows()}
    assert decided == {0: "rank", 1: "rank", 4: "rank", 8: "at_least dataset:camvid=1"}
    passed = found.steps.filter(step="cap")
    assert [IDS.index(each) for each in passed["image_id"]] == [2, 3]
    assert passed["reason"][0] == "at_most sequence:d/s0=2 is reached by others"


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"at_least": "tram=3"}, "at_least 'tram=3': no class is called 'tram'"),
        ({"at_least": "car=3,bus=2"}, "expected one wish. Write --at-least before each"),
        ({"at_least": "datset:a=3"}, "no column is called 'datset'. Did you mean 'dataset'"),
        ({"at_least": "dataset:kiti=3"}, "no candidate has dataset kiti. Did you mean 'kitti'"),
        ({"at_least": "bus"}, "expected CLASS=AMOUNT, COLUMN:VALUE=AMOUNT, either with objects: before it"),
        ({"at_least": "bus=many"}, "'many' is not a number .50. or a share .30%."),
        ({"at_least": "bus=uniform"}, "'uniform' is not a number"),
        ({"share": "bus=50"}, "'50' is not a share .30%., uniform, or target"),
        ({"at_least": "bus=101%"}, "'101%' is not a number"),
        ({"at_least": "bus=7"}, "at best at_least bus=7 is missed by 3"),
        ({"at_least": "car=4", "at_most": "dataset:kitti=2"}, "cannot all be met: at best "),
    ],
)
def test_words_of_errors(wishes: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        made(4, **wishes)


def test_a_class_without_any_boxes_says_that_they_are_missing() -> None:
    with pytest.raises(SettingsError, match="'bus' would be a class, but there are no boxes.*boxes = TABLE"):
        choose({"near": [0.9, 0.1]}, 1, at_least={"bus": 1})


def test_quotas_are_spelt_class_and_number() -> None:
    assert parsed_quotas(["traffic light=3", "a=b=2"], ["traffic light", "a=b"]) == {"traffic light": 3, "a=b": 2}
    with pytest.raises(SettingsError, match="quotas 'bus': expected CLASS=NUMBER"):
        parsed_quotas(["bus"], ["bus"])
    with pytest.raises(SettingsError, match="expected CLASS=NUMBER"):
        parsed_quotas(["bus=-1"], ["bus"])
    with pytest.raises(SettingsError, match="no class of interest is called 'tram'. Known: bus, car"):
        parsed_quotas(["tram=1"], ["bus", "car"])
    with pytest.raises(SettingsError, match="'bus' is named twice"):
        parsed_quotas(["bus=1", "bus=2"], ["bus"])
