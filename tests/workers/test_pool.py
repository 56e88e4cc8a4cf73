"""Workers that answer, die, fail and are ended; by processes of this machine (Ray: tests/features/test_ray.py)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from thresher.errors import SettingsError
from thresher.workers.line_process import DiedError, LineProcess
from thresher.workers.pool import Answer, pool
from thresher.workers.ray_worker import workers_that_fit
from thresher.workers.settings import EngineSettings

pytestmark = pytest.mark.slow

#: A worker module: each line is a word and what it is about.
ECHO = """
import os, signal, sys, time
from pathlib import Path

def answerer(first_line):
    def answer(line):
        word, _, rest = line.partition(" ")
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "once" and not Path(rest).exists():
            Path(rest).touch()
            os._exit(3)
        if word == "fail":
            raise LookupError(rest)
        if word == "sleep":
            Path(rest).write_text(str(os.getpid()))
            time.sleep(600)
        if word == "wait":
            while not Path(rest).exists():
                time.sleep(0.01)
        if word == "print":
            print("no answer")
            os.system("echo no answer either")
        if word == "threads":
            return os.environ["OMP_NUM_THREADS"]
        return f"{first_line}: {line}"
    return answer
"""
ONE, TWO = EngineSettings(workers=1), EngineSettings(workers=2)


@pytest.fixture(autouse=True)
def echo(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "echo_worker.py").write_text(ECHO)
    source = str(Path(__file__).parents[2] / "src")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), source, *filter(None, sys.path)]))
    yield


def answered(lines: list[str], engine: EngineSettings = TWO, retries: int = 0) -> list[Answer]:
    with pool("echo_worker", "hello", engine) as opened:
        return sorted(opened.answers(lines, retries), key=lambda answer: answer.number)


def test_each_line_gets_its_answer_and_a_pool_takes_lines_again() -> None:
    with pool("echo_worker", "hello", TWO) as opened:
        first = [*opened.answers([f"line {number}" for number in range(5)])]
        assert sorted(answer.number for answer in first) == [0, 1, 2, 3, 4]
        assert all(answer.text == f"hello: line {answer.number}" for answer in first)
        assert [*opened.answers([])] == []
        assert [*opened.answers(["again"])] == [Answer(0, "hello: again")]
        assert opened.size == 2


def test_answers_come_in_the_order_in_which_they_are_ready(tmp_path: Path) -> None:
    with pool("echo_worker", "hello", TWO) as opened:
        answers = opened.answers([f"wait {tmp_path / 'go'}", "quick"])
        assert next(answers).number == 1
        (tmp_path / "go").touch()
        assert next(answers).number == 0


def test_what_libraries_print_is_no_answer_and_they_use_one_thread() -> None:
    assert [answer.text for answer in answered(["print", "threads"], ONE)] == ["hello: print", "1"]


def test_a_worker_that_dies_costs_only_its_line() -> None:
    before, died, after = answered(["before", "die", "after"], ONE)
    assert (before.text, after.text) == ("hello: before", "hello: after")
    assert (died.text, died.died) == ("", "its process was ended by signal SIGKILL: is memory short? Use fewer workers")


def test_a_line_is_tried_again_as_often_as_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    once, other = answered([f"once {tmp_path / 'died'}", "other"], ONE, retries=1)
    assert once.text.startswith("hello: once") and not once.died
    assert other.text == "hello: other"
    assert "a worker died at task 0 (its process ended with exit status 3" in caplog.text
    (always,) = answered(["die"], ONE, retries=2)
    assert "SIGKILL" in always.died
    assert caplog.text.count("a worker died") == 3


def test_a_bug_ends_the_worker_and_shows_its_trace(capfd: pytest.CaptureFixture[str]) -> None:
    failed, after = answered(["fail on purpose", "after"], ONE)
    assert failed.died == "its process ended with exit status 1; its error output is above"
    assert after.text == "hello: after"
    assert "LookupError: on purpose" in capfd.readouterr().err


def test_a_module_that_is_not_there_shows_its_trace(capfd: pytest.CaptureFixture[str]) -> None:
    with pool("no_such_worker", "", ONE) as opened:
        (answer,) = opened.answers(["line"])
    assert "exit status 1" in answer.died
    assert "No module named 'no_such_worker'" in capfd.readouterr().err


def test_workers_are_killed_when_the_block_ends(tmp_path: Path) -> None:
    marks = [tmp_path / "0", tmp_path / "1"]
    with pytest.raises(KeyboardInterrupt), pool("echo_worker", "", EngineSettings(workers=3)) as opened:
        for answer in opened.answers([*(f"sleep {mark}" for mark in marks), f"wait {marks[0]}"]):
            assert answer.number == 2
            while not all(mark.is_file() and mark.read_text() for mark in marks):
                time.sleep(0.01)
            raise KeyboardInterrupt
    for mark in marks:
        with pytest.raises(ProcessLookupError):
            os.kill(int(mark.read_text()), 0)


def test_a_process_is_not_started_after_its_end() -> None:
    process = LineProcess("echo_worker", "hello")
    assert process.answer("line") == "hello: line"
    process.close()
    with pytest.raises(DiedError, match="interrupted"):
        process.answer("line")
    process.close()


def test_workers_fit_by_processors_and_by_gpus() -> None:
    resources = {"CPU": 16.0, "GPU": 2.0}
    assert workers_that_fit(resources, EngineSettings()) == 16
    assert workers_that_fit(resources, EngineSettings(worker_cpus=4)) == 4
    assert workers_that_fit(resources, EngineSettings(worker_gpus=0.25)) == 8
    assert workers_that_fit(resources, EngineSettings(worker_cpus=0, worker_gpus=1)) == 2
    assert workers_that_fit({"CPU": 16.0}, EngineSettings(worker_gpus=1)) == 0


def test_words_of_errors() -> None:
    for settings, words in (
        ({"workers": -1}, "workers = -1: expected 0"),
        ({"worker_cpus": -1.0}, "worker_cpus = -1: expected 0 or more"),
        ({"worker_gpus": -0.5}, "worker_gpus = -0.5: expected 0 or more"),
    ):
        with pytest.raises(SettingsError, match=words):
            EngineSettings(**settings)  # type: ignore[arg-type]
