"""Objects cut out of a run's images: the crop, which boxes, and that each is worked on once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher.errors import SettingsError
from thresher.features.object_vectors import largest_of_each_class, object_looks
from thresher.features.pixels import object_crop
from thresher.reasons.why import why
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun, selected
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import ScoreSettings, score
from thresher.stages.select import SelectSettings, select
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

#: Colours of made-up objects: a red and a blue kind of car, and a green person; 128 × 96 pixels.
RED, BLUE, GREEN = (220, 20, 20), (20, 20, 220), (20, 220, 20)
#: Of each pool image its objects: class, colour, left edge in pixels (they are 32 × 32, 40 from the top).
POOL = [
    [("car", RED, 8)],
    [("car", RED, 40)],
    [("car", RED, 72), ("person", GREEN, 8)],
    [("car", BLUE, 8)],
    [("car", RED, 8), ("car", RED, 48)],
    [],
]


def test_the_crop_is_the_square_around_the_box_and_stays_in_the_picture() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[40:60, 90:130] = 255  # 40 × 20 pixels: the square is of 48, rows 26 to 74, columns 86 to 134
    seen = object_crop(pixels, (0.45, 0.4, 0.65, 0.6), 96)
    assert seen.shape == (96, 96, 3)
    assert np.flatnonzero(seen[48, :, 0] > 128).tolist() == list(range(8, 88))
    assert np.flatnonzero(seen[:, 48, 0] > 128).tolist() == list(range(28, 68))
    assert object_crop(pixels, (0.98, 0.0, 1.0, 0.02), 64).shape == (64, 64, 3)  # in a corner: 32 pixels, moved inside
    assert object_crop(pixels, (0.0, 0.0, 1.0, 1.0), 64).shape == (64, 128, 3)  # all of it: cut where it ends


def test_of_each_class_the_largest_come_first_whatever_their_order() -> None:
    rows = [("a", "car", size) for size in (0.1, 0.3, 0.2, 0.005)] + [("a", "person", 0.15), ("b", "car", 0.1)]
    boxes = pl.DataFrame(
        [{"image_id": name, "class": kind, "x0": 0.0, "y0": 0.0, "x1": size, "y1": size} for name, kind, size in rows]
    )
    found = largest_of_each_class(boxes, 3, of_class=2)
    assert found.select("image_id", "class", "x1").rows() == [
        ("a", "car", 0.3),
        ("a", "person", 0.15),
        ("a", "car", 0.2),
        ("b", "car", 0.1),
    ]
    assert largest_of_each_class(boxes.reverse(), 3, of_class=2).equals(found)
    assert (
        largest_of_each_class(boxes, 9, 9)["x1"].min() == 0.1
    )  # below a ten-thousandth of the image nothing is cut out


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_network: Path) -> Run:
    """A pool with boxes, of which the last image's file is replaced once it is embedded; a target with masks."""
    root = tmp_path_factory.mktemp("objects")
    entries, annotations = [], []
    for folder in ("pool/data", "target/images", "target/masks"):
        (root / folder).mkdir(parents=True)
    for number, held in enumerate(POOL):
        pixels = np.full((96, 128, 3), 100, np.uint8)
        for kind, colour, left in held:
            pixels[40:72, left : left + 32] = colour
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": 1 + (kind == "person")}
                | {"bbox": [left, 40, 32, 32], "area": 1024, "iscrowd": 0}
            )
        Image.fromarray(pixels).save(root / f"pool/data/{number}.png")
        entries.append({"id": number, "file_name": f"{number}.png", "width": 128, "height": 96})
    names = [{"id": 1, "name": "car"}, {"id": 2, "name": "person"}]
    content = {"images": entries, "annotations": annotations, "categories": names}
    (root / "pool/labels.json").write_text(json.dumps(content))
    for number in range(8):
        pixels, mask = np.full((96, 128, 3), 100 + number, np.uint8), np.zeros((96, 128), np.uint8)
        pixels[40:72, 40:72], mask[40:72, 40:72] = BLUE, 8  # camvid: car
        Image.fromarray(pixels).save(root / f"target/images/{number}.png")
        Image.fromarray(mask).save(root / f"target/masks/{number}.png")
    made = Run(root / "run")
    index(made, IndexSettings((f"masks:{root}/target",), (f"coco:{root}/pool",), taxonomy="camvid"))
    embed(made, EmbedSettings(backbone=str(tiny_network), short_side=64))
    score(made, ScoreSettings(scores="diversity"))
    return made


def chosen(run: Run, budget: int = 2, **more: object) -> list[int]:
    select(run, SelectSettings(method="diversity", coverage="objects", budget=str(budget), name="o", **more))  # type: ignore[arg-type]
    return [int(each.rpartition("/")[2]) for each in selected(run, "o")["image_id"]]


def files(run: Run) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in run.objects.iterdir()}


def test_objects_are_covered_class_by_class_and_cut_out_once(run: Run) -> None:
    planned = select(run, SelectSettings(method="diversity", coverage="objects", budget="2"), dry_run=True).summary
    assert (planned["objects"], planned["to_cut_out"]) == (
        6 + 8,
        6 + 8,
    )  # of each class the largest, and a part of each mask
    assert planned["seconds"] > 0.3
    object_looks(OpenedRun(run), OpenedRun(run).pool["image_id"].to_list(), EngineSettings(workers=1))
    # The only person, the rarest class, first; then the blue car, as the target's are, of which the pool has one.
    assert chosen(run, shortlist="100%") == [2, 3]
    before = files(run)
    assert len(before) == 1
    assert chosen(run, 3, shortlist="100%")[:2] == [2, 3]
    assert files(run) == before
    again = select(run, SelectSettings(method="diversity", coverage="objects", budget="2"), dry_run=True).summary
    assert again["to_cut_out"] == 0
    told = str(why(run, "o", "pool/data/3"))
    assert "its objects add to how well the objects of their classes are covered" in told
    assert chosen(run, 2, shortlist="100%") == [2, 3]
    assert "the objects of others add more to what is covered" in str(why(run, "o", "pool/data/0"))


def test_what_is_damaged_is_made_again_and_a_bad_image_costs_itself(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    opened = OpenedRun(run)
    ids = opened.pool["image_id"].to_list()
    whole = object_looks(opened, ids)
    (part,) = run.objects.iterdir()
    part.write_bytes(part.read_bytes()[:-9])
    victim = Path(opened.pool.filter(image_id=ids[3])["path"][0])
    kept = victim.read_bytes()
    victim.write_bytes(b"no image")
    try:
        found = object_looks(opened, ids, EngineSettings(workers=1))
    finally:
        victim.write_bytes(kept)
    assert "damaged; its images are cut out again" in caplog.text
    assert "the objects of 1 images could not be cut out" in caplog.text
    assert whole.pool.join(found.pool, on=["image_id", "class"], how="anti")["image_id"].to_list() == [ids[3]]
    rows = [each.pool.filter(image_id=ids[2])["row"].to_list() for each in (whole, found)]
    np.testing.assert_array_equal(whole.vectors[rows[0]], found.vectors[rows[1]])
    assert found.target.height == 8


def test_vectors_of_ones_own_have_no_backbone(run: Run, tmp_path: Path) -> None:
    recorded = run.recorded()
    opened = OpenedRun(run)
    opened.recorded = recorded | {"embed": recorded["embed"] | {"settings": {"vectors": "mine.parquet"}}}
    with pytest.raises(SettingsError, match=r"the vectors of this run are your own\. Use by_class or images"):
        object_looks(opened, [])
