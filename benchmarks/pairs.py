"""The pairs of target and pool that scorers are measured on, and what counts as found in each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from thresher import IndexSettings, Run, embed, index, tables
from thresher.density.layout import origin_of
from thresher.density.scorers import SliceBlock
from thresher.features.projection import load_projection
from thresher.features.shards import slices_of
from thresher.synthetic.dataset import SyntheticSettings, write_dataset

DRIVING = ("camvid", "kitti", "dashcam_cn_voc", "adas_peru_coco", "idd")
STREET = (*DRIVING, "traffic_vn_coco", "traffic_lights_cn_voc", "cctv_yolo", "pennfudan")
SEQUENCES = ("0001TP", "0006R0", "0016E5")


@dataclass(frozen=True)
class Embedded:
    """A run's images with their features; `dataset` tells the two halves of the mixed set apart (idd, voc)."""

    ids: np.ndarray
    dataset: np.ndarray
    images: SliceBlock
    origin: np.ndarray

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
    return Embedded(np.array(ids), np.array([names[name] for name in ids]), images, origin)


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
}
