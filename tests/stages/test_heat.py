"""Heat maps on demand, from slices written for the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from thresher import tables
from thresher.data.file_states import with_states
from thresher.density.mixture import Mixture, save_mixture
from thresher.errors import DataError
from thresher.features.projection import Projection
from thresher.features.shard_tables import list_shards
from thresher.features.shards import ImageFeatures, slices_of, write_shard
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.run_files import shard_path
from thresher.stages.heat import HeatMaps, mixture_fits


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Two target images of standard normal slices; a pool image like them in its left half, far away in its right."""
    made, rng = Run(tmp_path / "run"), np.random.default_rng(0)
    made.folder.mkdir()
    mixed = rng.normal(size=(4, 4, 3)) * 0.5
    mixed[:, 2:] += 9
    slices = {
        "pool/x": mixed.reshape(16, 3),
        "target/a": rng.normal(size=(16, 3)),
        "target/b": rng.normal(size=(16, 3)),
    }
    features = [
        ImageFeatures(name, 4, 4, 64, 64, values.astype(np.float16), np.zeros(5, np.float16))
        for name, values in slices.items()
    ]
    projection = Projection(np.zeros(5, np.float32), np.eye(3, 5, dtype=np.float32), 1.0)
    write_shard(shard_path(made.slices, 0), features, [], "made up", projection)
    save_mixture(Mixture.standard(3), made.mixture)
    rows: list[dict[str, object]] = [{"image_id": name, "path": "", "role": name.split("/")[0]} for name in slices]
    tables.write(tables.from_rows(rows, tables.INDEXED_IMAGES), made.images)
    list_shards(made, [0], with_states(pl.read_parquet(made.images)), {})
    Image.new("RGB", (64, 64), (128, 128, 128)).save(tmp_path / "grey.png")
    return made


def test_the_half_that_is_like_the_target_is_the_light_one(run: Run, tmp_path: Path) -> None:
    drawn = np.asarray(HeatMaps(OpenedRun(run)).heat("pool/x", tmp_path / "grey.png")).astype(float).sum(axis=2)
    height, width = drawn.shape
    heat = drawn[height // 3 : height // 2, width // 2 + 20 : width - 20]
    left, right = heat[:, : heat.shape[1] // 3].mean(), heat[:, -heat.shape[1] // 3 :].mean()
    assert left > right + 100


def test_log_densities_of_several_images_are_those_of_a_standard_normal(run: Run) -> None:
    found = HeatMaps(OpenedRun(run)).parts({"pool/x", "target/a", "pool/gone"})
    assert set(found) == {"pool/x", "target/a"}
    slices = slices_of(run.slices, {"pool/x"}).slices.astype(float).reshape(4, 4, 3)
    expected = -0.5 * (slices**2).sum(axis=2) - 1.5 * np.log(2 * np.pi)
    assert found["pool/x"] == pytest.approx(expected, rel=1e-4)


def test_a_mixture_of_wider_slices_does_not_fit(run: Run) -> None:
    assert mixture_fits(run, {"pool/x"})
    assert not mixture_fits(run, set())
    save_mixture(Mixture.standard(4), run.mixture)
    assert not mixture_fits(run, {"pool/x"})
    run.mixture.unlink()
    assert not mixture_fits(run, {"pool/x"})


def test_an_image_without_slices_has_words(run: Run, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 1 images has slices"):
        HeatMaps(OpenedRun(run)).heat("pool/gone", tmp_path / "grey.png")
    tables.write(tables.empty(tables.INDEXED_IMAGES), run.images)
    with pytest.raises(DataError, match="the target has no images"):
        HeatMaps(OpenedRun(run))
