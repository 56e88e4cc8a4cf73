"""Which image file an annotation means by a name: a path, an address, or the bare name of a file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl

from thresher.data.dataset import IMAGE_SUFFIXES, existing_folder, image_paths
from thresher.data.findings import absolute
from thresher.tables import REMOTE, from_rows

_SPLIT = re.compile(r"(?i)(train|val|valid|validation|test|dev)\d*")


def spelt_path(name: str) -> str:
    """A name as a path with forward slashes: of an address its path, or the file that Label Studio's `?d=` names.

    >>> spelt_path("train\\\\a.jpg"), spelt_path("https://x.org/p/a%20b.jpg?size=2")
    ('train/a.jpg', 'p/a b.jpg')
    >>> spelt_path("/data/local-files/?d=pool/a.jpg"), spelt_path("s3://bucket/p/a#1.jpg")
    ('pool/a.jpg', 'p/a#1.jpg')
    """
    text = name.strip()
    if "/local-files/" in text and "?d=" in text:
        text = parse_qs(text.partition("?")[2]).get("d", [""])[0]
    elif text.startswith(("http://", "https://")):
        text = unquote(urlsplit(text).path)
    elif "://" in text:
        text = text.partition("://")[2].partition("/")[2]
    return os.path.normpath(text.replace("\\", "/")).removeprefix("./").lstrip("/")


class ImageFiles:
    """The image files below a folder, found by the names that annotations give them."""

    def __init__(self, home: Path) -> None:
        """All image files below `home`, at any depth.

        Raises:
            DataError: a folder cannot be listed.
        """
        self.home, self.paths = home, image_paths(home)
        self._start = len(str(home).rstrip("/")) + 1
        self._below = {path[self._start :]: path for path in self.paths}
        self._of_name: dict[str, list[str]] = {}
        self._of_stem: dict[str, list[str]] = {}
        for path in self.paths:
            name = os.path.basename(path)  # noqa: PTH119 - a Path for each of millions would take most of the time
            self._of_name.setdefault(name, []).append(path)
            self._of_stem.setdefault(os.path.splitext(name)[0], []).append(path)

    def located(self, names: Sequence[str]) -> list[tuple[str | None, str]]:
        """For each name its file, or None and why there is none.

        A file is meant by its path below the folder; or by the end of its path, where that of one file alone is the end
        of the name, or the name the end of it (`/mnt/x/train/a.jpg`, `a.jpg`); or by its bare name alone, where no
        other file and no other name ends so and no split is another. A name without an image's ending means a file but
        for its ending.
        """
        spelt = [spelt_path(name) for name in names]
        last = Counter(name.rsplit("/", 1)[-1] for name in set(spelt))
        return [self._located(name, last) for name in spelt]

    def _located(self, name: str, last: Counter[str]) -> tuple[str | None, str]:
        full = f"/{name}"
        exact = self._below.get(name if not full.startswith(f"{self.home}/") else full[self._start :])
        if exact is not None:
            return exact, ""
        bare = name.rsplit("/", 1)[-1]
        stemmed = os.path.splitext(bare)[1].lower() not in IMAGE_SUFFIXES
        called = (self._of_stem if stemmed else self._of_name).get(bare, [])
        ends = [path for path in called if self._fits(name, path, stemmed)]
        found = ends or [path for path in called if _splits(name) <= _splits(path[self._start :])]
        alone = last[bare] == 1 or (bool(ends) and "/" in name)
        if len(found) == 1 and alone:
            return found[0], ""
        shown = ", ".join(path[self._start :] for path in sorted(found)[:3])
        if not found:
            return None, "and there is no image file of that name"
        if len(found) == 1:
            return None, f"and {last[bare]} names end like {shown}: which is meant?"
        return None, f"and {len(found)} files are called so ({shown}): which is meant?"

    def _fits(self, name: str, path: str, stemmed: bool) -> bool:
        """Whether one of the two, seen from the folder, is the end of the other."""
        below = os.path.splitext(path[self._start :])[0] if stemmed else path[self._start :]
        return f"/{below}".endswith(f"/{name}") or f"/{name}".endswith(f"/{below}")


class ToCome:
    """Images that are not on disk and have an address, from which `thresher download` can fetch them."""

    def __init__(self, home: Path) -> None:
        """For images that are looked for below `home`."""
        self._home = home
        self._urls: dict[str, str] = {}

    def place(self, name: str, url: str, why: str) -> tuple[str | None, str]:
        """Where the image of this name will be found once it is there; None and why where it can have no place.

        Args:
            url: Where it is to be had.
            why: Why it is not there.

        >>> ToCome(Path("/data")).place("https://x.org/p/a.jpg?size=2", "https://x.org/p/a.jpg?size=2", "")
        ('/data/p/a.jpg', '')
        """
        path = os.path.normpath(os.path.join(self._home, spelt_path(name)))
        inside = path.startswith(f"{str(self._home).rstrip('/')}/") and "\0" not in path
        is_image = os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES
        if not (inside and is_image and url.lower().startswith(("http://", "https://"))):
            return None, why
        if self._urls.setdefault(path, url) != url:
            return None, f"which would be the same file as {self._urls[path]}"
        return path, ""

    def table(self, images: pl.DataFrame) -> pl.DataFrame:
        """Table REMOTE of those that are among the images."""
        told = pl.DataFrame(list(self._urls.items()), {"path": pl.String, "url": pl.String}, orient="row")
        rows = images.join(told, on="path", how="inner", maintain_order="left").select("image_id", "url")
        return from_rows([row | {"original": False} for row in rows.iter_rows(named=True)], REMOTE)


def _splits(path: str) -> set[str]:
    """The folders of a path that are called as splits are: a `val/1.jpg` is never the file `train/1.jpg`."""
    return {part for part in path.split("/")[:-1] if _SPLIT.fullmatch(part)}


def bare_id(name: str) -> str:
    """What the id of an image would be that is not there.

    >>> bare_id("/a/../b.jpg"), bare_id("x.7")
    ('b', 'x.7')
    """
    path = spelt_path(name)
    stem, suffix = os.path.splitext(path)
    return (stem if suffix.lower() in IMAGE_SUFFIXES else path) or "?"


def folders_of(paths: Iterable[str]) -> set[str]:
    """The folders in which these files lie."""
    return {os.path.dirname(path) for path in paths}  # noqa: PTH120 - as above


def home_of(root: Path, images: str | None = None) -> Path:
    """The folder below which images are looked for: the one told, or `root`, or the one that the file `root` lies in.

    Raises:
        DataError: the one told is no folder.
    """
    home = root if root.is_dir() else root.parent
    return home if images is None else absolute(existing_folder(home / Path(images).expanduser(), "with the images"))
