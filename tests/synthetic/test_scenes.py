from functools import cache

import numpy as np
import pytest

from thresher.synthetic import KINDS, Scene, decoy, street_scene
from thresher.synthetic.camera import Camera
from thresher.synthetic.canvas import Canvas, rectangle, visible_extents
from thresher.synthetic.palette import TRAIN_IDS, VOID
from thresher.synthetic.weather import WEATHERS

WIDTH, HEIGHT, SCENES = 176, 104, 24


@cache
def streets() -> tuple[Scene, ...]:
    return tuple(street_scene(np.random.default_rng([3, number]), WIDTH, HEIGHT) for number in range(SCENES))


@cache
def decoys() -> tuple[Scene, ...]:
    return tuple(decoy(np.random.default_rng([4, number]), KINDS[number % 5], WIDTH, HEIGHT) for number in range(25))


def test_arrays_have_the_promised_shapes_and_types() -> None:
    for scene in (*streets(), *decoys()):
        assert (scene.rgb.shape, scene.rgb.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
        assert (scene.labels.shape, scene.labels.dtype) == ((HEIGHT, WIDTH), np.uint8)
        assert scene.instances.shape == (HEIGHT, WIDTH)
        assert set(np.unique(scene.labels).tolist()) <= {*TRAIN_IDS.values(), VOID}


def test_boxes_are_the_extents_of_visible_pixels() -> None:
    for scene in (*streets(), *decoys()):
        for box in scene.boxes:
            rows, columns = np.nonzero(scene.instances == box.instance)
            expected = [
                columns.min() / WIDTH,
                rows.min() / HEIGHT,
                (columns.max() + 1) / WIDTH,
                (rows.max() + 1) / HEIGHT,
            ]
            assert [box.x0, box.y0, box.x1, box.y1] == pytest.approx(expected, abs=1e-12)


def test_a_thing_half_hidden_and_one_half_outside_are_flagged() -> None:
    canvas = Canvas(40, 20)
    with canvas.thing("Car"):
        canvas.polygon(rectangle(-4.5, 2.5, 9.5, 9.5), (200, 0, 0), "car")
    with canvas.thing("Bus"):
        canvas.polygon(rectangle(15.5, 2.5, 34.5, 9.5), (200, 0, 0), "bus")
    canvas.polygon(rectangle(25.5, 0.5, 39.5, 19.5), (0, 0, 0), "building")
    car, bus = canvas.boxes()
    assert (car.truncated, car.occluded, car.x0, car.x1) == (True, False, 0.0, 10 / 40)
    assert (bus.truncated, bus.occluded, bus.x0, bus.x1) == (False, True, 15 / 40, 25 / 40)


def test_what_is_wholly_hidden_has_no_box() -> None:
    canvas = Canvas(40, 20)
    with canvas.thing("Car"):
        canvas.polygon(rectangle(5, 5, 15, 15), (200, 0, 0), "car")
    canvas.polygon(rectangle(0, 0, 40, 20), (0, 0, 0), "building")
    assert canvas.boxes() == ()


def test_details_change_colours_only() -> None:
    canvas = Canvas(20, 20)
    canvas.polygon(rectangle(0, 0, 20, 20), (10, 10, 10), "road")
    before = canvas.numbers()[0].copy()
    canvas.detail(rectangle(5, 5, 15, 15), (250, 250, 250))
    assert (canvas.numbers()[0] == before).all()
    assert canvas.colours()[10, 10].tolist() == [250, 250, 250]


def test_visible_extents_by_hand() -> None:
    instances = np.zeros((4, 6), dtype=np.uint16)
    instances[1, 2] = instances[3, 4] = 7
    instances[0, 0:3] = 2
    assert visible_extents(instances) == {2: (0, 0, 3, 1, 3), 7: (2, 1, 5, 4, 2)}


def test_a_straight_road_meets_at_the_vanishing_point() -> None:
    camera = Camera(focal_px=200, centre_px=100, horizon_px=50, height_m=1.5)
    assert camera.at(2, 0, 10) == pytest.approx((100 + 200 * 2 / 10, 50 + 200 * 1.5 / 10))
    assert camera.at(3, 0, 1e9) == pytest.approx((100, 50), abs=1e-3)


def test_every_class_of_interest_appears() -> None:
    present = set(np.unique(np.stack([scene.labels for scene in streets()])).tolist())
    assert present >= set(TRAIN_IDS.values()) - {TRAIN_IDS["train"]}
    tram = street_scene(np.random.default_rng(0), WIDTH, HEIGHT, abundance={"train": 1000, "car": 1})
    assert (tram.labels == TRAIN_IDS["train"]).any()


def test_absent_classes_stay_absent() -> None:
    none = dict.fromkeys(("car", "truck", "bus", "train", "motorcycle", "bicycle", "rider", "person"), 0.0)
    for number in range(4):
        scene = street_scene(np.random.default_rng(number), WIDTH, HEIGHT, abundance=none)
        assert not (np.isin(scene.labels, range(11, 19))).any()


def test_streets_have_road_at_the_bottom_and_no_road_at_the_top() -> None:
    below = [scene.labels[-4:, WIDTH // 3 : -WIDTH // 3] for scene in streets()]
    near = [TRAIN_IDS["road"], TRAIN_IDS["car"], TRAIN_IDS["truck"], TRAIN_IDS["bus"]]
    assert np.mean([(np.isin(part, near)).mean() > 0.7 for part in below]) > 0.85
    above = np.stack([scene.labels[: HEIGHT // 4] for scene in streets()])
    assert not np.isin(above, [TRAIN_IDS["road"], TRAIN_IDS["sidewalk"], TRAIN_IDS["terrain"]]).any()
    assert np.mean([(part == TRAIN_IDS["sky"]).any() for part in above]) > 0.85


def test_decoys_have_no_road_and_a_lone_car_is_a_car() -> None:
    for scene in decoys():
        assert not (scene.labels == TRAIN_IDS["road"]).any()
        if scene.kind == "car_object":
            assert [box.label for box in scene.boxes] == ["Car"]
            assert (scene.labels == TRAIN_IDS["car"]).mean() > 0.03


def test_a_painted_car_is_a_depiction_of_no_class() -> None:
    rooms = [decoy(np.random.default_rng(number), "indoor", WIDTH, HEIGHT) for number in range(12)]
    cars = [(room, box) for room in rooms for box in room.boxes if box.label == "Car"]
    assert cars
    for room, box in cars:
        assert box.depiction
        assert (room.labels[room.instances == box.instance] == VOID).all()


@pytest.mark.parametrize("weather", WEATHERS)
def test_weather_shows(weather: str) -> None:
    scene = street_scene(np.random.default_rng(1), WIDTH, HEIGHT, weather=weather)
    assert scene.weather == weather
    if weather == "night":
        day = street_scene(np.random.default_rng(1), WIDTH, HEIGHT, weather="day")
        assert scene.rgb.mean() < 0.6 * day.rgb.mean()


def test_same_seed_same_scene() -> None:
    for make in (lambda rng: street_scene(rng, 96, 64), lambda rng: decoy(rng, "indoor", 96, 64)):
        first, again, other = (make(np.random.default_rng(seed)) for seed in (5, 5, 6))
        assert first.rgb.tobytes() == again.rgb.tobytes()
        assert first.boxes == again.boxes
        assert first.rgb.tobytes() != other.rgb.tobytes()
