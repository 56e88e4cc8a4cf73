"""The class names of a YOLO set: from its YAML file, or a text file with a name per line."""

from __future__ import annotations

from pathlib import Path

import yaml

from thresher.data.dataset import contents
from thresher.errors import DataError

NAME_FILES = ("classes.txt", "obj.names", "labels/classes.txt")
#: Text files in label folders that are not label files.
LISTS = frozenset({"classes", "train", "val", "valid", "test"})


def read(root: Path) -> dict[int, str]:
    """Class names by their index.

    Raises:
        DataError: no file states them, or the one that does cannot be read.
    """
    found = sorted(root.glob("*.yaml")) + sorted(root.glob("*.yml"))
    found.sort(key=lambda path: (path.stem not in {"data", "config"}, path.name))
    for path in found:
        names = _of_yaml(path)
        if names:
            return names
    for name in NAME_FILES:
        path = root / name
        if path.is_file():
            lines = path.read_text("utf-8-sig", "replace").splitlines()
            return {index: line.strip() for index, line in enumerate(lines) if line.strip()}
    raise DataError(
        f"{root}: no class names. Found {contents(root)}; expected data.yaml with `names:`, classes.txt or obj.names."
    )


def _of_yaml(path: Path) -> dict[int, str] | None:
    try:
        content = yaml.safe_load(path.read_text("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as YAML ({error}). Correct or remove it.") from error
    names = content.get("names") if isinstance(content, dict) else None
    if names is None:
        return None
    try:
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {int(index): str(name) for index, name in pairs}
    except (TypeError, ValueError):
        raise DataError(f"{path}: `names` is {names!r:.80}; expected a list, or indices with their names.") from None
