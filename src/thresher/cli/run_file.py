"""run: one TOML file → every stage, in order."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from thresher.cli.run_plan import planned
from thresher.cli.run_settings import ExportSettings, RunFile
from thresher.comparison.compare import compare
from thresher.comparison.settings import CompareSettings, refuse_grid_of
from thresher.data.image_lists import LIST_SUFFIXES, read_columns
from thresher.errors import SettingsError
from thresher.report.report import ReportSettings, write_report
from thresher.run.folder import Run
from thresher.run.perform import StageResult, Track, untracked
from thresher.selection.coverage import parted
from thresher.selection.methods import check_method
from thresher.settings import did_you_mean
from thresher.stages.embed import EmbedSettings, embed
from thresher.stages.export import export, sheet
from thresher.stages.fit import FitSettings, fit
from thresher.stages.index import IndexSettings, index
from thresher.stages.insight import InsightSettings, insight
from thresher.stages.score import ScoreSettings, known_methods, score
from thresher.stages.select import SelectSettings, select
from thresher.training.settings import TrainSettings
from thresher.training.train import train
from thresher.workers.settings import EngineSettings

Settings = TypeVar("Settings")


#: Stages that are run only if the file has their table, in the order of `RunFile`.
_OPTIONAL: dict[str, Any] = {
    "insight": InsightSettings,
    "report": ReportSettings,
    "train": TrainSettings,
    "compare": CompareSettings,
}


def load_run_file(path: Path | str) -> RunFile:
    """The settings in a TOML file; paths in it are relative to the file's own folder.

    Raises:
        SettingsError: not TOML, an unknown key, or a value of the wrong type.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: not a readable TOML file ({error}).") from error
    known = [field.name for field in dataclasses.fields(RunFile) if field.name != "folder"] + ["run"]
    _refuse_unknown(content, known, str(path))
    base = path.resolve().parent
    index_table, embed_table = _table(content, "index", path), _table(content, "embed", path)
    for key in ("target", "pool", "guard"):
        if isinstance(texts := index_table.get(key, []), str | list):
            index_table[key] = [_anchored(str(text), base) for text in ([texts] if isinstance(texts, str) else texts)]
    for key, name in (("train", "validation"), ("compare", "test")):
        if name in (table := _table(content, key, path)):
            content[key] = {**table, name: _anchored(str(table[name]), base)}
    # These two are a built-in name or a file, recognised by its suffix.
    for table, key, suffix in ((index_table, "taxonomy", ".toml"), (embed_table, "backbone", ".onnx")):
        if str(table.get(key, "")).endswith(suffix):
            table[key] = str(base / table[key])
    selects, exports = _tables(content, "select", path, [{}]), _tables(content, "export", path, [])
    selects = [_with_lists(each, base) for each in selects]
    settings = RunFile(
        base / content.get("run", path.stem),
        _settings(IndexSettings, index_table, f"{path}: [index]", base),
        _settings(EmbedSettings, embed_table, f"{path}: [embed]", base),
        _settings(FitSettings, _table(content, "fit", path), f"{path}: [fit]", base),
        _settings(ScoreSettings, _table(content, "score", path), f"{path}: [score]", base),
        tuple(_settings(SelectSettings, each, f"{path}: [[select]]", base) for each in selects),
        tuple(_settings(ExportSettings, each, f"{path}: [[export]]", base) for each in exports),
        *(
            _settings(kind, _table(content, name, path), f"{path}: [{name}]", base) if name in content else None
            for name, kind in _OPTIONAL.items()
        ),
    )
    if settings.compare is not None and settings.train is not None:
        refuse_grid_of(settings.train)
    return settings


def _anchored(source: str, base: Path) -> str:
    head, colon, place = source.partition(":")
    return f"{head}:{base / Path(place).expanduser()}" if colon else source


def _with_lists(table: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """The table with the lists of `keep` and `exclude` that are files relative to `base`; others name selections."""
    lists = {
        key: [
            str(base / Path(each).expanduser()) if isinstance(each, str) and each.endswith(LIST_SUFFIXES) else each
            for each in (table[key] if isinstance(table[key], list) else [table[key]])
        ]
        for key in ("keep", "exclude")
        if key in table
    }
    return {**table, **lists}


def _refuse_unknown(found: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for key in found:
        if key not in known:
            raise SettingsError(f"{where}: unknown key '{key}'.{did_you_mean(key, known)}")


def _table(content: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    found = content.get(name, {})
    if not isinstance(found, dict):
        raise SettingsError(f"{path}: {name} = {found!r}: expected a table, [{name}].")
    return dict(found)


def _tables(content: Mapping[str, Any], name: str, path: Path, absent: list[Any]) -> list[dict[str, Any]]:
    """The tables [[name]], any number of them, or the single table [name]."""
    found = content.get(name, absent)
    listed = found if isinstance(found, list) else [found]
    if not all(isinstance(each, dict) for each in listed):
        raise SettingsError(f"{path}: {name} = {found!r}: expected tables, each headed [[{name}]].")
    return listed


def _settings(kind: Callable[..., Settings], found: Mapping[str, Any], where: str, base: Path) -> Settings:
    """A settings dataclass from a TOML table; paths in it are relative to `base`."""
    types_of = typing.get_type_hints(kind)
    _refuse_unknown(found, list(types_of), where)
    values = {
        key: base / Path(value).expanduser() if _is_path(types_of[key]) and isinstance(value, str) else value
        for key, value in found.items()
    }
    try:
        return kind(**values)
    except TypeError as error:
        raise SettingsError(f"{where}: {error}") from error
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def _is_path(kind: Any) -> bool:
    return kind is Path or Path in typing.get_args(kind)


def _check_methods(settings: RunFile, run: Run) -> None:
    """Refuse an unknown method before the first stage, not after hours of embedding."""
    known = known_methods(run)
    for method in settings.compare.methods if settings.compare is not None else ():
        check_method(parted(method)[0], known)
    for each in settings.select:
        own = read_columns(each.columns).columns if each.columns is not None else []
        check_method(each.method, [*known, *own])


def run_all(
    settings: RunFile,
    *,
    engine: EngineSettings | None = None,
    dry_run: bool = False,
    track: Track[Any] = untracked,
) -> Iterator[StageResult]:
    """Run every stage in order and yield each result; stages that are up to date are skipped.

    A dry run gives the plan of every stage, and last the sums over all; nothing is written.
    """
    run = Run(settings.folder)
    _check_methods(settings, run)
    if dry_run:
        yield from planned(settings, engine, track)
        return
    yield index(run, settings.index, track=track)
    yield embed(run, settings.embed, engine=engine, track=track)
    yield fit(run, settings.fit, track=track)
    yield score(run, settings.score, track=track)
    for chosen in settings.select:
        yield select(run, chosen)
        yield sheet(run, chosen.selection_name)
    for wanted in settings.export:
        held: Any = {"images": wanted.images, "pool": wanted.pool}
        yield export(run, wanted.name, wanted.format, wanted.out, **held)
    if settings.insight is not None:
        yield insight(run, settings.insight, track=track)
    if settings.compare is not None:
        yield compare(run, settings.compare, settings.train, engine=engine)
    elif settings.train is not None:
        yield train(run, settings.train, track=track)
    if settings.report is not None:
        yield write_report(run, settings.report, track=track)
