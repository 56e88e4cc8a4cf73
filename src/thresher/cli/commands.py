"""The commands: those made from stages when they are first asked for, and the few that are no stage of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from thresher.cli.main import EXIT_FAILURE, EXIT_OK
from thresher.cli.output import JsonOutput, Output, logs_on_stderr, print_results, progress_bars
from thresher.cli.stage_command import FLAT, command_of
from thresher.run.stages import STAGES
from thresher.workers.settings import EngineSettings


def __getattr__(name: str) -> Callable[..., int]:
    """The command NAME_command of a stage; importing this module imports no stage."""
    if name == "explore_command":
        from thresher.cli.explore_command import explore_command

        return explore_command
    for stage in STAGES:
        if name == f"{stage.name.replace('-', '_')}_command":
            return command_of(stage)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def run_command(
    file: Annotated[Path, Parameter(help="TOML file with a table per stage: [index], [embed], … [[select]].")],
    *,
    output: Output = Output(),
    engine: Annotated[EngineSettings, FLAT] = EngineSettings(),
) -> int:
    """Every stage, from one TOML file; stages whose inputs and settings are unchanged do nothing."""
    from thresher.cli.run_file import load_run_file, run_all

    settings = load_run_file(file)
    with logs_on_stderr():
        done = run_all(settings, engine=engine, dry_run=output.dry_run, track=progress_bars())
        return print_results(done, output)


@dataclass(frozen=True)
class DemoSettings:
    """How large the demonstration is."""

    target_images: int = 60
    """Street scenes with per-pixel labels."""
    pool_images: int = 400
    """Scenes to choose from, one in five of them a street."""
    seed: int = 0
    """Seed of the scenes."""


def demo_command(
    folder: Annotated[Path, Parameter(help="Where to write the scenes and the run.")] = Path("demo"),
    *,
    settings: Annotated[DemoSettings, FLAT] = DemoSettings(),
    output: Output = Output(),
) -> int:
    """The whole job on made-up street scenes; ends with the path of a report."""
    from thresher.cli.demo import demo

    scenes: dict[str, Any] = vars(settings)
    with logs_on_stderr():
        return print_results(demo(folder, **scenes, dry_run=output.dry_run, track=progress_bars()), output)


def doctor_command(
    folder: Annotated[Path, Parameter(help="Whose disk to look at.")] = Path(), *, output: JsonOutput = JsonOutput()
) -> int:
    """Show versions, weights, threads and disk; exit 1 if something needed is missing."""
    from thresher.cli.doctor import doctor

    result = doctor(folder)
    print_results([result], output)
    return EXIT_FAILURE if result.failed_items else EXIT_OK
