"""Where images and their masks lie: folders that correspond, and names that do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from thresher.data.dataset import contents, existing_folder, image_files, source_id_of
from thresher.errors import DataError, SettingsError

#: Names of folders of masks beside one of images.
MASK_FOLDERS = ("masks", "labels", "annotations")
#: What may stand behind an image's name in its mask's.
SUFFIXES = ("_mask", "_masks", "-mask", "_label", "_labels", "_gt", "_seg", "_L", "_train_id")
TRAIN_IDS, LABEL_IDS, OWN_IDS = "cityscapes_train_ids", "cityscapes_label_ids", "class_index"
#: Mapillary Vistas' 16 bits: the class's number times 256, and the number of the instance.
INSTANCES = "instances"
_IMAGES = ("images", "imgs", "img", "image")
#: Folder of images, of masks, and encoding of these; {} is a split. The first that is there counts.
_BY_SPLIT = (
    ("{}", "{}annot", OWN_IDS),  # CamVid
    ("images/10k/{}", "labels/sem_seg/masks/{}", TRAIN_IDS),  # BDD100K
    ("images/{}", "labels/sem_seg/masks/{}", TRAIN_IDS),
    ("{}/images", "{}/v2.0/labels", OWN_IDS),  # Mapillary Vistas
    ("{}/images", "{}/v1.2/labels", OWN_IDS),
    ("{}/images", "{}/v2.0/instances", INSTANCES),
    ("{}/images", "{}/v1.2/instances", INSTANCES),
    ("{}/image_2", "{}/semantic", LABEL_IDS),  # KITTI
    *((f"{{}}/{images}", f"{{}}/{masks}", OWN_IDS) for images in _IMAGES for masks in (*MASK_FOLDERS, "mask")),
    ("{}/images", "{}/instances", INSTANCES),
    *((f"{{}}_{images}", f"{{}}_{masks}", OWN_IDS) for images in _IMAGES for masks in (*MASK_FOLDERS, "mask")),
)
_WHOLE = (
    ("image_2", "semantic", LABEL_IDS),
    *((images, masks, OWN_IDS) for images in _IMAGES for masks in (*MASK_FOLDERS, "mask")),
)


@dataclass(frozen=True)
class Pair:
    """Two folders whose files correspond by their path below them; `prefix` starts the ids of their images."""

    images: Path
    masks: Path
    split: str | None
    prefix: str
    encoding: str = OWN_IDS
    forms: tuple[str, str] | None = None
    """Of a pair of patterns: what the paths below the two folders look like; {} is the same in both."""

    def files(self) -> tuple[list[tuple[str, Path]], list[tuple[str, Path]]]:
        """Id and path of each image, and of each mask under its image's id.

        A mask has its image's name, or that with one of `SUFFIXES` behind. In one folder, those with are the masks.
        """
        if self.forms is not None:
            both = zip((self.images, self.masks), self.forms, strict=True)
            images, masks = (_fitting(folder, form) for folder, form in both)
            return _prefixed(images, self.prefix), _prefixed(masks, self.prefix)
        images = [(source_id_of(path, self.images), path) for path in image_files(self.images)]
        if self.images == self.masks:
            names = {name for name, _ in images}
            masks = [(bare, path) for name, path in images if (bare := _bare(name, names)) is not None]
            taken = {path for _, path in masks}
            images = [each for each in images if each[1] not in taken]
        else:
            names = {name for name, _ in images}
            found = [(source_id_of(path, self.masks), path) for path in image_files(self.masks)]
            masks = [(name if name in names else _bare(name, names) or name, path) for name, path in found]
        return _prefixed(images, self.prefix), _prefixed(masks, self.prefix)


def _prefixed(named: Iterable[tuple[str, Path]], prefix: str) -> list[tuple[str, Path]]:
    return [(prefix + name, path) for name, path in named]


def _bare(name: str, images: set[str]) -> str | None:
    """The image whose name with a suffix behind this is; None if there is none."""
    bares = (name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix))
    return next((bare for bare in bares if bare in images), None)


def _fitting(folder: Path, form: str) -> list[tuple[str, Path]]:
    """The image files whose path below the folder is of the form, each with what stands for {}."""
    spelt = {"{}": "(.+)", "*": "[^/]*"}
    pattern = re.compile("".join(spelt.get(part, re.escape(part)) for part in re.split(r"(\{\}|\*)", form)))
    found = ((pattern.fullmatch(path.relative_to(folder).as_posix()), path) for path in image_files(folder))
    return [(match[1], path) for match, path in found if match is not None]


def told_pair(root: Path, split: str | None, images: str, masks: str) -> Pair:
    """The pair of two places, each a folder, or a pattern with one {} and any number of *; {split} is the split.

    Raises:
        SettingsError: one is a pattern and the other is none, or it has {split} and no split is asked for.
        DataError: no such folder.

    >>> pair = told_pair(Path("/"), "val", "tmp/{split}_{}.jpg", "tmp/{}_*.png")
    >>> pair.images.as_posix(), pair.masks.as_posix(), pair.forms, pair.prefix
    ('/tmp', '/tmp', ('val_{}.jpg', '{}_*.png'), 'val/')
    """
    if split is None and "{split}" in images + masks:
        raise SettingsError(
            f"images = {images}, masks = {masks}: which split? Say it behind the source: masks:ROOT#SPLIT."
        )
    places = [place.replace("{split}", split or "") for place in (images, masks)]
    if {place.count("{}") for place in places} not in ({0}, {1}):
        raise SettingsError(
            f"images = {images}, masks = {masks}: expected two folders, or two patterns with one {{}} each."
        )
    prefix = f"{split}/" if split else ""
    if "{}" not in places[0]:
        folders = [existing_folder(root / Path(place).expanduser(), "told as its place") for place in places]
        return Pair(folders[0], folders[1], split, prefix)
    parted = [re.split(r"(?:^|/)(?=[^/]*[{*])", str(root / Path(place).expanduser()), maxsplit=1) for place in places]
    folders = [existing_folder(Path(folder or "/"), "before the pattern") for folder, _ in parted]
    return Pair(folders[0], folders[1], split, prefix, forms=(parted[0][1], parted[1][1]))


def pairs_in(root: Path, split: str | None) -> list[Pair]:
    """The folders of images and masks of a split, or of all.

    Raises:
        DataError: none are found.
    """
    for images, masks, encoding in _BY_SPLIT:
        names = [split] if split else _splits(root, images, masks)
        found = [
            Pair(root / images.format(name), root / masks.format(name), name, f"{name}/", encoding)
            for name in names
            if (root / images.format(name)).is_dir() and (root / masks.format(name)).is_dir()
        ]
        if found:
            return found
    below = split or ""
    for images, masks, encoding in _WHOLE:
        if (root / images / below).is_dir() and (root / masks / below).is_dir():
            return [Pair(root / images / below, root / masks / below, split, f"{split}/" if split else "", encoding)]
    if mixed := _mixed(root, split):
        return mixed
    wanted = f"{split}/ and {split}annot/" if split else "train/ and trainannot/"
    raise DataError(
        f"{root}: no folders of images and masks{f' for split {split!r}' if split else ''}. Found {contents(root)}; "
        f"expected {wanted}, or images/ and one of {', '.join(f'{name}/' for name in MASK_FOLDERS)}."
    )


def _splits(root: Path, images: str, masks: str) -> list[str]:
    """The splits of which there is a folder of masks."""
    before, _, behind = masks.partition("{}")
    start = root / before
    if not start.is_dir():
        return []
    tail = behind.split("/")[0]
    names = [path.name for path in sorted(start.iterdir()) if path.is_dir() and path.name[0] != "."]
    ended = [name.removesuffix(tail) for name in names if name.endswith(tail) and name != tail]
    return [name for name in ended if (root / masks.format(name)).is_dir() and (root / images.format(name)).is_dir()]


def _mixed(root: Path, split: str | None) -> list[Pair]:
    """Folders in which masks lie beside their images, told by a suffix: Roboflow's."""
    if split:
        folders = [root / split] if (root / split).is_dir() else []
    else:
        folders = [root, *(path for path in sorted(root.iterdir()) if path.is_dir() and path.name[0] != ".")]
    found = []
    for folder in folders:
        names = {path.stem for path in folder.iterdir() if path.is_file()}
        if any(_bare(name, names) is not None for name in names):
            name = folder.name if folder != root else None
            found.append(Pair(folder, folder, name, f"{name}/" if name else ""))
            if folder == root:
                break
    return found
