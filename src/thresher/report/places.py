"""Folders without what lies above them, so that a report can be given to others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: An absolute path, alone or behind FORMAT: or NAME=FORMAT:.
_ABSOLUTE = re.compile(r"^((?:[\w.-]+=)?(?:\w+:)?)(/\S.*)$", re.DOTALL)


def without_parents(value: Any) -> Any:
    """Settings as plain values, with each absolute path as …/ and its last name.

    >>> without_parents({"target": ["coco:/home/ann/cars#val"], "seed": 3, "out": "run/report.html"})
    {'target': ['coco:…/cars#val'], 'seed': 3, 'out': 'run/report.html'}
    """
    if isinstance(value, Mapping):
        return {key: without_parents(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_parents(each) for each in value]
    found = _ABSOLUTE.match(value) if isinstance(value, str) else None
    return f"{found[1]}…/{found[2].rstrip('/').rpartition('/')[2]}" if found else value


def shown_folder(folder: Path) -> str:
    """A run's folder in commands: relative to the present folder where it is below it, else …/ and its last name."""
    here = Path.cwd()
    return str(folder.relative_to(here)) if folder.is_relative_to(here) else str(without_parents(str(folder)))


def below_roots(text: str, roots: Sequence[Path]) -> str:
    """A text in which the path of each root is …/ and its last name.

    >>> below_roots("/home/ann/cars/7.jpg: cut off", [Path("/home/ann/cars")])
    '…/cars/7.jpg: cut off'
    """
    for root in sorted((root.absolute() for root in roots), key=lambda each: -len(each.parts)):
        text = text.replace(f"{root}/", f"…/{root.name}/")
    return text
