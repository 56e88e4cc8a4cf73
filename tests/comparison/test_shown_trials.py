"""Which trainings a comparison's pictures show."""

from __future__ import annotations

from thresher import tables
from thresher.comparison.pictures import shown_trials
from thresher.comparison.settings import Trial


def test_none_random_and_the_best_other_method_are_shown() -> None:
    def trial(method: str, budget: str | None, seed: int = 0) -> Trial:
        return Trial(method, budget, "hierarchical", seed, "x", f"{method}-{budget}-{seed}")

    ious = {
        trial("none", None): 0.2,
        trial("all", None): 0.9,
        trial("random", "4"): 0.3,
        trial("random", "9"): 0.4,
        trial("both", "4"): 0.8,
        trial("both", "9"): 0.5,
        trial("layout", "9"): 0.5,
        trial("layout", "9", 1): 0.7,
    }
    trials = [*ious]
    row = {"set": "validation", "class": None, "weak_images": 0, "seconds": 1.0}
    rows: list[dict[str, object]] = [
        {**row, "method": each.method, "mode": each.mode, "budget": each.budget, "seed": each.seed}
        | {"images": int(each.budget or 0), "iou": iou}
        for each, iou in ious.items()
    ]
    results = tables.from_rows(rows, tables.RESULTS)
    shown = shown_trials(trials, results)
    # layout's mean over two seeds is above that of both; 0.8 is of a smaller selection.
    assert [each.training for each in shown] == ["none-None-0", "random-9-0", "layout-9-0"]
    assert shown_trials(trials[1:2], results) == []
