"""A run of made-up streets that comparisons can choose from at random."""

from __future__ import annotations

import pytest

from thresher import tables
from thresher.run.folder import Run
from thresher.stages.index import IndexSettings, index
from thresher.synthetic.dataset import SyntheticSettings, write_dataset


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    root = tmp_path_factory.mktemp("scenes") / "made_up"
    write_dataset(root, SyntheticSettings(target_images=4, val_images=2, pool_images=12, street_share=0.6))
    run = Run(tmp_path_factory.mktemp("run"))
    index(run, IndexSettings((f"cityscapes:{root / 'cityscapes'}",), (f"open_images:{root / 'open_images'}",)))
    pool = tables.read(run.images, tables.INDEXED_IMAGES).filter(role="pool")["image_id"]
    tables.write(tables.from_rows([{"image_id": name} for name in pool], tables.SCORES), run.scores_path)
    return run
