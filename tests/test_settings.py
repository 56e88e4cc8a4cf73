"""What a person writes works, or one line says what to write: in Python, in the run file, in taxonomies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.cli.commands import DemoSettings
from thresher.cli.run_file import ExportSettings, load_run_file
from thresher.comparison.settings import CompareSettings
from thresher.data.taxonomy import load_taxonomy
from thresher.errors import SettingsError
from thresher.explorer.explore import ExploreSettings
from thresher.labelling.settings import LabelSettings
from thresher.report.report import ReportSettings
from thresher.run.folder import Run, as_run
from thresher.run.perform import as_json, fingerprint
from thresher.stages.embed import EmbedSettings
from thresher.stages.fit import FitSettings
from thresher.stages.index import IndexSettings
from thresher.stages.insight import InsightSettings
from thresher.stages.score import ScoreSettings
from thresher.stages.select import SelectSettings
from thresher.synthetic.dataset import SyntheticSettings
from thresher.training.evaluate import EvaluateSettings
from thresher.training.settings import TrainSettings
from thresher.workers.settings import EngineSettings

ALL: dict[Any, dict[str, Any]] = {
    IndexSettings: {"target": "folder:."},
    EmbedSettings: {},
    FitSettings: {},
    ScoreSettings: {},
    SelectSettings: {},
    InsightSettings: {},
    ReportSettings: {},
    ExploreSettings: {},
    TrainSettings: {},
    EvaluateSettings: {"training": "a"},
    CompareSettings: {},
    EngineSettings: {},
    ExportSettings: {"name": "a", "format": "csv", "out": "b"},
    DemoSettings: {},
    SyntheticSettings: {},
}


@pytest.mark.parametrize(
    ("made", "name", "kept"),
    [
        (lambda: SelectSettings(budget=500), "budget", "500"),
        (lambda: SelectSettings(budget=np.int64(500)), "budget", "500"),  # type: ignore[arg-type]
        (lambda: SelectSettings(budget=0.1), "budget", "10%"),
        (lambda: SelectSettings(budget=np.float32(0.25)), "budget", "25%"),  # type: ignore[arg-type]
        (lambda: SelectSettings(budget=1.0), "budget", "100%"),
        (lambda: SelectSettings(budget="0.1"), "budget", "10%"),
        (lambda: SelectSettings(budget="10%"), "budget", "10%"),
        (lambda: SelectSettings(budget="500"), "budget", "500"),
        (lambda: SelectSettings(quotas={"bus": 20}), "quotas", ("bus=20",)),
        (lambda: SelectSettings(quotas=("bus=20",)), "quotas", ("bus=20",)),
        (lambda: SelectSettings(quotas="bus=20"), "quotas", ("bus=20",)),
        (lambda: SelectSettings(datasets="kitti"), "datasets", ("kitti",)),
        (lambda: SelectSettings(datasets=["kitti", "coco"]), "datasets", ("kitti", "coco")),
        (lambda: SelectSettings(datasets={"b", "a"}), "datasets", ("a", "b")),
        (lambda: SelectSettings(datasets=np.array(["kitti"])), "datasets", ("kitti",)),
        (lambda: SelectSettings(diversity_weight=1), "diversity_weight", 1.0),
        (lambda: SelectSettings(duplicate_cosine=np.float32(0.5)), "duplicate_cosine", 0.5),  # type: ignore[arg-type]
        (lambda: IndexSettings(target="cityscapes:/x"), "target", ("cityscapes:/x",)),
        (lambda: IndexSettings("folder:a", limit=None), "limit", None),
        (lambda: IndexSettings("folder:a", label_map="a.toml"), "label_map", Path("a.toml")),
        (lambda: IndexSettings("folder:a", taxonomy=Path("a.toml")), "taxonomy", "a.toml"),
        (lambda: FitSettings(components=8), "components", "8"),
        (lambda: FitSettings(components="8"), "components", "8"),
        (lambda: CompareSettings(budgets=(100,)), "budgets", ("100",)),
        (lambda: CompareSettings(budgets=0.03), "budgets", ("3%",)),
        (lambda: CompareSettings(budgets="3%, 10%"), "budgets", ("3%", "10%")),
        (lambda: CompareSettings(methods="layout,random"), "methods", ("layout", "random")),
        (lambda: CompareSettings(methods=["layout,random", "random"]), "methods", ("layout", "random")),
        (lambda: EmbedSettings(weights="a.pth"), "weights", Path("a.pth")),
        (lambda: ReportSettings(out="a.html"), "out", Path("a.html")),
        (lambda: ExploreSettings(roots="a"), "roots", (Path("a"),)),
        (lambda: TrainSettings(epochs=np.int32(3)), "epochs", 3),  # type: ignore[arg-type]
        (lambda: TrainSettings(strong_limit=None), "strong_limit", None),
    ],
)
def test_what_a_person_writes_is_kept_in_one_form(made: Callable[[], object], name: str, kept: object) -> None:
    value = getattr(made(), name)
    assert value == kept
    assert type(value) is type(kept)


BUDGET = "a number of images (500) or a share of them (10% or 0.1)"


@pytest.mark.parametrize(
    ("kind", "written", "words"),
    [
        (SelectSettings, {"budget": -3}, f"budget = -3: expected {BUDGET}."),
        (SelectSettings, {"budget": 1.5}, "budget = 1.5: expected a number of images (500)"),
        (SelectSettings, {"budget": "many"}, "budget = 'many': expected a number of images (500)"),
        (SelectSettings, {"budget": "0%"}, "budget = '0%': expected a number of images (500)"),
        (SelectSettings, {"budget": True}, "budget = True: expected a number of images (500)"),
        (SelectSettings, {"budget": None}, "budget = None: expected a number of images (500)"),
        (SelectSettings, {"quotas": {"bus": 1.5}}, "quotas = {'bus': 1.5}: expected CLASS=NUMBER, such as bus=20"),
        (SelectSettings, {"quotas": {"bus": "20"}}, "quotas = {'bus': '20'}: expected CLASS=NUMBER"),
        (SelectSettings, {"quotas": 20}, "quotas = 20: expected CLASS=NUMBER"),
        (SelectSettings, {"datasets": {"kitti": 1}}, "datasets = {'kitti': 1}: expected text, or a list of such."),
        (SelectSettings, {"datasets": None}, "datasets = None: expected text, or a list of such."),
        (SelectSettings, {"seed": "one"}, "seed = 'one': expected a whole number."),
        (SelectSettings, {"seed": 1.0}, "seed = 1.0: expected a whole number."),
        (SelectSettings, {"seed": True}, "seed = True: expected a whole number."),
        (SelectSettings, {"diversity_weight": "half"}, "diversity_weight = 'half': expected a number."),
        (SelectSettings, {"diversity_weight": float("nan")}, "diversity_weight = nan: expected a number."),
        (SelectSettings, {"name": 1.5}, "name = 1.5: expected text."),
        (IndexSettings, {"target": "folder:a", "limit": "few"}, "limit = 'few': expected a whole number or None."),
        (IndexSettings, {"target": "folder:a", "label_map": 3}, "label_map = 3: expected a path or None."),
        (FitSettings, {"covariance": "round"}, "covariance = 'round': expected 'full' or 'diagonal'."),
        (FitSettings, {"double": 1}, "double = 1: expected true or false."),
        (TrainSettings, {"optimiser": "adam"}, "optimiser = 'adam': expected 'sgd' or 'adamw'."),
        (CompareSettings, {"methods": 3}, "methods = 3: expected names separated by commas, or a list"),
        (SelectSettings, {"quotas": {"bus": 1.5}}, "quotas = {'bus': 1.5}: expected CLASS=NUMBER, such as bus"),
        (CompareSettings, {"modes": "strnog"}, "modes: 'strnog' is unknown. Known: hierarchical, box_head, labels."),
        (ScoreSettings, {"scores": "layuot"}, "scores: 'layuot' is unknown. Did you mean 'layout'? Known: all"),
        (EngineSettings, {"engine": "dask"}, "engine = 'dask': expected 'local' or 'ray'."),
        (ExploreSettings, {"roots": [1]}, "roots = [1]: expected a path, or a list of such."),
    ],
)
def test_what_cannot_be_meant_says_what_to_write(kind: Any, written: Mapping[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as error:
        kind(**written)
    assert str(error.value).startswith(words)
    assert "\n" not in str(error.value)


def test_long_values_are_cut_in_errors() -> None:
    with pytest.raises(SettingsError) as error:
        SelectSettings(seed=list(range(1000)))  # type: ignore[arg-type]
    assert len(str(error.value)) < 150


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_unknown_setting_names_the_close_one(kind: Any) -> None:
    known = next(iter(kind.__dataclass_fields__))
    with pytest.raises(TypeError, match=f"{kind.__name__}: unknown setting '{known}s'. Did you mean '{known}'. Known:"):
        kind(**ALL[kind], **{f"{known}s": 1})


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_settings_class_checks_each_field(kind: Any) -> None:
    for name in kind.__dataclass_fields__:
        with pytest.raises(SettingsError, match=f"{name} = <object"):
            kind(**{**ALL[kind], name: object()})


#: METHOD+COVERAGE sets both.
PARTED = {(SelectSettings, "method"), (SelectSettings, "coverage")}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_defaults_are_kept_as_they_are(kind: Any) -> None:
    made = kind(**ALL[kind])
    for name, field in kind.__dataclass_fields__.items():
        if name not in ALL[kind] and (kind, name) not in PARTED:
            assert getattr(made, name) == field.default
            assert type(getattr(made, name)) is type(field.default)


def test_the_default_of_select_is_parted_into_method_and_coverage() -> None:
    assert (SelectSettings().method, SelectSettings().coverage) == ("layout_and_diversity", "images")
    assert SelectSettings(coverage="off").selection_name == "layout_and_diversity-10pct"
    assert SelectSettings(coverage="modes").selection_name == "layout_and_diversity+modes-10pct"
    assert SelectSettings("layout").coverage == "off"
    with pytest.raises(SettingsError, match=r"method = layout\+images, coverage = modes: expected one coverage"):
        SelectSettings("layout+images", coverage="modes")


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(TypeError, match="IndexSettings: missing a required argument: 'target'. Known: target, pool"):
        IndexSettings()


def test_every_spelling_has_the_manifest_of_the_command_line() -> None:
    said = SelectSettings(budget="500", quotas=("bus=20",), datasets=("kitti",))
    written = SelectSettings(budget=500, quotas={"bus": 20}, datasets="kitti")
    assert as_json(written) == as_json(said)
    assert as_json(said)["budget"] == "500"
    assert fingerprint("select", written, {}) == fingerprint("select", said, {})
    assert as_json(FitSettings(components=8)) == as_json(FitSettings(components="8"))


@given(st.integers(1, 10**9))
def test_whole_numbers_are_budgets_as_they_stand(number: int) -> None:
    assert SelectSettings(budget=number).budget == str(number) == SelectSettings(budget=str(number)).budget


@given(st.integers(1, 1000))
def test_shares_are_percents(thousandths: int) -> None:
    kept = SelectSettings(budget=thousandths / 1000).budget
    assert float(kept.removesuffix("%")) == pytest.approx(thousandths / 10)


def test_a_path_is_a_run(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert as_run(run) is run
    assert as_run(tmp_path).folder == as_run(str(tmp_path)).folder == tmp_path
    with pytest.raises(SettingsError, match=r'run = 3: expected a run, Run\("runs/first"\), or the path of its folder'):
        as_run(3)  # type: ignore[arg-type]


def written(folder: Path, content: str) -> Path:
    path = folder / "job.toml"
    path.write_text(f'{content}\n[index]\ntarget = "folder:."' if "[index]" not in content else content)
    return path


def test_a_run_file_reads_one_table_where_several_may_stand(tmp_path: Path) -> None:
    path = written(tmp_path, '[select]\nbudget = 20\n[export]\nname = "x"\nformat = "csv"\nout = "x.csv"')
    read = load_run_file(path)
    assert [each.budget for each in read.select] == ["20"]
    assert [each.out for each in read.export] == [tmp_path / "x.csv"]


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("[[select]]\nbudget = 0.1\n[[select]]\nbudget = '5%'", ["10%", "5%"]),
        ("", ["10%"]),
        ("select = []", []),
    ],
)
def test_budgets_of_a_run_file(tmp_path: Path, content: str, kept: list[str]) -> None:
    assert [each.budget for each in load_run_file(written(tmp_path, content)).select] == kept


def test_a_run_file_reads_what_python_reads(tmp_path: Path) -> None:
    path = written(tmp_path, '[select]\ndatasets = "kitti"\n[select.quotas]\nbus = 20\n[compare]\nbudgets = 100')
    read = load_run_file(path)
    assert read.select[0] == SelectSettings(datasets="kitti", quotas={"bus": 20})
    assert read.compare == CompareSettings(budgets=(100,))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[select]\nbudget = -3", "[[select]]: budget = -3: expected a number of images (500) or a share of them"),
        ("select = 3", "select = 3: expected tables, each headed [[select]]."),
        ("fit = 3", "fit = 3: expected a table, [fit]."),
        ("[select]\nbugdet = 3", "[[select]]: unknown key 'bugdet'. Did you mean 'budget'? Known: method, budget"),
        ("[index]\npool = 3.5\ntarget = 'folder:.'", "[index]: pool = 3.5: expected"),
        ("[export]\nname = 'x'", "[[export]]: ExportSettings: missing a required argument: 'format'. Known: name"),
    ],
)
def test_words_about_values_of_a_run_file(tmp_path: Path, content: str, words: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(SettingsError) as error:
        load_run_file(path)
    assert str(error.value).startswith(f"{path}: {words}")


TAXONOMY = "void_id = 9\n{}\n[groups]\nvehicle = 'Vehicle'\n[classes.car]\nid = 0\ncolour = [1, 2, 3]\n{}"


def test_one_synonym_is_one_word(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(TAXONOMY.format('no_counterpart = "Tree"\nvoid_synonyms = "Ego"', 'synonyms = "Auto"'))
    taxonomy = load_taxonomy(str(path))
    assert taxonomy.meaning == {
        "tree": None,
        "void": "void",
        "ego": "void",
        "vehicle": "vehicle",
        "car": "car",
        "auto": "car",
    }


@pytest.mark.parametrize(
    ("above", "of_class", "words"),
    [
        ("", "synonyms = 3.5", "class 'car': synonyms = 3.5: expected text, or a list of such."),
        ("", "label_ids = 'a'", "class 'car': label_ids = 'a': expected a whole number, or a list of such."),
        ("", "thing = 'yes'", "class 'car': thing = 'yes': expected true or false."),
        ("void_synonyms = [1.5]", "", "void_synonyms = [1.5]: expected text, or a list of such."),
        ("void_synonims = 1", "", "unknown key 'void_synonims'. Did you mean 'void_synonyms'? Known: classes, groups"),
    ],
)
def test_words_about_a_taxonomy(tmp_path: Path, above: str, of_class: str, words: str) -> None:
    path = tmp_path / "own.toml"
    path.write_text(TAXONOMY.format(above, of_class))
    with pytest.raises(SettingsError) as error:
        load_taxonomy(str(path))
    assert str(error.value).startswith(f"{path}: {words}")


@pytest.mark.parametrize("kind", [SelectSettings, TrainSettings, LabelSettings], ids=lambda kind: kind.__name__)
def test_no_settings_take_a_negative_seed(kind: type) -> None:
    with pytest.raises(SettingsError, match="seed = -1: expected 0 or more"):
        kind(seed=-1)


def test_selections_to_label_are_separated_by_commas_and_counted_once() -> None:
    assert LabelSettings(selection="first,second,first").selection == ("first", "second")
    with pytest.raises(SettingsError, match="or all alone"):
        LabelSettings(selection="all,first")
