"""The class names of a YOLO set: from its YAML file, or a text file with a name per line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from thresher.data.dataset import contents, label_text, visible
from thresher.data.faults import refusing
from thresher.errors import DataError

NAME_FILES = ("classes.txt", "obj.names", "labels/classes.txt")
#: Text files in label folders that are not label files.
LISTS = frozenset({"classes", "train", "val", "valid", "test"})
#: Names of ten thousand classes take a quarter of it.
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class Names:
    """Class names by their index, and how many numbers of keypoints stand behind the box of each line."""

    of: dict[int, str]
    keypoint_values: int = 0


def read(root: Path) -> Names:
    """What the set's YAML or its list of names says.

    Raises:
        DataError: no file states the names, or the one that does cannot be read.
    """
    found = visible([*sorted(root.glob("*.yaml")), *sorted(root.glob("*.yml"))], root)
    found.sort(key=lambda path: (path.stem not in {"data", "config"}, path.name))
    for path in found:
        names = _of_yaml(path)
        if names is not None:
            return names
    for name in NAME_FILES:
        path = root / name
        if path.is_file():
            lines = [line.strip() for line in _short_text(path).splitlines()]
            return Names({index: line for index, line in enumerate(lines) if line})
    raise DataError(
        f"{root}: no class names. Found {contents(root)}; expected data.yaml with `names:`, classes.txt or obj.names."
    )


def _short_text(path: Path) -> str:
    with refusing(f"{path}: not readable", "Correct or remove it."):
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"longer than {_MOST_BYTES >> 20} MiB; expected the names of classes")
        return path.read_bytes().decode("utf-8-sig", "replace")


def _of_yaml(path: Path) -> Names | None:
    """As nodes, not as values: of these, aliases within aliases would make more than any memory holds."""
    text = _short_text(path)
    with refusing(f"{path}: not readable as YAML", "Correct or remove it."):
        entries = _pairs(yaml.compose(text, Loader=yaml.SafeLoader))
    names = entries.get("names")
    if names is None or names.tag == "tag:yaml.org,2002:null":
        return None
    with refusing(f"{path}: `names` is not as expected", "Expected a list of names, or indices with their names."):
        if isinstance(names, yaml.SequenceNode):
            pairs = dict(enumerate(names.value))
        elif isinstance(names, yaml.MappingNode):
            pairs = {int(index): node for index, node in _pairs(names).items()}
        else:
            raise ValueError(f"it is {names.value!r:.80}")
        if not pairs or not all(isinstance(node, yaml.ScalarNode) for node in pairs.values()):
            raise ValueError("it holds something else than names")
        return Names({index: label_text(node.value) for index, node in pairs.items()}, _keypoint_values(entries))


def _pairs(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _keypoint_values(entries: dict[str, yaml.Node]) -> int:
    """Source: https://docs.ultralytics.com/datasets/pose/: kpt_shape is [keypoints, values of each]."""
    shape = entries.get("kpt_shape")
    if not isinstance(shape, yaml.SequenceNode) or len(shape.value) != 2:
        return 0
    keypoints, each = (int(node.value) for node in shape.value)
    return keypoints * each
