"""A comparison on made-up streets: killed, hindered by another process, and brought to its end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.comparison import again
from thresher.comparison.compare import compare, made_selections
from thresher.comparison.crew import crew
from thresher.comparison.job import Job, as_job
from thresher.comparison.pictures import pictures
from thresher.comparison.settings import CompareSettings
from thresher.comparison.time_left import TimeEstimate
from thresher.comparison.trained import Comparison
from thresher.data.taxonomy import load_taxonomy
from thresher.errors import DataError, SettingsError
from thresher.run.folder import Run
from thresher.run.opened import selected
from thresher.run.perform import StageResult
from thresher.run.record import Record
from thresher.settings import restored
from thresher.training.settings import TrainSettings
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

pytest.importorskip("altair", reason="the charts are an extra")

SMALL = TrainSettings(height_px=64, width_px=96, strong_batch=2, weak_batch=2, epochs=1, zoom=1.2)
GRID = CompareSettings(methods=("random",), budgets=("4",), seeds=2, baselines=("none",), name="few")
ONE = EngineSettings(workers=1)
#: As `thresher compare` does; in a process that can be killed.
TO_BE_KILLED = """
import sys
from thresher import Run, compare
from thresher.workers.settings import EngineSettings
from thresher.comparison.settings import CompareSettings
from thresher.settings import restored
from thresher.training.settings import TrainSettings
small = TrainSettings(height_px=64, width_px=96, strong_batch=2, weak_batch=2, epochs=1, zoom=1.2)
grid = CompareSettings(methods=("random",), budgets=("4",), seeds=2, baselines=("none",), name="few")
compare(Run(sys.argv[1]), grid, small, engine=EngineSettings(workers=1))
"""


@dataclasses.dataclass(frozen=True)
class Story:
    """A comparison that was killed, then hindered, then brought to its end."""

    run: Run
    scenes: Path
    first: str
    first_written: int
    hindered: StageResult
    planned: StageResult
    ended: StageResult
    lines: list[str]


def folder_of(run: Run, path: Path) -> str:
    return path.relative_to(run.folder / "trainings").parts[0]


@pytest.fixture(scope="module")
def story(run: Run) -> Story:
    scenes = Path(tables.read(run.images, tables.IMAGES).filter(pl.col("split") == "val")["path"][0]).parents[3]
    first = killed_after_one(run)
    written = (run.training(first) / "checkpoint.safetensors").stat().st_mtime_ns
    with Record(run.training("few.random-4-seed1-hierarchical-seed1")).locked():
        hindered = compare(run, GRID, SMALL, engine=ONE)
    planned = compare(run, GRID, SMALL, engine=ONE, dry_run=True)
    with heard() as lines:
        with_test = dataclasses.replace(GRID, test=f"cityscapes:{scenes}#val")
        ended = compare(run, with_test, SMALL, engine=ONE)
    return Story(run, scenes, first, written, hindered, planned, ended, lines)


def killed_after_one(run: Run) -> str:
    """Kill the process as soon as a training has ended; gives that training's name."""
    asking = subprocess.Popen([sys.executable, "-c", TO_BE_KILLED, str(run.folder)])
    done: list[Path] = []
    while not done and asking.poll() is None:
        done = [path for path in run.folder.glob("trainings/*/manifest.json") if "fingerprint" in path.read_text()]
        time.sleep(0.02)
    asking.kill()
    asking.wait()
    assert len(done) == 1, "it ended before it could be killed, or two trainings at once did"
    return folder_of(run, done[0])


@contextlib.contextmanager
def heard() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("thresher.comparison.trained")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_what_was_done_is_not_done_again(story: Story) -> None:
    assert story.first == "few.none-strong-seed0"
    assert (story.run.training(story.first) / "checkpoint.safetensors").stat().st_mtime_ns == story.first_written
    assert story.hindered.summary["trained_now"] == 2
    assert story.ended.summary["trained_now"] == 4  # all were evaluated on the test images, one was trained
    assert story.ended.failed_items == 0


def test_a_training_that_fails_costs_only_itself(story: Story) -> None:
    assert story.hindered.failed_items == 1
    failed = story.hindered.summary["failed"]
    assert [each["training"] for each in failed] == ["few.random-4-seed1-hierarchical-seed1"]
    assert "another thresher process works in this folder" in failed[0]["reason"]
    problems = tables.read(story.run.comparison("few") / "problems.parquet", tables.PROBLEMS)
    assert problems.is_empty()  # since it succeeded at last


def test_a_plan_says_what_is_to_do_and_how_long_it_takes(story: Story) -> None:
    told = story.planned.summary
    assert (told["trainings"], told["done"], told["at_once"], told["steps_of_each"]) == (4, 3, 1, 2)
    assert [each["training"] for each in told["to_do"]] == ["few.random-4-seed1-hierarchical-seed1"]
    seconds = Record(story.run.training("few.random-4-seed0-hierarchical-seed0")).recorded()["train"]["seconds"]
    assert told["seconds"] == round(seconds)
    assert told["time_known_from"] == "finished trainings"


def test_weights_that_a_training_does_not_use_leave_it_done(story: Story) -> None:
    unused = dataclasses.replace(SMALL, label_weight=0.9, box_weight=3.0)
    assert again.trained_before(Comparison(story.run, GRID, unused), GRID.trials()) == {}
    assert all(Comparison(story.run, GRID, unused).is_done(trial) for trial in GRID.trials())
    used = dataclasses.replace(unused, group_weight=0.2)
    told = again.trained_before(Comparison(story.run, GRID, used), GRID.trials())
    assert told == {"other settings: group_weight": 4}


def test_trainings_that_no_longer_count_are_told_with_the_reason(story: Story) -> None:
    faster = dataclasses.replace(SMALL, learning_rate=0.5)
    told = again.trained_before(Comparison(story.run, GRID, faster), GRID.trials())
    assert told == {"other settings: learning_rate": 4}
    assert again.trained_before(Comparison(story.run, GRID, SMALL), GRID.trials()) == {}
    taxonomy = story.run.taxonomy.read_text("utf-8")
    try:
        story.run.taxonomy.write_text(taxonomy + "\n# another\n", "utf-8")
        told = again.trained_before(Comparison(story.run, GRID, SMALL), GRID.trials())
    finally:
        story.run.taxonomy.write_text(taxonomy, "utf-8")
    # What a random choice was trained on is itself made from the taxonomy.
    assert told.pop("taxonomy.toml has changed") == 2
    assert told == {f"select:random-4-seed{seed} is outdated": 1 for seed in (0, 1)}


def test_each_training_is_told(story: Story) -> None:
    assert story.lines[0].startswith("compare: 4 of 4 trainings to do, 1 at once: about ")
    assert story.lines[1].startswith("compare: 1 of 4, few.none-strong-seed0: mIoU 0.")
    assert story.lines[1].endswith(" left")
    assert story.lines[4].startswith("compare: 4 of 4, ")


def test_the_tables_say_what_each_training_measured(story: Story) -> None:
    folder = story.run.comparison("few")
    results = tables.read(folder / "results.parquet", tables.RESULTS)
    for seed, method, training in (
        (0, "none", "few.none-strong-seed0"),
        (1, "random", "few.random-4-seed1-hierarchical-seed1"),
    ):
        for name, path in (("validation", "classes.parquet"), ("test", "evaluations/test/classes.parquet")):
            metrics = tables.read(story.run.training(training) / path, tables.CLASS_METRICS)
            here = results.filter(seed=seed, method=method, set=name)
            classes = here.drop_nulls("class")
            assert classes.select("class", "iou", "labelled_px").equals(metrics.select("class", "iou", "labelled_px"))
            mean = here.filter(pl.col("class").is_null())["iou"].item()
            assert mean == pytest.approx(metrics["iou"].mean())
    assert results.filter(method="random")["images"].unique().to_list() == [4]
    assert results.filter(method="none").select("images", "weak_images", "budget").unique().rows() == [(0, 0, None)]
    found = tables.read(folder / "differences.parquet", tables.DIFFERENCES)
    mean = found.filter(pl.col("class").is_null() & (pl.col("set") == "test"))
    assert mean.select("method", "against", "seeds").rows() == [("random", "none", 2)]
    means = tables.read(folder / "summary.parquet", tables.SUMMARY)
    assert means["seeds"].max() == 2


def test_the_frequencies_are_those_of_the_tables_read(story: Story) -> None:
    run = story.run
    found = tables.read(run.comparison("few") / "frequencies.parquet", tables.FREQUENCIES)
    assert found["of"].unique(maintain_order=True).to_list() == ["pool", "random-4-seed0", "random-4-seed1", "target"]
    boxes = tables.read(run.boxes, tables.BOXES).filter(
        pl.col("is_depiction").ne_missing(True) & pl.col("is_inside").ne_missing(True)
    )
    chosen = tables.read(run.selection_path("random-4-seed1"), tables.SELECTION)
    of_car = boxes.filter(pl.col("class") == "car").join(chosen, on="image_id", how="semi")
    row = found.filter(of="random-4-seed1", **{"class": "car"}).row(0, named=True)
    assert (row["boxes"], row["images"], row["of_images"]) == (of_car.height, of_car["image_id"].n_unique(), 4)
    assert row["boxes_per_image"] == pytest.approx(of_car.height / 4)
    target = found.filter(of="target")
    assert target["strong_share"].sum() == pytest.approx(1)
    assert target["of_images"].unique().to_list() == [4]
    assert target.filter(pl.col("class") == "road")["images"].item() <= 4
    assert (found.filter("rare")["class"].n_unique()) > 0


def test_the_figure_is_drawn_from_the_summary(story: Story) -> None:
    folder = story.run.comparison("few")
    spec = json.loads((folder / "figure.json").read_text())
    means = tables.read(folder / "summary.parquet", tables.SUMMARY)
    want = means.filter((pl.col("set") == "test") & pl.col("class").is_null() & (pl.col("method") == "random"))
    drawn = [row for layer in spec["layer"] for row in layer["data"]["values"] if row.get("method") == "random"]
    assert any("iou_low" in row and row["iou"] == pytest.approx(100 * want["iou"].item()) for row in drawn)
    assert story.ended.summary["figure"] == str(folder / "figure.png")
    for name in ("figure", "frequencies"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / f"{name}.svg").read_text().startswith("<svg")
    assert story.run.recorded().keys() == {"index", "select:random-4-seed0", "select:random-4-seed1"}


def test_a_worker_that_dies_costs_its_job_only_and_leaves_no_lock(run: Run) -> None:
    job = as_job(run, dataclasses.replace(SMALL, name="dies"))
    killer = threading.Thread(target=kill_a_worker)
    with crew(ONE) as workers:
        killer.start()
        (outcome,) = workers.outcomes([job])
    killer.join()
    assert "ended by signal SIGKILL: is memory short? Use fewer workers" in outcome.failure


def kill_a_worker() -> None:
    """End the first worker that any thread of this process starts."""
    while True:
        for task in Path("/proc/self/task").iterdir():
            for child in (task / "children").read_text().split():
                if b"thresher.comparison.job" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(int(child), signal.SIGKILL)
                    return
        time.sleep(0.01)


def test_settings_survive_the_way_to_a_worker(run: Run) -> None:
    settings = dataclasses.replace(SMALL, weights=Path("/a/b.pth"), strong_limit=3, name="x")
    job = as_job(run, settings)
    assert restored(TrainSettings, Job(**json.loads(json.dumps(dataclasses.asdict(job)))).training) == settings


def test_the_time_left_is_of_those_like_it(run: Run) -> None:
    trials = GRID.trials()
    weak, strong = (next(trial for trial in trials if (trial.method == "none") is none) for none in (False, True))
    estimate = TimeEstimate({("hierarchical", True): 100.0, ("strong", False): 10.0}, label_set=7.0)
    assert estimate.left([weak, weak, strong], 1) == 210
    assert estimate.left([weak, strong], 2) == 100  # no training can be shared out
    estimate.add(weak, 50.0)
    assert estimate.left([weak, weak, strong], 1) == 110
    assert estimate.unknown([weak, strong]) == {}
    labelled = dataclasses.replace(weak, mode="labels", labels="few.labels-seed0")
    assert estimate.unknown([labelled]) == {("labels", True): labelled}
    estimate.add(labelled, 30.0)
    assert estimate.left([labelled, labelled, weak], 1) == 30 + 30 + 50 + 7  # both learn from one label set
    estimate.made.add(labelled.labels)
    assert estimate.left([labelled, labelled, weak], 1) == 30 + 30 + 50


def test_words_of_errors(run: Run, tmp_path: Path) -> None:
    assert CompareSettings(methods=("layout, random",), budgets=("3%,10%",)).budgets == ("3%", "10%")
    for settings, words in (
        ({"modes": ("strong",)}, "modes: 'strong' is unknown. Known: hierarchical"),
        ({"baselines": ("some",)}, "baselines: 'some' is unknown. Known: none, unlabelled, all, true"),
        ({"baselines": ("unlabelled",)}, "'unlabelled' are the images of the first method, learnt from in mode labels"),
        ({"baselines": ("true",), "modes": ("labels",)}, "true_masks = FORMAT:ROOT says where the true masks"),
        ({"selections": ("random",)}, "selections: 'random' is also a baseline or a method that draws"),
        ({"label_route": "given"}, "label_route = given: expected a route that uses boxes"),
        ({"margin": 1.0}, "margin = 1.0: expected a share of 0 or more and below 1"),
        ({"seeds": 0}, "seeds = 0: expected 1 or more"),
        ({"name": "a b"}, "name 'a b': expected letters"),
        ({"name": "a.b"}, "name 'a.b': expected no '.'"),
        ({"methods": (), "baselines": ()}, "nothing to train"),
    ):
        with pytest.raises(SettingsError, match=words):
            CompareSettings(**settings)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="selection = 'all': a comparison sets it for each training"):
        compare(run, GRID, dataclasses.replace(SMALL, selection="all"))
    with pytest.raises(SettingsError, match="endpoint: 'carr' is no class of the taxonomy. Did you mean 'car'"):
        compare(run, dataclasses.replace(GRID, endpoint=("carr",)), SMALL)
    with pytest.raises(SettingsError, match="No selection named 'mine'"):
        compare(run, dataclasses.replace(GRID, selections=("mine",), name="much"), SMALL)
    with pytest.raises(SettingsError, match="method 'best': unknown.* Known: "):
        compare(run, dataclasses.replace(GRID, methods=("best",), name="much"), SMALL)
    with pytest.raises(SettingsError, match="budget 400: only 12 images can be chosen"):
        compare(run, dataclasses.replace(GRID, budgets=("400",), name="much"), SMALL)
    with pytest.raises(SettingsError, match="store = s3://b: the workers of a comparison exchange"):
        compare(run, dataclasses.replace(GRID, name="far"), SMALL, engine=EngineSettings(store="s3://b"), dry_run=True)
    with pytest.raises(DataError, match="images.parquet: no such file. `index` writes it: run `thresher index"):
        compare(Run(tmp_path / "new"), GRID, SMALL)


def test_predictions_are_drawn_beside_the_truth(story: Story) -> None:
    drawn = pictures(Record(story.run.comparison("few")))
    assert [path.name for path in drawn] == ["1.png", "2.png"]  # there are two images to validate with
    assert story.ended.summary["predictions"] == 2
    with Image.open(drawn[0]) as sheet:
        # Image, truth, no weak images, random: there is no other method.
        assert sheet.width == 4 * 240 + 10
        colours = {colour for _, colour in sheet.crop((250, 45, 480, 45 + 60)).getcolors(1 << 16)}
    taxonomy = load_taxonomy(str(story.run.taxonomy))
    assert len(colours) > 2 and colours <= {each.colour for each in taxonomy.classes} | {(0, 0, 0)}


def test_a_method_with_coverage_has_selections_of_its_own(run: Run) -> None:
    settings = dataclasses.replace(GRID, methods=("random+clusters", "random"), name="covered")
    images = tables.read(run.images, tables.INDEXED_IMAGES)
    vectors = np.random.default_rng(0).normal(size=(images.height, 8)).astype(np.float16)
    sizes = images.select("image_id", "width_px", "height_px", grid_h=pl.lit(1), grid_w=pl.lit(1))
    looks = sizes.with_columns(vector=pl.Series(vectors, dtype=pl.Array(pl.Float16, 8)))
    tables.write(tables.checked(looks, tables.POOLED, "pooled"), run.pooled)
    made = made_selections(Comparison(run, settings, SMALL))
    assert [(each.selection, each.method, each.seed) for each in made] == [
        ("random+clusters-4-seed0", "random+clusters", 0),
        ("random-4-seed0", "random", 0),
        ("random+clusters-4-seed1", "random+clusters", 1),
        ("random-4-seed1", "random", 1),
    ]
    assert all(selected(run, each.selection).height == 4 for each in made)
