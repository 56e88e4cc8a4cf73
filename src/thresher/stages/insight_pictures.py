"""The pictures of insight that need pixels: crops of each component's slices, and heat maps over images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from thresher import tables
from thresher.data.images import rgb_image
from thresher.density.held_out import HeldOut
from thresher.density.mixture import Mixture, log_density
from thresher.density.slice_block import SliceBlock
from thresher.drawings.component_sheet import (
    ComponentRow,
    Crop,
    component_sheet,
    slice_crop,
)
from thresher.drawings.heat_map import heat_map, heat_scale
from thresher.errors import DataError
from thresher.features.shards import slices_of
from thresher.files import replacing
from thresher.run.folder import Run
from thresher.run.perform import Track

Problems = dict[str, str]
"""Image id and the reason why its pixels could not be read."""


def draw_components(
    run: Run, typical: pl.DataFrame, sizes: pl.DataFrame, paths: Mapping[str, Path], target: SliceBlock
) -> Problems:
    """Write component_slices.png: a row per component, the target's largest first; gives the unreadable images."""
    grids = dict(zip(target.image_ids, target.grids.tolist(), strict=True))
    crops: dict[tuple[int, int], Crop] = {}
    problems: Problems = {}
    # One image may show several components' slices: it is decoded once.
    for (image_id,), own in typical.group_by("image_id", maintain_order=True):
        picture = _picture(str(image_id), paths, problems)
        for slice_row in own.iter_rows(named=True):
            drawn: Image.Image | str = problems.get(str(image_id), "")
            if picture is not None:
                rows, columns = grids[str(image_id)]
                drawn = slice_crop(picture, (rows, columns), slice_row["row"], slice_row["column"])
            caption = f"{slice_row['log_density_nats']:.1f} nats"
            crops[slice_row["component"], slice_row["rank"]] = Crop(drawn, caption)
    rows_drawn = []
    for size in sizes.sort("target_share", descending=True).iter_rows(named=True):
        own_crops = [crops[key] for key in sorted(crops) if key[0] == size["component"]]
        lines = [
            f"component {size['component']}",
            f"{size['target_share']:.1%} of target slices",
            f"{size['pool_share']:.1%} of pool slices",
            f"weight {size['weight']:.3f}",
        ]
        rows_drawn.append(ComponentRow(lines, own_crops))
    words = "Each row: the target's slices most typical of one component, best first. The yellow cell is the slice; "
    words += "around it, one cell of context (grey: beyond the image). Below: its log p."
    sheet = component_sheet(rows_drawn, f"The {sizes.height} components", words)
    with replacing(run.insight / "component_slices.png") as file:
        sheet.save(file, format="PNG")
    return problems


def draw_heat_maps(
    run: Run,
    wanted: Mapping[str, str],
    ranks: Mapping[str, int],
    paths: Mapping[str, Path],
    mixture: Mixture,
    held_out: HeldOut,
    target: SliceBlock,
    track: Track[Any],
) -> Problems:
    """Write heat.parquet and heat/NAME.png for each name and image id; gives the unreadable images.

    Pool images are shown under the run's mixture, as in score; target images under a mixture fitted without them.

    Args:
        wanted: Image id by picture name.
        ranks: Rank of each pool image by similarity, 1 = nearest.
    """
    folder = run.insight / "heat"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.png"):
        if stale.stem not in wanted:
            stale.unlink()
    densities = _densities(run, set(wanted.values()), mixture, held_out, target)
    scale = heat_scale(held_out.log_densities)
    problems: Problems = {}
    for name, image_id in track(wanted.items(), len(wanted), "drawing heat maps"):
        density = densities[image_id]
        size = (density.shape[1] * 32, density.shape[0] * 32)
        picture = _picture(image_id, paths, problems) or Image.new("RGB", size, (228, 228, 231))
        place = f"Rank {ranks[image_id]:,} of {len(ranks):,} in the pool" if image_id in ranks else "Target, held out"
        sheet = heat_map(picture, density, scale, f"{place}: {density.mean():.1f} nats per slice", image_id)
        with replacing(folder / f"{name}.png") as file:
            sheet.save(file, format="PNG")
    tables.write(_heat_table(wanted, densities), run.insight / "heat.parquet")
    return problems


def _densities(
    run: Run, wanted: set[str], mixture: Mixture, held_out: HeldOut, target: SliceBlock
) -> dict[str, np.ndarray]:
    """Each image's grid of log-densities; the target's images held out."""
    found: dict[str, np.ndarray] = {}
    if not wanted:
        return found
    block = slices_of(run.slices, wanted)
    of_target = {image_id: number for number, image_id in enumerate(target.image_ids)}
    for number, image_id in enumerate(block.image_ids):
        if image_id in of_target:
            first, last = target.starts[of_target[image_id] : of_target[image_id] + 2]
            density = held_out.log_densities[first:last]
        else:
            density = log_density(mixture, block.slices[block.starts[number] : block.starts[number + 1]])
        found[image_id] = density.reshape(block.grids[number])
    return found


def _heat_table(wanted: Mapping[str, str], densities: Mapping[str, np.ndarray]) -> pl.DataFrame:
    parts = [tables.empty(tables.HEAT)]
    for name, image_id in wanted.items():
        grid = densities[image_id]
        row, column = (axis.ravel() for axis in np.indices(grid.shape))
        place = {"name": [name] * grid.size, "image_id": [image_id] * grid.size, "row": row, "column": column}
        parts.append(pl.DataFrame({**place, "log_density_nats": grid.ravel()}, schema=dict(tables.HEAT)))
    return pl.concat(parts)


def _picture(image_id: str, paths: Mapping[str, Path], problems: Problems) -> Image.Image | None:
    try:
        return rgb_image(paths[image_id])
    except DataError as error:
        problems[image_id] = str(error)
        return None
