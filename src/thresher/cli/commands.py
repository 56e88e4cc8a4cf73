"""One short function per command: call a stage, print its summary, give an exit code."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from thresher.cli.demo import DemoSettings, demo
from thresher.cli.doctor import doctor
from thresher.cli.main import EXIT_OK, EXIT_SOME_FAILED
from thresher.cli.run_file import load_run_file, run_all
from thresher.comparison.compare import compare
from thresher.comparison.settings import CompareSettings
from thresher.explorer.explore import ExploreSettings, explore, is_loopback
from thresher.report.report import ReportSettings, write_report
from thresher.run.folder import Run
from thresher.run.perform import StageResult, Track
from thresher.settings import converted
from thresher.stages.embed import EmbedSettings, embed, merge
from thresher.stages.export import export
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.insight import InsightSettings, insight
from thresher.stages.score import ScoreSettings, score
from thresher.stages.select import SelectSettings, select
from thresher.stages.sheet import sheet
from thresher.training.evaluate import EvaluateSettings, evaluate
from thresher.training.export_network import export_network
from thresher.training.predict import predict
from thresher.training.settings import TrainSettings
from thresher.training.train import train
from thresher.workers.settings import EngineSettings

SCHEMA_VERSION = 1
#: Settings become flags of their own: --components, not --settings.components.
FLAT = Parameter(name="*", negative="")
RunFolder = Annotated[Path, Parameter(help="The run's folder.")]
Training = Annotated[str, Parameter(help="The training's name.")]
Engine = Annotated[EngineSettings, FLAT]


@Parameter(name="*")
@dataclass(frozen=True)
class Output:
    """How a command reports."""

    json: Annotated[bool, Parameter(negative="")] = False
    """Print one JSON object on stdout instead of words."""
    dry_run: Annotated[bool, Parameter(negative="")] = False
    """Say what would be done, with bytes and rough time, and do nothing."""


def index_command(run: RunFolder, *, settings: Annotated[IndexSettings, FLAT], output: Output = Output()) -> int:
    """Read annotations and image files of target and pool into tables."""
    return _told([index(Run(run), settings, dry_run=output.dry_run, track=_track())], output)


def embed_command(
    run: RunFolder,
    *,
    settings: Annotated[EmbedSettings, FLAT] = EmbedSettings(),
    output: Output = Output(),
    engine: Engine = EngineSettings(),
    shard: Annotated[str, Parameter(help="I/N: the I-th of N jobs' part of the work; then merge.")] = "",
) -> int:
    """Run every image through the backbone and keep its slices."""
    done = embed(Run(run), settings, engine=engine, shard=shard, dry_run=output.dry_run, track=_track())
    return _told([done], output)


def merge_command(
    run: RunFolder, *, settings: Annotated[EmbedSettings, FLAT] = EmbedSettings(), output: Output = Output()
) -> int:
    """Complete embed from the shards that jobs made apart; give the settings that they had."""
    return _told([merge(Run(run), settings)], output)


def fit_command(
    run: RunFolder, *, settings: Annotated[FitSettings, FLAT] = FitSettings(), output: Output = Output()
) -> int:
    """Fit the mixture to the target's slices."""
    return _told([fit(Run(run), settings, dry_run=output.dry_run, track=_track())], output)


def score_command(
    run: RunFolder, *, settings: Annotated[ScoreSettings, FLAT] = ScoreSettings(), output: Output = Output()
) -> int:
    """Measure similarity and diversity of every pool image."""
    return _told([score(Run(run), settings, dry_run=output.dry_run, track=_track())], output)


def select_command(
    run: RunFolder, *, settings: Annotated[SelectSettings, FLAT] = SelectSettings(), output: Output = Output()
) -> int:
    """Choose images, and say why each was chosen."""
    return _told([select(Run(run), settings, dry_run=output.dry_run)], output)


def sheet_command(
    run: RunFolder,
    name: Annotated[str, Parameter(help="The selection's name.")],
    *,
    images: Annotated[int, Parameter(help="How many to draw, best first.")] = 48,
    columns: Annotated[int, Parameter(help="Images in one row.")] = 8,
    out: Annotated[Path | None, Parameter(help="The PNG to write; RUN/sheets/NAME.png by default.")] = None,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
) -> int:
    """Draw the first images of a selection as one PNG."""
    return _told([sheet(Run(run), name, images=images, columns=columns, out=out)], Output(json=json))


def insight_command(
    run: RunFolder, *, settings: Annotated[InsightSettings, FLAT] = InsightSettings(), output: Output = Output()
) -> int:
    """Show what the mixture learnt and how far the pool is from the target."""
    return _told([insight(Run(run), settings, dry_run=output.dry_run, track=_track())], output)


def report_command(
    run: RunFolder, *, settings: Annotated[ReportSettings, FLAT] = ReportSettings(), output: Output = Output()
) -> int:
    """Write one HTML page on all that was done, to look at offline and to send around."""
    return _told([write_report(Run(run), settings, dry_run=output.dry_run, track=_track())], output)


def explore_command(run: RunFolder, *, settings: Annotated[ExploreSettings, FLAT] = ExploreSettings()) -> int:
    """Look at a selection in the browser, change it by sliders and by hand, save it and export it; Ctrl-C ends it."""

    def opened(address: str) -> None:
        if not is_loopback(settings.host):
            print(f"Anyone who can reach {settings.host} sees these images and can save selections.", file=sys.stderr)
        print(f"explore: {address}", flush=True)

    explore(Run(run), settings, opened=opened)
    return EXIT_OK


def train_command(
    run: RunFolder, *, settings: Annotated[TrainSettings, FLAT] = TrainSettings(), output: Output = Output()
) -> int:
    """Train a segmentation network on the target's masks and the boxes of a selection, and measure it."""
    if os.environ.get("RANK", "0") != "0":  # of several processes the first one speaks
        train(Run(run), settings, dry_run=output.dry_run)
        return EXIT_OK
    return _told([train(Run(run), settings, dry_run=output.dry_run, track=_track())], output)


def evaluate_command(run: RunFolder, settings: Annotated[EvaluateSettings, FLAT], *, output: Output = Output()) -> int:
    """Measure a trained network on images with masks: IoU of each class, and which class is taken for which."""
    return _told([evaluate(Run(run), settings, dry_run=output.dry_run, track=_track())], output)


def predict_command(
    run: RunFolder,
    training: Training,
    images: Annotated[Path, Parameter(help="An image, or a folder of images at any depth.")],
    *,
    output: Output = Output(),
    out: Annotated[Path, Parameter(help="Folder that gets masks/, overlays/ and, if any failed, problems.parquet.")],
) -> int:
    """Draw what a trained network decides on an image or a folder of them: masks and overlays."""
    done = predict(Run(run), training, images, out, dry_run=output.dry_run, track=_track())
    return _told([done], output, where=f"{out / 'problems.parquet'}")


def export_network_command(
    run: RunFolder,
    training: Training,
    *,
    out: Annotated[Path, Parameter(help="The .onnx file to write.")],
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
) -> int:
    """Write a trained network as one ONNX file."""
    return _told([export_network(Run(run), training, out)], Output(json=json))


#: What the grid of a comparison says is no flag of its own.
_OF_GRID = Parameter(parse=False, show=False)


@converted
@dataclass(frozen=True)
class _Shared(TrainSettings):
    """What all trainings of a comparison have in common."""

    selection: Annotated[str, _OF_GRID] = "none"
    mode: Annotated[Any, _OF_GRID] = TrainSettings.mode
    seed: Annotated[int, _OF_GRID] = 0
    name: Annotated[str, _OF_GRID] = ""


def compare_command(
    run: RunFolder,
    *,
    settings: Annotated[CompareSettings, FLAT] = CompareSettings(),
    training: Annotated[_Shared, FLAT] = _Shared(),
    output: Output = Output(),
    engine: Engine = EngineSettings(),
) -> int:
    """Train a network for each selection, mode and seed, and say which selection pays."""
    plain = TrainSettings(**vars(training))
    with _lines_on_stderr():
        done = compare(Run(run), settings, plain, engine=engine, dry_run=output.dry_run)
    return _told([done], output, what="trainings", where=f"comparisons/{settings.name}/problems.parquet")


@contextlib.contextmanager
def _lines_on_stderr() -> Iterator[None]:
    """Show what the stages log: a line for each thing done, which a grid of hours needs also where no one watches."""
    handler = logging.StreamHandler()
    logger = logging.getLogger("thresher")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def export_command(
    run: RunFolder,
    name: Annotated[str, Parameter(help="The selection's name.")],
    *,
    output: Output = Output(),
    format: Annotated[
        Literal["csv", "txt", "parquet", "coco", "open_images", "fiftyone", "lightly", "atlas", "hf"],
        Parameter(help="What to write."),
    ],
    out: Annotated[Path, Parameter(help="File (csv, txt, parquet, atlas) or folder (all others) to write.")],
    images: Annotated[
        Literal["link", "copy", "none"],
        Parameter(help="Link the images, copy them (atlas: small ones), or only name them."),
    ] = "link",
    pool: Annotated[bool, Parameter(negative="", help="For atlas: the images not chosen as well.")] = False,
) -> int:
    """Write a selection as files that other tools read."""
    return _told([export(Run(run), name, format, out, images=images, pool=pool, dry_run=output.dry_run)], output)


def run_command(
    file: Annotated[Path, Parameter(help="TOML file with a table per stage: [index], [embed], … [[select]].")],
    *,
    output: Output = Output(),
    engine: Engine = EngineSettings(),
) -> int:
    """Every stage, from one TOML file; stages whose inputs and settings are unchanged do nothing."""
    settings = load_run_file(file)
    with _lines_on_stderr():
        return _told(run_all(settings, engine=engine, dry_run=output.dry_run, track=_track()), output)


def demo_command(
    folder: Annotated[Path, Parameter(help="Where to write the scenes and the run.")] = Path("demo"),
    *,
    settings: Annotated[DemoSettings, FLAT] = DemoSettings(),
    output: Output = Output(),
) -> int:
    """The whole job on made-up street scenes; ends with the path of a report."""
    with _lines_on_stderr():
        return _told(demo(folder, settings, dry_run=output.dry_run, track=_track()), output)


def doctor_command(
    folder: Annotated[Path, Parameter(help="Whose disk to look at.")] = Path(),
    *,
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
) -> int:
    """Show versions, weights, threads and disk; exit 1 if something needed is missing."""
    result = doctor(folder)
    _told([result], Output(json=json))
    return 1 if result.failed_items else EXIT_OK


def _told(results: Iterable[StageResult], output: Output, what: str = "images", where: str = "problems.parquet") -> int:
    """Print each result as it comes; 4 if anything failed, which is listed there."""
    failed = 0
    objects = []
    for result in results:
        failed += result.failed_items
        objects.append({"stage": result.stage, "status": result.status, **result.summary})
        if not output.json:
            _print_words(result)
    if output.json:
        print(json.dumps({"schema_version": SCHEMA_VERSION, "failed_items": failed, "stages": objects}, default=str))
    elif failed:
        print(f"{failed} {what} failed; each is listed with its reason in {where}.", file=sys.stderr)
    return EXIT_SOME_FAILED if failed else EXIT_OK


_STATUS = {"done": "done", "unchanged": "unchanged since last time, nothing to do", "planned": "would do"}


def _print_words(result: StageResult) -> None:
    print(f"{result.stage}: {_STATUS[result.status]}")
    if result.status == "unchanged":
        return
    for key, value in result.summary.items():
        name = key.replace("_", " ")
        if isinstance(value, list) and value and isinstance(value[0], dict):
            print(f"  {name}:")
            for row in value[:20]:
                print("    " + "  ".join(f"{k} {v}" for k, v in row.items()))
            if len(value) > 20:
                print(f"    … and {len(value) - 20} more (--json shows all)")
        elif isinstance(value, list):
            print(f"  {name}: {', '.join(map(str, value)) or '–'}")
        elif isinstance(value, dict):
            print(f"  {name}: {', '.join(f'{k} {v}' for k, v in value.items()) or '–'}")
        elif key.endswith("bytes"):
            print(f"  {name.removesuffix(' bytes')}: {value / 1e6:,.1f} MB")
        else:
            print(f"  {name}: {f'{value:,}' if type(value) is int else value}")


def _track() -> Track[Any]:
    """Progress bars on stderr, where that is a terminal; nothing in a pipe. A loop within a loop has its bar below."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)

    def track(items: Iterable[Any], total: int, what: str) -> Iterable[Any]:
        progress.start()
        task = progress.add_task(what, total=total)
        try:
            for item in items:
                yield item
                progress.advance(task)
        finally:
            progress.remove_task(task)
            if not progress.tasks:
                progress.stop()

    return track
