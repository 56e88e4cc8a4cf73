"""The commands: one per stage, made on first use, and the few that are not stages of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from thresher.cli.main import EXIT_FAILURE, EXIT_OK
from thresher.cli.output import JsonOutput, Output, logs_on_stderr, print_results, progress_bars
from thresher.cli.stage_command import FLAT, command_of
from thresher.errors import SettingsError, quoted
from thresher.run.stages import STAGES
from thresher.settings import converted
from thresher.workers.settings import EngineSettings


def __getattr__(name: str) -> Callable[..., int]:
    """The command NAME_command of a stage; importing this module imports no stage."""
    if name == "explore_command":
        from thresher.cli.explore_command import explore_command

        return explore_command
    if name == "status_command":
        from thresher.cli.status_command import status_command

        return status_command
    if name in ("audit_command", "budget_command", "why_command"):
        from thresher.cli import reasons_commands

        return getattr(reasons_commands, name)  # type: ignore[no-any-return]
    for stage in STAGES:
        if name == f"{stage.name.replace('-', '_')}_command":
            return command_of(stage)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def run_command(
    file: Annotated[
        Path,
        Parameter(help="TOML file with a table per stage: [index], [embed], … [[select]]; or the folder of a run."),
    ] = Path(),
    *,
    output: Output = Output(),
    engine: Annotated[EngineSettings, FLAT] = EngineSettings(),
) -> int:
    """Run every stage with the settings of one TOML file; or bring a run up to date, given its folder.

    Stages with unchanged inputs and settings are skipped. Without a file, index, embed, fit, score, insight and the
    selections are done again with their recorded settings where something has changed; trainings are not.
    """
    if file.is_dir():
        from thresher.run.update import update

        if output.dry_run:
            raise SettingsError(f"{file}: --dry-run needs a TOML file. `thresher status {quoted(file)}` shows more.")
        with logs_on_stderr():
            return print_results(update(file, engine=engine, track=progress_bars()), output)
    from thresher.cli.run_file import load_run_file, run_all

    settings = load_run_file(file)
    with logs_on_stderr():
        done = run_all(settings, engine=engine, dry_run=output.dry_run, track=progress_bars())
        return print_results(done, output)


@converted
@dataclass(frozen=True)
class DemoSettings:
    """Size of the demonstration."""

    target_images: int = 60
    """Number of target images: street scenes with per-pixel labels."""
    pool_images: int = 500
    """Number of pool images with boxes; two in five are street scenes, a fifth of these at night."""
    seed: int = 0
    """Seed of the generated scenes."""


def demo_command(
    folder: Annotated[Path, Parameter(help="Folder to write the scenes and the run to.")] = Path("demo"),
    *,
    settings: Annotated[DemoSettings, FLAT] = DemoSettings(),
    output: Output = Output(),
) -> int:
    """Run the whole pipeline on synthetic street scenes; prints the path of the report."""
    from thresher.cli.demo import demo

    scenes: dict[str, Any] = vars(settings)
    with logs_on_stderr():
        return print_results(demo(folder, **scenes, dry_run=output.dry_run, track=progress_bars()), output)


def doctor_command(
    folder: Annotated[Path, Parameter(help="Folder whose disk is checked.")] = Path(),
    *,
    output: JsonOutput = JsonOutput(),
) -> int:
    """Show versions, weights, threads and disk; exit 1 if something needed is missing."""
    from thresher.cli.doctor import doctor

    result = doctor(folder)
    print_results([result], output)
    return EXIT_FAILURE if result.failed_items else EXIT_OK
