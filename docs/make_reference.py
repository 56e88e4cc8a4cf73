"""Writes docs/reference.md from the settings, the tables and the methods themselves.

Run: python docs/make_reference.py        (tests/test_docs.py fails where the page is behind the code)
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
from pathlib import Path

from thresher import tables
from thresher.cli.commands import DemoSettings
from thresher.cli.main import COMMANDS
from thresher.cli.run_file import ExportSettings
from thresher.data.exports import FORMATS
from thresher.data.readers import READERS
from thresher.density.scorers import Score
from thresher.labelling.label_tables import LABEL_FILES, LABEL_ROUTES, LABELLED_BOXES
from thresher.reasons.budget import BudgetSettings
from thresher.run.stages import STAGES
from thresher.selection.methods import COMBINED_WORDS, WRITTEN_WORDS
from thresher.stages.score import DEFAULT_SCORES, SCORES
from thresher.workers.settings import EngineSettings

PAGE = Path(__file__).parent / "reference.md"
SETTINGS = {stage.name: stage.settings for stage in STAGES if stage.settings_name and stage.name != "merge"}
SETTINGS |= {"export": ExportSettings, "budget": BudgetSettings, "demo": DemoSettings, "workers (embed, labels, compare, run)": EngineSettings}
TABLES = {
    "images": tables.INDEXED_IMAGES,
    "boxes": tables.BOXES,
    "masks": tables.MASKS,
    "labels": tables.LABELS,
    "problems": tables.PROBLEMS,
    "pooled": tables.POOLED,
    "facts": tables.IMAGE_FACTS,
    "embedded": tables.EMBEDDED,
    "scores": tables.SCORES,
    "selections/NAME": tables.SELECTION,
    "insight/components_tried": tables.COMPONENTS_TRIED,
    "insight/components": tables.COMPONENTS,
    "insight/component_slices": tables.COMPONENT_SLICES,
    "insight/similarities": tables.SIMILARITIES,
    "insight/similarity_bins": tables.SIMILARITY_BINS,
    "insight/map": tables.MAP,
    "insight/heat": tables.HEAT,
    "trainings/NAME/classes": tables.CLASS_METRICS,
    "labels/NAME/images": LABEL_FILES,
    "labels/NAME/boxes": LABELLED_BOXES,
    "labels/NAME/routes": LABEL_ROUTES,
    "comparisons/NAME/results": tables.RESULTS,
    "comparisons/NAME/summary": tables.SUMMARY,
    "comparisons/NAME/differences": tables.DIFFERENCES,
    "comparisons/NAME/frequencies": tables.FREQUENCIES,
    "trainings/NAME/evaluations/SET/classes": tables.CLASS_METRICS,
    "trainings/NAME/evaluations/SET/confusion": tables.CONFUSION,
}


def field_words(kind: type) -> dict[str, str]:
    """What the string under each field of a dataclass says, its parents' fields first."""
    words: dict[str, str] = {}
    for owner in reversed(kind.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0].body  # type: ignore[attr-defined]
        for field, below in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                words[field.target.id] = below.value.value  # type: ignore[union-attr,attr-defined]
    return words


def settings_table(kind: type) -> list[str]:
    """One line per setting: name, default, meaning."""
    words = field_words(kind)
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(kind):
        default = "required" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
        lines.append(f"| `{field.name}` | {default} | {' '.join(words[field.name].split()).replace('|', '&#124;')} |")
    return lines


def first_line(function: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(function) or "").splitlines()[0]


def words_of(score: Score) -> str:
    """What a score says: its function's first line, or for what one function works out together its own."""
    return score.words or first_line(score.function)


def page() -> str:
    """The whole page."""
    lines = ["# Reference", "", "Made by `python docs/make_reference.py`; do not edit.", "", "## Commands", ""]
    lines += ["| command | what it does |", "|---|---|"]
    lines += [f"| `thresher {name}` | {words} |" for name, words in COMMANDS.items()]
    lines += [
        "",
        "## Settings",
        "",
        "Each is a flag of its command (`--short-side 224`), a key of its table in the run file (`short_side = 224`),",
    ]
    lines += ["and a field of a dataclass in Python."]
    for name, kind in SETTINGS.items():
        lines += ["", f"### {name}: `{kind.__name__}`", "", *settings_table(kind)]
    lines += ["", "## Scores and methods", ""]
    lines += ["Each score is a column of scores.parquet and, under the same name, a method of `select`: highest first."]
    lines += [
        "So is any other numeric column of that table. Similarities are worked out where `--scores` asks for them,"
    ]
    lines += [f"by default {', '.join(DEFAULT_SCORES)}.", "", "| score | unit | needs | |", "|---|---|---|---|"]
    lines += [f"| `{each.name}` | {each.unit or '–'} | {', '.join(each.needs)} | {words_of(each)} |" for each in SCORES]
    lines += ["", "| method | ranks by |", "|---|---|"]
    lines += [f"| `{name}` | {words} |" for name, words in (COMBINED_WORDS | WRITTEN_WORDS).items()]
    lines += ["", "## Formats", "", f"Read: {', '.join(f'`{name}`' for name in READERS)}."]
    lines += [f"Written: {', '.join(f'`{name}`' for name in FORMATS)}.", "", "## Tables", ""]
    for name, schema in TABLES.items():
        columns = ", ".join(f"{column} ({str(kind).removesuffix('()')})" for column, kind in schema.items())
        lines += [f"- **{name}**: {columns}"]
    return "\n".join(lines).replace("<class 'polars.datatypes.classes.", "").replace("'>", "") + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
