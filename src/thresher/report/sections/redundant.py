"""Redundancy: images of the selection that are nearly the same as each other, or as an image of the target."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl

from thresher.report.blocks import Block, Facts, Picture, Strip, Strips, Words, number

#: Clusters shown, and pictures of each.
_CLUSTERS, _PICTURES = 12, 8


@dataclass(frozen=True)
class Redundancy:
    """Near-duplicates at one cosine.

    `clusters`: image_id and cluster of the pool's images that share a cluster with another one, or are like the target.
    """

    cosine: float
    clusters: pl.DataFrame
    like_target: int
    """The cluster of what is like the target."""


def redundancy_blocks(found: Redundancy, taken: Collection[str]) -> list[Block]:
    """What of the pool is there more than once, and how often the selection takes it.

    Args:
        taken: Ids of the selection.
    """
    clusters = found.clusters.with_columns(taken=pl.col("image_id").is_in(list(taken)))
    own = clusters.filter(pl.col("cluster") != found.like_target)
    sizes = own.group_by("cluster").agg(images=pl.len(), taken=pl.col("taken").sum())
    touched = sizes.filter(pl.col("taken") > 0)
    repeated = touched.filter(pl.col("taken") > 1).height
    leaked = clusters.filter((pl.col("cluster") == found.like_target) & pl.col("taken"))
    blocks: list[Block] = [
        Facts(
            [
                ("Near-duplicates", f"cosine of the pooled vectors {found.cosine} or more, joined in chains"),
                ("Clusters in the pool", number(sizes.height, column="clusters")),
                ("Images in them", number(own.height, column="images")),
                ("Clusters in the selection", number(touched.height, column="touched")),
                (
                    "of which more than one is taken",
                    number(repeated, column="repeated"),
                ),
                ("Selected that are like a target image", number(leaked.height, column="leaked")),
            ]
        )
    ]
    if not touched.height and not leaked.height:
        return [*blocks, Words("No image of the selection is nearly the same as another one of the pool or target.")]
    shown = touched.sort(["taken", "images", "cluster"], descending=[True, True, False]).head(_CLUSTERS)
    strips = [_strip(own, row["cluster"], row["images"], row["taken"]) for row in shown.iter_rows(named=True)]
    if strips:
        words = "Those of which most are taken first. With select's duplicate_cosine only the best of each is taken."
        more = f", {shown.height} of {touched.height:,}" if shown.height < touched.height else ""
        blocks.append(Strips(f"Clusters that the selection takes from{more}", words, strips))
    if leaked.height:
        pictures = [_picture(name, True) for name in leaked["image_id"].sort().head(_PICTURES)]
        words = "If networks are judged by the target's images, these tell them the answers."
        blocks.append(Strips("Selected, and nearly the same as an image of the target", words,
                             [Strip(f"{leaked.height:,} images", pictures)]))  # fmt: skip
    return blocks


def _strip(clusters: pl.DataFrame, cluster: int, images: int, taken: int) -> Strip:
    own = clusters.filter(cluster=cluster).sort(["taken", "image_id"], descending=[True, False]).head(_PICTURES)
    pictures = [_picture(name, chosen) for name, chosen in own.select("image_id", "taken").iter_rows()]
    return Strip(f"{images:,} images, {taken:,} taken", pictures)


def _picture(image_id: str, taken: bool) -> tuple[Picture, str]:
    return Picture(image_id, f"Image {image_id}"), "taken" if taken else "not taken"
