from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from thresher.density.fitted_scorers import alike_share_of, load_fitted_scorers, save_fitted_scorers
from thresher.density.layout import QuerySettings
from thresher.density.mixture import Mixture
from thresher.density.scorers import FittedScorers
from thresher.density.sphere import Sphere
from thresher.errors import DataError


def evidence() -> FittedScorers:
    rng = np.random.default_rng(0)
    sphere = Sphere(np.ones(1), rng.normal(size=(1, 5)), np.ones(1))
    return FittedScorers(
        mixture=Mixture.standard(d=4),
        pool_mixture=Mixture(np.ones(1), rng.normal(size=(1, 4)), np.ones((1, 4))),
        sphere=sphere,
        pooled_sphere=sphere,
        pooled=rng.normal(size=(3, 6)).astype(np.float16),
        origin=rng.normal(size=5),
        rows_query=rng.normal(size=8),
        query=rng.normal(size=8),
        held_out_nats=rng.normal(size=3),
        query_settings=QuerySettings(towards_top=0.25),
        alike_share=0.25,
    )


def test_saved_evidence_comes_back_as_it_was(tmp_path: Path) -> None:
    saved = evidence()
    save_fitted_scorers(saved, tmp_path / "evidence.safetensors")
    back = load_fitted_scorers(tmp_path / "evidence.safetensors", saved.mixture, saved.pooled)
    assert back.query_settings == saved.query_settings
    assert back.alike_share == alike_share_of(tmp_path / "evidence.safetensors") == 0.25
    for field in fields(FittedScorers):
        ours, theirs = getattr(saved, field.name), getattr(back, field.name)
        if isinstance(ours, np.ndarray):
            np.testing.assert_array_equal(theirs, ours)
        elif isinstance(ours, Mixture | Sphere):
            for name, value in vars(ours).items():
                np.testing.assert_array_equal(getattr(theirs, name), value)


def test_words_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="evidence.safetensors: no such file. .fit. writes it: run .thresher fit"):
        load_fitted_scorers(tmp_path / "evidence.safetensors", Mixture.standard(d=4), np.ones((1, 6)))
