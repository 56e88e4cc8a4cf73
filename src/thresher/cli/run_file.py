"""run: one TOML file → every stage, in order."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from thresher.comparison.compare import compare
from thresher.comparison.settings import CompareSettings, refuse_grid_of
from thresher.data.exports import Format
from thresher.errors import SettingsError
from thresher.run.folder import Run
from thresher.run.perform import StageResult, Track, untracked
from thresher.selection.methods import check_method
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.export import export
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.score import ScoreSettings, known_methods, score
from thresher.stages.select import SelectSettings, select
from thresher.stages.sheet import sheet
from thresher.training.settings import TrainSettings
from thresher.training.train import train
from thresher.workers.settings import EngineSettings

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class ExportSettings:
    """One export of a selection."""

    name: str
    """The selection to write."""
    format: Format
    """csv, txt, parquet, coco, open_images, fiftyone, lightly, atlas or hf."""
    out: Path
    """File or folder to write; relative to the TOML file."""
    images: str = "link"
    """For formats that hold images: link, copy or none."""
    pool: bool = False
    """For atlas: the images of the pool that were not chosen as well."""


@dataclass(frozen=True)
class RunFile:
    """All settings of a run, as one TOML file holds them."""

    folder: Path
    index: IndexSettings
    embed: EmbedSettings
    fit: FitSettings
    score: ScoreSettings
    select: tuple[SelectSettings, ...]
    export: tuple[ExportSettings, ...]
    train: TrainSettings | None = None
    """A training; with `compare` what all trainings of the comparison have in common."""
    compare: CompareSettings | None = None


def load_run_file(path: Path) -> RunFile:
    """The settings in a TOML file; paths in it are relative to the file's own folder.

    Raises:
        SettingsError: not TOML, an unknown key, or a value of the wrong type.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: not a readable TOML file ({error}).") from error
    known = [field.name for field in dataclasses.fields(RunFile) if field.name != "folder"] + ["run"]
    _refuse_unknown(content, known, str(path))
    base = path.resolve().parent
    index_table = dict(content.get("index", {}))
    for key in ("target", "pool"):
        texts = index_table.get(key, [])
        index_table[key] = [_anchored(text, base) for text in ([texts] if isinstance(texts, str) else texts)]
    for key, name in (("train", "validation"), ("compare", "test")):
        if name in content.get(key, {}):
            content[key] = {**content[key], name: _anchored(str(content[key][name]), base)}
    embed_table = dict(content.get("embed", {}))
    # These two may name something built in or a file; a file's name tells by its suffix.
    for table, key, suffix in ((index_table, "taxonomy", ".toml"), (embed_table, "backbone", ".onnx")):
        if str(table.get(key, "")).endswith(suffix):
            table[key] = str(base / table[key])
    settings = RunFile(
        base / content.get("run", path.stem),
        _settings(IndexSettings, index_table, f"{path}: [index]", base),
        _settings(EmbedSettings, embed_table, f"{path}: [embed]", base),
        _settings(FitSettings, content.get("fit", {}), f"{path}: [fit]", base),
        _settings(ScoreSettings, content.get("score", {}), f"{path}: [score]", base),
        tuple(_settings(SelectSettings, t, f"{path}: [[select]]", base) for t in content.get("select", [{}])),
        tuple(_settings(ExportSettings, t, f"{path}: [[export]]", base) for t in content.get("export", [])),
        _settings(TrainSettings, content["train"], f"{path}: [train]", base) if "train" in content else None,
        _settings(CompareSettings, content["compare"], f"{path}: [compare]", base) if "compare" in content else None,
    )
    if settings.compare is not None and settings.train is not None:
        refuse_grid_of(settings.train)
    return settings


def _anchored(source: str, base: Path) -> str:
    head, colon, place = source.partition(":")
    return f"{head}:{base / Path(place).expanduser()}" if colon else source


def _refuse_unknown(found: Mapping[str, Any], known: list[str], where: str) -> None:
    for key in found:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise SettingsError(f"{where}: unknown key '{key}'.{hint} Known: {', '.join(known)}.")


def _settings(kind: type[Settings], found: Mapping[str, Any], where: str, base: Path) -> Settings:
    """A settings dataclass from a TOML table, each value checked against its field's type."""
    types_of = typing.get_type_hints(kind)
    _refuse_unknown(found, list(types_of), where)
    values = {key: _value(value, types_of[key], f"{where} {key}", base) for key, value in found.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise SettingsError(f"{where}: {error}.") from error
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def _value(value: Any, kind: Any, where: str, base: Path) -> Any:
    options = typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    if Path in options and isinstance(value, str):
        return base / Path(value).expanduser()
    if typing.get_origin(kind) is tuple:
        items = value if isinstance(value, list) else [value]
        if all(isinstance(item, str | int) and not isinstance(item, bool) for item in items):
            return tuple(map(str, items))
    if typing.get_origin(kind) is typing.Literal:
        if value in typing.get_args(kind):
            return value
    elif str in options and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    elif any(isinstance(option, type) and _is_of(value, option) for option in options):
        return float(value) if float in options else value
    raise SettingsError(f"{where} = {value!r}: expected {_spelt(kind)}.")


def _is_of(value: Any, kind: type) -> bool:
    if isinstance(value, bool) or kind is bool:
        return isinstance(value, bool) and kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)


def _spelt(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(map(repr, typing.get_args(kind)))
    return str(getattr(kind, "__name__", kind))


def _check_methods(settings: RunFile, run: Run) -> None:
    """Refuse an unknown method before anything is done, not after hours of embedding."""
    compared = settings.compare.methods if settings.compare is not None else ()
    for method in (*(each.method for each in settings.select), *compared):
        check_method(method, known_methods(run))


def run_all(
    settings: RunFile,
    *,
    engine: EngineSettings | None = None,
    dry_run: bool = False,
    track: Track[Any] = untracked,
) -> Iterator[StageResult]:
    """Every stage in order, each yielded as it ends; those that are up to date do nothing.

    A dry run stops before the first stage that needs what has not been made yet.
    """
    run = Run(settings.folder)
    _check_methods(settings, run)
    steps: list[tuple[Path, Callable[[], StageResult]]] = [
        (run.folder.parent, lambda: index(run, settings.index, dry_run=dry_run, track=track)),
        (run.images, lambda: embed(run, settings.embed, engine=engine, dry_run=dry_run, track=track)),
        (run.pooled, lambda: fit(run, settings.fit, dry_run=dry_run, track=track)),
        (run.mixture, lambda: score(run, settings.score, dry_run=dry_run, track=track)),
    ]
    for needed, step in steps:
        if dry_run and not needed.exists():
            return
        yield step()
    if dry_run and not run.scores.exists():
        return
    for chosen in settings.select:
        yield select(run, chosen, dry_run=dry_run)
        if not dry_run:
            yield sheet(run, chosen.selection_name)
    for wanted in settings.export:
        if not dry_run or run.selection(wanted.name).exists():
            held: Any = {"images": wanted.images, "pool": wanted.pool}
            yield export(run, wanted.name, wanted.format, wanted.out, **held, dry_run=dry_run)
    if settings.compare is not None:
        yield compare(run, settings.compare, settings.train, engine=engine, dry_run=dry_run)
    elif settings.train is not None:
        yield train(run, settings.train, dry_run=dry_run, track=track)
