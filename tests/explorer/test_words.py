"""Looking for words: a text encoder of the run's space orders the pool, and one of another is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thresher import tables
from thresher.errors import SettingsError
from thresher.explorer.answers import Answers
from thresher.explorer.explore import ExploreSettings, explorer
from thresher.explorer.review import Review
from thresher.explorer.rows import run_rows
from thresher.features.words import TextEncoder, text_encoder_of_width
from thresher.run.folder import Run
from thresher.run.opened import OpenedRun
from thresher.stages.select import SelectSettings

pytest.importorskip("tokenizers", reason="the optional part text is not installed here")

WIDTH = 6
#: The vectors of nothing, tram, night and rain, to encoder and tokenizer.
TextFiles = Callable[..., tuple[Path, Path]]
ASK = {"method": "layout", "budget": "12", "coverage": "off", "view": "all", "most": 120}


def unit(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found


def test_words_order_the_pool_by_cosine(
    hostile_run: Callable[[Path], Run], text_files: TextFiles, tmp_path: Path
) -> None:
    run = hostile_run(tmp_path)
    pool = unit(tables.read(run.pooled, tables.POOLED).head(60)["vector"].to_numpy().astype(np.float64))
    vectors = np.stack([np.zeros(WIDTH), pool[17], pool[41], -pool[17]])
    words = text_encoder_of_width(*text_files(tmp_path, vectors), WIDTH)
    answers = Answers(run_rows(OpenedRun(run)), Review("ada"), SelectSettings(coverage="off"), words)
    assert answers.summary()["query"]["words"] is True

    def found(text: str) -> list[int]:
        return [card["row"] for card in answers.gallery({**ASK, "query": {"words": text}})["cards"]]

    assert found("a TRAM")[0] == 17 and found("rain")[-1] == 17
    both = np.argsort(-(pool @ unit(pool[17] + pool[41])), kind="stable")
    assert found("a tram at night") == both.tolist()
    with pytest.raises(SettingsError, match="words: 0 characters; expected 1 to 1,000"):
        found("  ")
    without = Answers(run_rows(OpenedRun(run)), Review("ada"), SelectSettings(coverage="off"))
    assert without.summary()["query"]["words"] is False
    with pytest.raises(SettingsError, match=r"opened without a text encoder.*--text-encoder FILE.onnx --tokenizer"):
        without.gallery({**ASK, "query": {"words": "a tram"}})


def test_texts_are_cut_and_filled_to_the_length_of_an_encoder_that_takes_one(
    text_files: TextFiles, tmp_path: Path
) -> None:
    vectors = np.concatenate([np.ones((1, WIDTH)), np.eye(3, WIDTH)])  # filling would show: its vector is not 0
    words = TextEncoder(*text_files(tmp_path, vectors, length=4, masked=True))
    assert words.vector("tram") == pytest.approx(np.eye(WIDTH)[0])
    assert words.vector("tram tram tram tram night night") == pytest.approx(np.eye(WIDTH)[0])


def test_what_cannot_be_a_text_encoder_is_refused_in_words(
    hostile_run: Callable[[Path], Run], text_files: TextFiles, tmp_path: Path
) -> None:
    run = hostile_run(tmp_path)
    wide, tokenizer = text_files(tmp_path, np.ones((4, 9)))
    with pytest.raises(SettingsError, match="its vectors have 9 numbers, those of this run's images 6"):
        explorer(run, ExploreSettings(text_encoder=wide, tokenizer=tokenizer))
    with pytest.raises(SettingsError, match=r"tokenizer = .*text.onnx: not a tokenizer \("):
        TextEncoder(wide, wide)
    with pytest.raises(SettingsError, match=r"text_encoder = .*tokenizer.json: cannot be opened \("):
        TextEncoder(tokenizer, tokenizer)
    with pytest.raises(SettingsError, match=r"tokenizer = nowhere.json: no such file"):
        TextEncoder(wide, Path("nowhere.json"))
    with pytest.raises(SettingsError, match=r"text_encoder = .*text.onnx: expected text_encoder and tokenizer togeth"):
        ExploreSettings(text_encoder=wide)
    short, _ = text_files(tmp_path / "run", np.ones((1, WIDTH)))  # the other words' numbers lead outside
    with pytest.raises(SettingsError, match=r"text.onnx: fails on “tram” \("):
        TextEncoder(short, tokenizer).vector("tram")
