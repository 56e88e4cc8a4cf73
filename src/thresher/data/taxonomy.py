"""The target's classes, their groups, and the labels of other data sets that map to them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from thresher.data.faults import reason, shown
from thresher.errors import SettingsError
from thresher.settings import as_type, did_you_mean
from thresher.tables import LABELS

BUILT_IN = Path(__file__).parent / "taxonomies"
#: Meaning of the values in a label PNG: the taxonomy's own ids, or one of the two id sets of Cityscapes.
ENCODINGS = ("class_index", "cityscapes_train_ids", "cityscapes_label_ids")
VOID = "void"
_NO_COUNTERPART = ("", "none")


@dataclass(frozen=True)
class TargetClass:
    """One class of the target. `thing` classes are countable, so their boxes count for diversity."""

    name: str
    id: int
    colour: tuple[int, int, int]
    group: str | None
    thing: bool
    label_ids: tuple[int, ...]


@dataclass(frozen=True)
class Taxonomy:
    """Target classes as leaves, groups (vehicle, human) above them, and the meaning of foreign labels.

    `meaning` maps a normalised source label to a class, a group, "void" (to be ignored) or None (known, and without
    counterpart).
    """

    name: str
    void_id: int
    classes: tuple[TargetClass, ...]
    groups: tuple[str, ...]
    meaning: Mapping[str, str | None]

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The names a box may carry: every class, then every group."""
        return (*(c.name for c in self.classes), *self.groups)

    @cached_property
    def classes_of_interest(self) -> tuple[str, ...]:
        """C of the diversity score: the countable classes, and the groups.

        A box known only to be of a group ("Vehicle") counts as a class of its own, since a data set with such labels
        only would otherwise count as empty (ours).
        """
        return (*(c.name for c in self.classes if c.thing), *self.groups)

    def understood(self, label: str, name: str | None = None, ancestors: tuple[str, ...] = ()) -> str | None:
        """The node that a source label means, or None.

        Looks up the label, then its readable name, then its ancestors, nearest first.
        """
        for candidate in (label, name, *ancestors):
            if candidate is not None and normalised(candidate) in self.meaning:
                return self.meaning[normalised(candidate)]
        return None


def normalised(label: str) -> str:
    """A label as it is compared: case, underscores, hyphens and outer spaces do not count.

    >>> normalised(" Traffic_Light")
    'traffic light'
    """
    return " ".join(label.casefold().replace("_", " ").replace("-", " ").split())


def load_taxonomy(name_or_path: str) -> Taxonomy:
    """The built-in taxonomy of that name, or the one in that TOML file.

    Raises:
        SettingsError: neither exists, or the file is not a taxonomy.
    """
    built_in = BUILT_IN / f"{name_or_path}.toml"
    path = built_in if built_in.is_file() else Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in BUILT_IN.glob("*.toml")))
        raise SettingsError(f"taxonomy '{name_or_path}': no such file, and not one of the built-in ones ({names}).")
    return _parsed(_toml(path), path)


def taxonomy_of(text: str, where: str) -> Taxonomy:
    """The taxonomy in a text in TOML, such as in a checkpoint.

    Raises:
        SettingsError: the text is not a taxonomy; `where` names it in the error.
    """
    try:
        return _parsed(tomllib.loads(text), Path(where))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: not TOML: {error}.") from error


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: not a TOML file in UTF-8: {reason(error)}.") from error
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}).") from error


def _parsed(content: dict[str, Any], path: Path) -> Taxonomy:
    _only_known(content, {"name", "void_id", "void_synonyms", "no_counterpart", "groups", "classes"}, str(path))
    for table in ("groups", "classes"):
        if not isinstance(content.get(table, {}), dict):
            raise SettingsError(f"{path}: {table} = {content[table]!r}: expected a table, [{table}].")
    groups = {group: _texts(content["groups"], group, path) for group in content.get("groups", {})}
    classes: list[TargetClass] = []
    meaning: dict[str, str | None] = {}
    meaning |= {normalised(label): None for label in _texts(content, "no_counterpart", path)}
    meaning |= {normalised(label): VOID for label in [VOID, *_texts(content, "void_synonyms", path)]}
    for group, synonyms in groups.items():
        _add_synonyms(meaning, group, synonyms, path)
    for name, entry in content.get("classes", {}).items():
        where = f"{path}: class '{name}'"
        if not isinstance(entry, dict):
            raise SettingsError(f"{where} = {shown(entry)}: expected a table, [classes.{name}].")
        _only_known(entry, {"id", "colour", "group", "thing", "label_ids", "synonyms"}, where)
        classes.append(_target_class(name, entry, tuple(groups), where))
        _add_synonyms(meaning, name, _texts(entry, "synonyms", where), path)
    ids = [c.id for c in classes]
    void_id = content.get("void_id")
    if not classes or len(set(ids)) < len(ids) or void_id in [None, *ids]:
        raise SettingsError(f"{path}: needs classes whose ids differ from each other and from void_id; found {ids}.")
    void_id = _byte(void_id, f"{path}: void_id")
    if any(normalised(name) in _NO_COUNTERPART for name in (*content["classes"], *groups)):
        raise SettingsError(f"{path}: 'none' is what a label without counterpart maps to; give the class another name.")
    name = as_type(content.get("name", path.stem), str, f"{path}: name")
    return Taxonomy(name, void_id, tuple(classes), tuple(groups), meaning)


def _target_class(name: str, entry: dict[str, Any], groups: tuple[str, ...], where: str) -> TargetClass:
    group = entry.get("group")
    if group is not None and (not isinstance(group, str) or group not in groups):
        raise SettingsError(f"{where}: group '{group}' is not among [groups] ({', '.join(groups)}).")
    colour = entry.get("colour")
    if "id" not in entry or not isinstance(colour, list) or len(colour) != 3:
        raise SettingsError(f"{where}: needs id = N and colour = [R, G, B]; found {shown(entry)}.")
    red, green, blue = (_byte(value, f"{where}: colour") for value in colour)
    label_ids = as_type(entry.get("label_ids", ()), tuple[int, ...], f"{where}: label_ids")
    label_ids = tuple(_byte(value, f"{where}: label_ids") for value in label_ids)
    thing = as_type(entry.get("thing", False), bool, f"{where}: thing")
    return TargetClass(name, _byte(entry["id"], f"{where}: id"), (red, green, blue), group, thing, label_ids)


def _byte(value: Any, where: str) -> int:
    number: int = as_type(value, int, where)
    if not 0 <= number <= 255:
        raise SettingsError(f"{where} = {number}: expected 0 to 255, since a mask holds a byte for each pixel.")
    return number


def _texts(entry: Mapping[str, Any], key: str, where: Path | str) -> tuple[str, ...]:
    texts: tuple[str, ...] = as_type(entry.get(key, ()), tuple[str, ...], f"{where}: {key}")
    return texts


def _add_synonyms(meaning: dict[str, str | None], node: str, synonyms: Sequence[str], path: Path) -> None:
    for label in [node, *synonyms]:
        known = meaning.setdefault(normalised(label), node)
        if known != node:
            raise SettingsError(f"{path}: '{label}' maps to both '{known}' and '{node}'. Keep one.")


def _only_known(entry: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in entry:
        if key not in known:
            raise SettingsError(f"{where}: unknown key '{key}'.{did_you_mean(key, sorted(known))}")


@dataclass(frozen=True)
class LabelMap:
    """The user's own reading of source labels: for every dataset, or for one. It wins over the taxonomy."""

    everywhere: Mapping[str, str | None]
    by_dataset: Mapping[str, Mapping[str, str | None]]

    def understood(self, dataset: str, label: str, name: str | None) -> tuple[bool, str | None]:
        """Whether the map contains this label, and the node that it maps to."""
        for scope in (self.by_dataset.get(dataset, {}), self.everywhere):
            for candidate in (label, name):
                if candidate is not None and normalised(candidate) in scope:
                    return True, scope[normalised(candidate)]
        return False, None


def load_label_map(path: Path | None, taxonomy: Taxonomy) -> LabelMap:
    """The label map in a TOML file: `Vehiculo = "vehicle"` for all, under `[dataset]` for one; "none" drops a label.

    Raises:
        SettingsError: not TOML, or a value is no class, group or synonym of the taxonomy.
    """
    if path is None:
        return LabelMap({}, {})
    everywhere: dict[str, str | None] = {}
    by_dataset: dict[str, dict[str, str | None]] = {}
    for key, value in _toml(path).items():
        if isinstance(value, dict):
            by_dataset[key] = {normalised(k): _node(v, taxonomy, f"{path}: [{key}] {k}") for k, v in value.items()}
        else:
            everywhere[normalised(key)] = _node(value, taxonomy, f"{path}: {key}")
    return LabelMap(everywhere, by_dataset)


def _node(value: object, taxonomy: Taxonomy, where: str) -> str | None:
    if isinstance(value, str) and normalised(value) in _NO_COUNTERPART:
        return None
    if isinstance(value, str) and normalised(value) in taxonomy.meaning:
        return taxonomy.meaning[normalised(value)]
    nodes = (*taxonomy.nodes, VOID, "none")
    raise SettingsError(f"{where} = {value!r}: not in taxonomy '{taxonomy.name}'.{did_you_mean(str(value), nodes)}")


def with_classes(
    boxes: pl.DataFrame, images: pl.DataFrame, vocabulary: pl.DataFrame, taxonomy: Taxonomy, label_map: LabelMap
) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """The boxes with their `class`, and a row per source label with the class that it maps to.

    Args:
        boxes: Table BOXES, or TAGS; `class` is overwritten.
        images: Table IMAGES, for the dataset of each box.
        vocabulary: Table VOCABULARY of these boxes' source; may be empty.

    Returns:
        Boxes, in their old order and no second time in memory, and the LABELS table, which holds every label that
        occurs, mapped or not.
    """
    labels = (
        _keyed(boxes, images)
        .group_by("dataset", "label")
        .agg(pl.len().cast(pl.Int64).alias("boxes"), pl.col("image").n_unique().cast(pl.Int64).alias("images"))
        .collect()
        .with_columns(pl.col("dataset", "label").cast(pl.String))
        .join(vocabulary, on="label", how="left")
        .sort("dataset", "label")
    )
    classes = []
    for row in labels.iter_rows(named=True):
        said, node = label_map.understood(row["dataset"], row["label"], row["name"])
        if not said:
            node = taxonomy.understood(row["label"], row["name"], tuple(row["ancestors"] or ()))
        classes.append(node)
    labels = labels.with_columns(pl.Series("class", classes, dtype=pl.String))
    meant = labels.lazy().select("dataset", "label", "class")
    mapped = boxes.lazy().drop("class")
    if images["dataset"].n_unique() > 1:
        owners = images.lazy().select("image_id", "dataset")
        mapped = mapped.join(owners, on="image_id", how="left", maintain_order="left")
        mapped = mapped.join(meant, on=["dataset", "label"], how="left", maintain_order="left")
    else:
        mapped = mapped.join(meant.drop("dataset"), on="label", how="left", maintain_order="left")
    return mapped.select(boxes.columns), labels.select(list(LABELS))


def _keyed(boxes: pl.DataFrame, images: pl.DataFrame) -> pl.LazyFrame:
    """Dataset, label and a number for the image of each box: distinct numbers are counted in a fraction of the room."""
    labels = pl.col("label").cast(pl.Categorical)
    if images["dataset"].n_unique() == 1 and boxes["image_id"].is_sorted():  # no box needs to be looked up
        home = pl.lit(images["dataset"][0]).cast(pl.Categorical)
        return boxes.lazy().select(labels, dataset=home, image=pl.col("image_id").rle_id())
    number = pl.int_range(pl.len(), dtype=pl.UInt32).alias("image")
    numbers = images.lazy().select("image_id", pl.col("dataset").cast(pl.Categorical), number)
    return boxes.lazy().select("image_id", labels).join(numbers, on="image_id")
