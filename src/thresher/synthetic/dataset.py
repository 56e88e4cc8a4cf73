"""A made-up target and pool on disk, in the layouts of Cityscapes and Open Images, with the truth beside them."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from thresher.errors import DataError, SettingsError
from thresher.settings import Texts, converted, default
from thresher.synthetic.canvas import LEAST_PIXELS, Scene
from thresher.synthetic.decoys import KINDS, decoy
from thresher.synthetic.duplicates import near_duplicate
from thresher.synthetic.open_images import (
    annotation_rows,
    boxes_csv,
    descriptions_csv,
    hierarchy_json,
)
from thresher.synthetic.palette import TRAIN_IDS
from thresher.synthetic.street import street_scene
from thresher.synthetic.weather import DAY_WEATHERS

#: Raise it when the same settings give other pictures than before: then old folders are no longer taken for new.
FORMAT = 1
#: The classes whose things are counted, and which may be rare.
COUNTED = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
#: How often rare classes come in the target, relative to the pool.
RARE = 0.13
#: Source: cityscapesScripts labels.py, columns trainId and id; void becomes 0, "unlabeled".
LABEL_IDS = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
#: Shapes of the pool's photos (width over height) and how common they are, for streets and decoys alike.
ASPECTS = {16 / 9: 0.36, 3 / 2: 0.2, 4 / 3: 0.26, 1.0: 0.04, 3 / 4: 0.09, 2 / 3: 0.05}
DECOY_SHARES = {"indoor": 0.3, "object": 0.2, "car_object": 0.15, "texture": 0.15, "nature": 0.2}
# Each purpose has its own stream of chance, so that more pool images do not change the target.
_PLAN, _TARGET, _POOL, _ANNOTATION, _COPY = range(5)


@converted
@dataclass(frozen=True)
class SyntheticSettings:
    """How much is made up, and what is planted in it."""

    seed: int = 0
    """The same seed and settings give the same bytes."""
    target_images: int = 60
    """Street scenes with a label for every pixel, in the Cityscapes layout, split `train`."""
    val_images: int = 20
    """More of the same, split `val`."""
    pool_images: int = 400
    """Images with boxes only, in the Open Images layout."""
    street_share: float = 0.2
    """Share of the pool that shows streets, 0..1; the rest are decoys."""
    duplicate_share: float = 0.05
    """Share of the pool's street images that are near-duplicates of another of them, 0..1."""
    rare_in_target: Texts = default(("bus", "truck", "bicycle", "rider"))
    """Classes about eight times rarer in the target's images than in the pool's street images."""
    night_share: float = 0.0
    """Share at night, 0..1, of the target's images and of the pool's street images."""
    width_px: int = 256
    """Width of the target's images; the pool's vary around it."""
    height_px: int = 144
    """Height of the target's images; the pool's vary around it."""

    def __post_init__(self) -> None:
        """Raise SettingsError where a value cannot be used."""
        for name in ("target_images", "val_images", "pool_images", "seed"):
            if getattr(self, name) < 0:
                raise SettingsError(f"synthetic: {name} is {getattr(self, name)}; expected 0 or more.")
        for name in ("street_share", "duplicate_share", "night_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise SettingsError(f"synthetic: {name} is {getattr(self, name)}; expected a share from 0 to 1.")
        for name in ("width_px", "height_px"):
            if not 64 <= getattr(self, name) <= 2048:
                raise SettingsError(f"synthetic: {name} is {getattr(self, name)}; expected 64 to 2048 pixels.")
        unknown = [name for name in self.rare_in_target if name not in COUNTED]
        if unknown:
            raise SettingsError(
                f"synthetic: rare_in_target holds '{unknown[0]}'; expected any of {', '.join(COUNTED)}."
            )


@dataclass(frozen=True)
class _Plan:
    """One pool image to be made: `copy_of` is the position of the image that it nearly duplicates."""

    image_id: str
    kind: str
    weather: str | None
    width_px: int
    height_px: int
    copy_of: int | None = None


def write_dataset(root: Path, settings: SyntheticSettings) -> None:
    """Make up a target and a pool under `root`, whole or not at all; nothing happens if they are there already.

    `root` gets `cityscapes/` (target), `open_images/` (pool), `truth.parquet` (a row per pool image: image_id, kind,
    is_street, weather, duplicate_of, and how many things of each counted class can be seen), `truth_target.parquet`
    and `settings.json`.

    Raises:
        DataError: `root` holds something else, or was made with other settings.
    """
    if _already_there(root, settings):
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    # Built beside its place and then renamed, so that a folder under its final name is always complete.
    building = root.parent / f".{root.name}.{os.getpid()}"
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir()
        _write_target(building, settings)
        _write_pool(building, settings)
        (building / "settings.json").write_text(json.dumps(_recorded(settings), indent=2) + "\n")
        if root.exists():
            root.rmdir()
        os.replace(building, root)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _recorded(settings: SyntheticSettings) -> dict[str, object]:
    recorded: dict[str, object] = json.loads(json.dumps({"format": FORMAT, **dataclasses.asdict(settings)}))
    return recorded


def _already_there(root: Path, settings: SyntheticSettings) -> bool:
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    remedy = "Delete it or choose another folder."
    try:
        found = json.loads((root / "settings.json").read_text())
    except (OSError, ValueError):
        what = "a folder with other things in it" if root.is_dir() else "a file"
        raise DataError(f"{root}: expected a made-up dataset or nothing, found {what}. {remedy}") from None
    wanted = _recorded(settings)
    if found == wanted:
        return True
    if not isinstance(found, dict) or "format" not in found:
        raise DataError(f"{root}/settings.json: not the settings of a made-up dataset. {remedy}")
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    first = (differing or sorted(set(found) - set(wanted)))[0]
    raise DataError(
        f"{root}: holds a dataset made with other settings ({first}: found {found.get(first)}, "
        f"expected {wanted.get(first)}). {remedy}"
    )


def _write_target(root: Path, settings: SyntheticSettings) -> None:
    abundance = {name: RARE for name in settings.rare_in_target}
    to_label_ids = np.zeros(256, dtype=np.uint8)
    for name, train_id in TRAIN_IDS.items():
        to_label_ids[train_id] = LABEL_IDS[name]
    rows = []
    weathers = _weathers(
        _stream(settings, _PLAN, 1), settings.target_images + settings.val_images, settings.night_share
    )
    for number, weather in enumerate(weathers):
        split = "train" if number < settings.target_images else "val"
        rng = _stream(settings, _TARGET, number)
        scene = street_scene(rng, settings.width_px, settings.height_px, weather=weather, abundance=abundance)
        image_id = f"synthetic_{number:06d}_000000"
        images = root / "cityscapes" / "leftImg8bit" / split / "synthetic"
        labels = root / "cityscapes" / "gtFine" / split / "synthetic"
        for folder in (images, labels):
            folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.rgb).save(images / f"{image_id}_leftImg8bit.png", compress_level=2)
        Image.fromarray(scene.labels).save(labels / f"{image_id}_gtFine_labelTrainIds.png")
        Image.fromarray(to_label_ids[scene.labels]).save(labels / f"{image_id}_gtFine_labelIds.png")
        rows.append({"image_id": image_id, "split": split, "weather": scene.weather, **thing_counts(scene)})
    schema = {"image_id": pl.String, "split": pl.String, "weather": pl.String, **_COUNT_COLUMNS}
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(root / "truth_target.parquet")


def _write_pool(root: Path, settings: SyntheticSettings) -> None:
    folder = root / "open_images"
    (folder / "images").mkdir(parents=True)
    boxes, truth = [], []
    plans = _pool_plans(settings)
    for number, (plan, scene) in enumerate(zip(plans, _pool_scenes(settings, plans), strict=True)):
        rng = _stream(settings, _ANNOTATION, number)
        image = Image.fromarray(scene.rgb)
        image.save(folder / "images" / f"{plan.image_id}.jpg", quality=int(rng.integers(68, 96)))
        boxes += annotation_rows(scene, plan.image_id, rng)
        truth.append(
            {
                "image_id": plan.image_id,
                "kind": plan.kind,
                "is_street": plan.kind == "street",
                "weather": scene.weather,
                "duplicate_of": None if plan.copy_of is None else plans[plan.copy_of].image_id,
                **thing_counts(scene),
            }
        )
    # In the order of the ids, which are random: the order of rows must not tell streets from decoys.
    boxes.sort(key=lambda row: str(row["ImageID"]))
    (folder / "train-annotations-bbox.csv").write_bytes(boxes_csv(boxes))
    (folder / "class-descriptions-boxable.csv").write_bytes(descriptions_csv())
    (folder / "bbox_labels_600_hierarchy.json").write_bytes(hierarchy_json())
    text = ("image_id", "kind", "weather", "duplicate_of")
    schema = {name: pl.Boolean if name not in text else pl.String for name in (*text[:2], "is_street", *text[2:])}
    table = pl.DataFrame(truth, schema={**schema, **_COUNT_COLUMNS}, orient="row")
    table.sort("image_id").write_parquet(root / "truth.parquet")


def _pool_plans(settings: SyntheticSettings) -> list[_Plan]:
    """What each pool image will be. Duplicates come last among the streets, after their originals."""
    rng = _stream(settings, _PLAN, 2)
    total = settings.pool_images
    streets = round(settings.street_share * total)
    copies = min(round(settings.duplicate_share * streets), max(streets - 1, 0))
    originals = streets - copies
    weathers = _weathers(rng, originals, settings.night_share)
    kinds = _apportioned(DECOY_SHARES, total - streets)
    ids = _unique_ids(rng, total)
    plans = []
    for number in range(total):
        width, height = _size(rng, settings)
        if number < originals:
            plans.append(_Plan(ids[number], "street", weathers[number], width, height))
        elif number < streets:
            first = int(rng.integers(originals))
            plans.append(dataclasses.replace(plans[first], image_id=ids[number], copy_of=first))
        else:
            plans.append(_Plan(ids[number], kinds[number - streets], None, width, height))
    return plans


def _pool_scenes(settings: SyntheticSettings, plans: list[_Plan]) -> Iterator[Scene]:
    for number, plan in enumerate(plans):
        if plan.kind != "street":
            yield decoy(_stream(settings, _POOL, number), plan.kind, plan.width_px, plan.height_px)
            continue
        # A duplicate starts from its original's stream: drawn again rather than kept in memory.
        rng = _stream(settings, _POOL, number if plan.copy_of is None else plan.copy_of)
        scene = street_scene(rng, plan.width_px, plan.height_px, weather=plan.weather)
        yield scene if plan.copy_of is None else near_duplicate(_stream(settings, _COPY, number), scene)


def _stream(settings: SyntheticSettings, purpose: int, number: int) -> np.random.Generator:
    return np.random.default_rng([settings.seed, purpose, number])


def _weathers(rng: np.random.Generator, images: int, night_share: float) -> list[str]:
    nights = round(night_share * images)
    drawn = ["night"] * nights + rng.choice(list(DAY_WEATHERS), images - nights, p=list(DAY_WEATHERS.values())).tolist()
    return [drawn[place] for place in rng.permutation(images).tolist()]


def _apportioned(shares: dict[str, float], total: int) -> list[str]:
    # Rounding down each share leaves a few over; they go to the kinds in turn.
    names = [name for name, share in shares.items() for _ in range(int(share * total))]
    return names + [KINDS[number % len(KINDS)] for number in range(total - len(names))]


def _unique_ids(rng: np.random.Generator, total: int) -> list[str]:
    ids: dict[str, None] = {}  # a dict keeps the order
    while len(ids) < total:
        ids[rng.bytes(8).hex()] = None
    return list(ids)


def _size(rng: np.random.Generator, settings: SyntheticSettings) -> tuple[int, int]:
    aspect = float(rng.choice(list(ASPECTS), p=list(ASPECTS.values())))
    area = settings.width_px * settings.height_px * rng.uniform(0.85, 1.35)
    return round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)


_COUNT_COLUMNS = dict.fromkeys(COUNTED, pl.Int64)


def thing_counts(scene: Scene) -> dict[str, int]:
    """How many things of each counted class can be seen; depictions and specks do not count."""
    pairs = scene.instances.astype(np.uint32) << 8 | scene.labels
    found, pixels = np.unique(pairs[scene.instances > 0], return_counts=True)
    classes = (found[pixels >= LEAST_PIXELS] & 255).tolist()
    return {name: classes.count(TRAIN_IDS[name]) for name in COUNTED}
