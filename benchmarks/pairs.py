"""The pairs of target and pool that scorers are measured on, and what counts as found in each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageOps

from thresher import IndexSettings, Run, embed, index, tables
from thresher.density.layout import origin_of
from thresher.density.scorers import SliceBlock
from thresher.features.projection import load_projection
from thresher.features.shards import slices_of
from thresher.synthetic.dataset import SyntheticSettings, write_dataset

DRIVING = ("camvid", "kitti", "dashcam_cn_voc", "adas_peru_coco", "idd")
STREET = (*DRIVING, "traffic_vn_coco", "traffic_lights_cn_voc", "cctv_yolo", "pennfudan")
#: Labels of the mixed set (Open Images' MIDs): sheep, cattle, horse, bird, cat, dog.
ANIMALS = ("/m/07bgp", "/m/01xq0k1", "/m/03k3r", "/m/015p6", "/m/01yrx", "/m/0bt9lr")
#: Bottle, houseplant, television, couch, chair, table.
ROOMS = ("/m/04dr76w", "/m/03fp41", "/m/07c52", "/m/02crq1", "/m/01mzpv", "/m/0h8n5zk")
SEQUENCES = ("0001TP", "0006R0", "0016E5")


@dataclass(frozen=True)
class Embedded:
    """A run's images with their features; `dataset` tells the two halves of the mixed set apart (idd, voc)."""

    ids: np.ndarray
    dataset: np.ndarray
    images: SliceBlock
    origin: np.ndarray
    facts: pl.DataFrame
    """Table IMAGES."""
    boxes: pl.DataFrame
    """Table BOXES."""

    def subset(self, mask: np.ndarray) -> SliceBlock:
        """The images where the mask is true."""
        whole, lengths = self.images, np.diff(self.images.starts)
        starts = np.concatenate([[0], np.cumsum(lengths[mask])]).astype(np.int64)
        return SliceBlock(whole.slices[np.repeat(mask, lengths)], starts, whole.grids[mask], whole.pooled[mask])


@dataclass(frozen=True)
class Pair:
    """One target, one pool. Masks run over all images of `data`; `truths` name what is to be found in the pool."""

    name: str
    data: Embedded
    target: np.ndarray
    pool: np.ndarray
    truths: dict[str, np.ndarray]
    rare: np.ndarray | None = None
    """Planted rare mode among the positives (night)."""


def embedded(run: Run) -> Embedded:
    """All readable images of a finished run."""
    facts = tables.read(run.images, tables.INDEXED_IMAGES)
    block = slices_of(run.slices, set(facts["image_id"].to_list()))
    ids = block.image_ids
    names = dict(facts.select("image_id", "dataset").iter_rows())
    names |= {name: "idd" if "/idd" in name else "voc" for name in ids if names[name] == "open_images_layout"}
    projection = load_projection(run.projection)
    images = SliceBlock(block.slices, block.starts, block.grids, block.pooled)
    origin = origin_of(projection.mean, projection.axes)
    return Embedded(
        np.array(ids),
        np.array([names[name] for name in ids]),
        images,
        origin,
        facts,
        tables.read(run.boxes, tables.BOXES),
    )


def camvid(data: Embedded) -> Iterator[Pair]:
    """CamVid train against all weak sets."""
    target = data.dataset == "camvid"
    yield Pair("camvid", data, target, ~target, _truths(data))


def sequences(data: Embedded) -> Iterator[Pair]:
    """Two of CamVid's drives are the target; the third is to be found among all weak sets that are not driving."""
    ours, truths = data.dataset == "camvid", _truths(data)
    for name in SEQUENCES:
        third = ours & (np.char.find(data.ids.astype(str), f"/{name}") >= 0)
        found = {"driving": third, "street": third | (truths["street"] & ~truths["driving"])}
        yield Pair(f"camvid without {name}", data, ours & ~third, third | ~truths["driving"], found)


def weak(data: Embedded) -> Iterator[Pair]:
    """Each weak driving set in turn; the pool is everything else, CamVid included."""
    for name in DRIVING[1:]:
        target = data.dataset == name
        yield Pair(name, data, target, ~target, _truths(data))


def street(data: Embedded) -> Iterator[Pair]:
    """Each set of street photographs that no car took in turn; no weight was ever chosen by these."""
    for name in STREET[len(DRIVING) :]:
        target = data.dataset == name
        yield Pair(name, data, target, ~target, {"street": _truths(data)["street"]})


def narrow(data: Embedded) -> Iterator[Pair]:
    """Half of one set is the target, all else the pool: its other half is to be found. Nothing of it is driving.

    Halves of neighbouring ids; of the traffic lights also random halves. Then wide targets whose pool holds five images
    alike. Animals and rooms of the mixed set are told by their boxes.
    """
    for name, members, at_random in _kinds(data):
        rows = np.flatnonzero(members)
        rows = np.random.default_rng(0).permutation(rows) if at_random else rows[np.argsort(data.ids[rows])]
        target = np.zeros(len(members), bool)
        target[rows[: len(rows) // 2]] = True
        yield Pair(name, data, target, ~target, {"own": members & ~target})
    street_like, ours = _truths(data)["street"], np.isin(data.dataset, ("camvid", "idd"))
    target = np.zeros(len(ours), bool)
    target[np.random.default_rng(0).permutation(np.flatnonzero(ours))[:786]] = True
    abroad = np.flatnonzero(np.isin(data.dataset, ("kitti", "dashcam_cn_voc", "adas_peru_coco")))
    for seed in range(3):
        five = np.zeros(len(ours), bool)
        five[np.random.default_rng(seed).permutation(abroad)[:5]] = True
        yield Pair(f"five of driving {seed}", data, target, five | ~street_like, {"own": five})


def _kinds(data: Embedded) -> Iterator[tuple[str, np.ndarray, bool]]:
    sets = ("amenity_indoor_coco", "portraits_voc", "car_photos_coco", "raccoon_voc", "monkeys_voc", "pennfudan")
    for name in (*sets, "traffic_lights_cn_voc", "traffic_vn_coco", "cctv_yolo"):
        yield f"half of {name}", data.dataset == name, False
    yield "random half of traffic_lights_cn_voc", data.dataset == "traffic_lights_cn_voc", True
    boxes = data.boxes.filter(pl.col("image_id").is_in(data.ids[data.dataset == "voc"].tolist()))
    for name, labels in (("animals", ANIMALS), ("rooms", ROOMS)):
        holders = boxes.filter(pl.col("label").is_in(labels))["image_id"].unique().to_list()
        yield f"half of VOC {name}", np.isin(data.ids, holders), False


def turned(data: Embedded) -> Iterator[Pair]:
    """CamVid upright against every fourth image of the other sets, turned by a quarter, or cut to its middle."""
    for way in ("turned", "cropped"):
        with tempfile.TemporaryDirectory() as folder:
            yield _altered(data, way, Path(folder))


def _altered(data: Embedded, way: str, folder: Path) -> Pair:
    pool = data.facts.filter(pl.col("dataset") != "camvid").sort("image_id").gather_every(4)
    names = dict(zip(data.ids.tolist(), data.dataset.tolist(), strict=True))
    for place, (image_id, path) in enumerate(pool.select("image_id", "path").iter_rows()):
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        if way == "turned":
            picture = picture.transpose(Image.Transpose.ROTATE_90)
        else:
            wide, high = picture.size
            picture = picture.crop((wide // 4, high // 4, wide - wide // 4, high - high // 4))
        (folder / "images" / names[image_id]).mkdir(parents=True, exist_ok=True)
        picture.save(folder / "images" / names[image_id] / f"{place:05d}.jpg", quality=92)
    run = Run(folder / "run")
    camvid_root = Path(data.facts.filter(dataset="camvid")["path"][0]).parents[1]
    index(run, IndexSettings((f"masks:{camvid_root}#train",), (f"folder:{folder}/images",), taxonomy="camvid"))
    embed(run)
    made = embedded(run)
    target = made.dataset == "camvid"
    folders = np.array([each.split("/")[-2] for each in made.ids])
    truths = {"driving": np.isin(folders, DRIVING), "street": np.isin(folders, STREET)}
    return Pair(f"camvid, pool {way}", made, target, ~target, truths)


def synthetic(cache: Path | None) -> Iterator[Pair]:
    """Made-up scenes: planted streets, all by day; and with a tenth of target and of the pool's streets at night."""
    with tempfile.TemporaryDirectory() as fresh:
        for name, night in (("synthetic", 0.0), ("synthetic with night", 0.1)):
            yield made_up(name, night, 7, (cache or Path(fresh)) / name.replace(" ", "_"))


def made_up(name: str, night: float, seed: int, folder: Path) -> Pair:
    """100 target scenes and a pool of 800, with that share of nights, written to the folder."""
    made, run = folder / "data", Run(folder / "run")
    settings = SyntheticSettings(seed=seed, target_images=100, pool_images=800, night_share=night)
    write_dataset(made, settings)
    index(run, IndexSettings((f"cityscapes:{made}/cityscapes#train",), (f"open_images:{made}/open_images",)))
    embed(run)
    data = embedded(run)
    truth = pl.read_parquet(made / "truth.parquet")
    shown, dark = (
        np.isin([each.split("/")[-1] for each in data.ids], truth.filter(condition)["image_id"].to_list())
        for condition in (pl.col("is_street"), pl.col("is_street") & (pl.col("weather") == "night"))
    )
    target = data.dataset == "cityscapes"
    return Pair(name, data, target, ~target, {"street": shown}, dark if night else None)


def _truths(data: Embedded) -> dict[str, np.ndarray]:
    return {"driving": np.isin(data.dataset, DRIVING), "street": np.isin(data.dataset, STREET)}


#: Pairs made of the CamVid run's images; `synthetic` makes its own.
PAIRS: dict[str, Callable[[Embedded], Iterator[Pair]]] = {
    "camvid": camvid,
    "sequences": sequences,
    "weak": weak,
    "street": street,
    "narrow": narrow,
    "turned": turned,
}
