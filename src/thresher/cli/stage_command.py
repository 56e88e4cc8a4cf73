"""A command made from a stage's function: its parameters become arguments and flags, its docstring the help."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from thresher.cli.main import EXIT_OK
from thresher.cli.output import JsonOutput, Output, logs_on_stderr, print_results, progress_bars
from thresher.errors import SettingsError
from thresher.run.folder import Run, as_run
from thresher.run.perform import StageResult
from thresher.run.stages import Stage
from thresher.run.update import update

#: Settings become flags of their own: --components, not --settings.components.
FLAT = Parameter(name="*", negative="")
RunFolder = Annotated[Path, Parameter(help="The run's folder.")]
Update = Annotated[
    bool,
    Parameter(
        negative="",
        help="First do again what this command reads, where it is outdated or damaged: `thresher run RUN` up to here.",
    ),
]
#: Parameters that are flags on the command line, though positional in Python.
_FLAGS = ("format", "out")
#: Parameters that the command line fills in itself.
_OWN = ("run", "track", "dry_run")
#: Stages whose first setting is an argument: `thresher evaluate RUN TRAINING`.
_FIRST_SETTING_IS_AN_ARGUMENT = ("evaluate",)
#: Settings classes to use instead: the settings of trainings that the stage itself sets are not flags.
_IN_PLACE_OF = dict.fromkeys(
    [("compare", "training"), ("labels", "training")], ("thresher.cli.shared_training", "SharedTraining")
)

_Kind = inspect.Parameter


def command_of(stage: Stage) -> Callable[..., int]:
    """The command of a stage; each settings class becomes one object, filled from its flags."""
    function = stage.run
    given = inspect.signature(function).parameters
    output = Output if "dry_run" in given else JsonOutput
    own = [_Kind("run", _Kind.POSITIONAL_OR_KEYWORD, annotation=RunFolder)]
    own += _arguments(stage, function)
    if stage.reads and stage.name != "merge":  # its jobs may still be at work
        own.append(_Kind("update", _Kind.KEYWORD_ONLY, default=False, annotation=Update))
    own.append(_Kind("output", _Kind.KEYWORD_ONLY, default=output(), annotation=output))
    signature = inspect.Signature(own, return_annotation=int)

    def command(*arguments: Any, **flags: Any) -> int:
        values = dict(signature.bind(*arguments, **flags).arguments)
        run, wanted = as_run(values.pop("run")), values.pop("output", output())
        first = values.pop("update", False)
        if first and values.get("as_it_stands"):
            raise SettingsError("--update makes what is outdated anew, --as-it-stands leaves it. Give one of the two.")
        # In distributed training only rank 0 prints.
        prints = os.environ.get("RANK", "0") == "0"
        if "track" in given and prints:
            values["track"] = progress_bars()
        if "dry_run" in given:
            values["dry_run"] = wanted.dry_run
        with logs_on_stderr():
            if not prints:
                function(run, **values)
                return EXIT_OK
            return print_results(_results(stage, run, values, first), wanted)

    command.__name__, command.__doc__ = f"{stage.run_name}_command", function.__doc__
    command.__annotations__ = {each.name: each.annotation for each in own} | {"return": int}
    command.__signature__ = signature  # type: ignore[attr-defined]
    return command


def _results(stage: Stage, run: Run, values: Mapping[str, Any], update_first: bool) -> Iterator[StageResult]:
    if update_first:
        yield from update(run, before=stage.name, track=values.get("track", progress_bars()))
    yield stage.run(run, **values)


def _arguments(stage: Stage, function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of the function other than the run, arguments before flags."""
    kinds = typing.get_type_hints(function, include_extras=True)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in _OWN:
            continue
        kind, default, place = kinds[name], parameter.default, parameter.kind
        settings = _settings_class(kind)
        if settings is not None:
            if (stage.name, name) in _IN_PLACE_OF:
                module, other = _IN_PLACE_OF[stage.name, name]
                settings = getattr(importlib.import_module(module), other)
            default = settings() if _has_defaults(settings) else _Kind.empty
            kind = Annotated[settings, FLAT]
            first = stage.name in _FIRST_SETTING_IS_AN_ARGUMENT
            place = _Kind.POSITIONAL_OR_KEYWORD if first else _Kind.KEYWORD_ONLY
        elif kind is bool:
            kind = Annotated[bool, Parameter(negative="")]
        if name in _FLAGS:
            place = _Kind.KEYWORD_ONLY
        found.append(_Kind(name, place, default=default, annotation=kind))
    return sorted(found, key=lambda each: each.kind)


def _settings_class(kind: Any) -> Any:
    """The settings dataclass that a parameter takes, or may take; None for others."""
    options = typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    return next((each for each in options if isinstance(each, type) and dataclasses.is_dataclass(each)), None)


def _has_defaults(settings: Any) -> bool:
    return all(
        field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        for field in dataclasses.fields(settings)
    )
