"""The report's pictures: thumbnails and insight's drawings, as files beside the page or inside it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from thresher.data.images import rgb_image
from thresher.drawings.thumbnails import LARGE, SMALL, WIDE, Shown, jpeg, thumbnail
from thresher.errors import DataError
from thresher.features.shards import has_grid, with_slices
from thresher.files import replacing
from thresher.run.opened import OpenedRun
from thresher.run.perform import Track

if TYPE_CHECKING:
    from thresher.report.blocks import Heat, Section
    from thresher.report.page import Pictures

#: Gives the page's way to a picture: its name beside the page, or the picture itself.
Keep = Callable[[str, bytes], str]
_OURS = re.compile(r"[0-9a-f]{20}-\d+\.jpg")


def boxes_of(
    opened: OpenedRun, frames: Sequence[pl.DataFrame], classes: Mapping[str, int]
) -> dict[str, list[dict[str, Any]]]:
    """The boxes of these classes on the images that the frames name and on their nearest target images, by image."""
    ids: set[str] = set()
    for frame in frames:
        ids |= set(frame["image_id"])
        ids |= {each for why in frame["why"] if why for each in why["nearest_ids"] or ()}
    columns = ("image_id", "class", "x0", "y0", "x1", "y1")
    own = (
        opened.lazy_boxes()
        .select(columns)
        .filter(pl.col("image_id").is_in(sorted(ids)) & pl.col("class").is_in(sorted(classes)))
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in own.collect(engine="streaming").sort("image_id", "class", "x0", "y0", "x1", "y1").iter_rows(named=True):
        found.setdefault(row["image_id"], []).append(row)
    return found


def heat_of(opened: OpenedRun, frames: Sequence[pl.DataFrame], method: str) -> dict[str, Heat]:
    """What ranked the frames' images, part by part; empty if the mixture does not fit the slices."""
    from thresher.report.blocks import heat
    from thresher.stages.heat import HeatMaps, mixture_fits, shown_by

    run = opened.run
    if not opened.has_vectors or not has_grid(opened.pooled):
        return {}
    ids = with_slices(run.slices, {name for frame in frames for name in frame["image_id"]})
    if not mixture_fits(run, ids):
        return {}
    maps = HeatMaps(opened, shown_by(method))
    return {name: heat(values, maps.scale) for name, values in maps.parts(ids).items()}


def pictures_of(
    opened: OpenedRun, sections: Sequence[Section], out: Path, single_file: bool, track: Track[Any]
) -> tuple[Pictures, int]:
    """Make every picture that the sections show; gives them and the number of images that could not be read."""
    from thresher.report.blocks import Answers, Chart, Drawing, Drawings, Gallery, Strips
    from thresher.report.page import Pictures
    from thresher.report.sections.distributions import spread_out

    blocks = [block for section in sections for block in section.blocks]
    cards = [card for block in blocks if isinstance(block, Gallery) for card in block.cards]
    answers = [answer for block in blocks if isinstance(block, Answers) for answer in block.answers]
    large = {card.picture.image_id for card in cards}
    large |= {picture.image_id for answer in answers for picture, _ in answer.pictures}
    brushed = {name for block in blocks if isinstance(block, Chart) for name in spread_out(block)}
    # What the brush can show is small also where a card shows it large.
    small = brushed | {picture.image_id for card in cards for picture in card.nearest}
    strips = [strip for block in blocks if isinstance(block, Strips) for strip in block.strips]
    small |= {picture.image_id for strip in strips for picture, _ in strip.pictures}
    kept: set[str] = set()
    folder = out.parent / f"{out.stem}_files"
    keep = _inside if single_file else _beside(folder, kept)
    wanted = pl.col("image_id").is_in(sorted(large | small))
    paths = dict(opened.images.filter(wanted).select("image_id", "path").iter_rows())
    shown: dict[int, dict[str, Shown]] = {LARGE: {}, SMALL: {}}
    for image_id in track(sorted(large | small), len(large | small), "drawing thumbnails"):
        sides = [side for side, ids in ((LARGE, large), (SMALL, small)) if image_id in ids]
        for side, one in _thumbnails(Path(paths.get(image_id, "")), image_id, sides, keep).items():
            shown[side][image_id] = one
    drawn = [block for block in blocks if isinstance(block, Drawing)]
    drawn += [each for block in blocks if isinstance(block, Drawings) for each in block.drawings]
    drawings = {one.file: _thumbnails(opened.run.folder / one.file, one.file, [WIDE], keep)[WIDE] for one in drawn}
    _sweep(folder, kept)
    unreadable = {name for each in shown.values() for name, one in each.items() if not one.source}
    return Pictures(shown[LARGE], shown[SMALL], drawings, sorted(brushed)), len(unreadable)


def _thumbnails(path: Path, name: str, sides: Sequence[int], keep: Keep) -> dict[int, Shown]:
    """The picture with no side longer than each of the sides; decoded once."""
    try:
        picture = rgb_image(path)
    except DataError as error:
        return {side: Shown("", reason=str(error)) for side in sides}
    found = {}
    for side in sides:
        small = thumbnail(picture, side)
        # Ids hold slashes and whatever else a source likes; a hash is a file name everywhere.
        key = f"{hashlib.sha256(name.encode()).hexdigest()[:20]}-{side}.jpg"
        found[side] = Shown(keep(key, jpeg(small)), small.width, small.height)
    return found


def _inside(name: str, content: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _beside(folder: Path, kept: set[str]) -> Keep:
    from urllib.parse import quote

    def keep(name: str, content: bytes) -> str:
        with replacing(folder / name) as file:
            file.write(content)
        kept.add(name)
        return f"{quote(folder.name)}/{name}"

    return keep


def _sweep(folder: Path, kept: set[str]) -> None:
    """Remove thumbnails of an earlier page of the same name."""
    for path in folder.glob("*.jpg"):
        if path.name not in kept and _OURS.fullmatch(path.name):
            path.unlink(missing_ok=True)
