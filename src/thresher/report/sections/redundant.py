"""Redundancy: images of the selection that are nearly the same as each other, or as an image of the target."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from thresher.report.blocks import Block, Facts, Picture, Strip, Strips, Words, number

#: Clusters and pairs shown, and pictures of each cluster.
_CLUSTERS, _PICTURES = 12, 8


@dataclass(frozen=True)
class Redundancy:
    """Near-duplicates at one cosine.

    `clusters`: image_id and cluster of the pool's images that share a cluster with another one, or are like the target.
    `alike`: image_id, other_id and cosine: of the images of each cluster that the selection takes from the most alike
    of the same cluster, and of selected ones that are like the target its image most like them.
    """

    cosine: float
    clusters: pl.DataFrame
    like_target: int
    """The cluster of what is like the target."""
    alike: pl.DataFrame


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
    strips = [_strip(own.filter(cluster=row["cluster"]), found.alike) for row in shown.iter_rows(named=True)]
    if strips:
        words = (
            "Those of which most are taken first; cosine: of each image with the one most like it. With select's "
            "duplicate_cosine only the best of each is taken."
        )
        more = f", {shown.height} of {touched.height:,}" if shown.height < touched.height else ""
        blocks.append(Strips(f"Clusters that the selection takes from{more}", words, strips))
    if leaked.height:
        pairs = leaked.join(found.alike, on="image_id").sort(["cosine", "image_id"], descending=[True, False])
        shown = pairs.head(_CLUSTERS)
        words = "If networks are judged by the target's images, these tell them the answers. The most alike first."
        more = f", {shown.height} of {pairs.height:,}" if shown.height < pairs.height else ""
        blocks.append(
            Strips(
                f"Selected, and nearly the same as an image of the target{more}",
                words,
                [_pair(row) for row in shown.iter_rows(named=True)],
            )
        )
    return blocks


def _strip(cluster: pl.DataFrame, alike: pl.DataFrame) -> Strip:
    cosines = cluster.join(alike, on="image_id")["cosine"].sort()
    ends = dict.fromkeys(f"{cosine:.3f}" for cosine in (cosines[0], cosines[-1]))
    shown = cluster.sort(["taken", "image_id"], descending=[True, False]).head(_PICTURES)
    pictures = [
        _picture(name, "taken" if chosen else "not taken")
        for name, chosen in shown.select("image_id", "taken").iter_rows()
    ]
    words = f"{cluster.height:,} images, {cluster['taken'].sum():,} taken, cosine {' to '.join(ends)}"
    return Strip(words, pictures)


def _pair(row: Mapping[str, Any]) -> Strip:
    pictures = [_picture(row["image_id"], "taken"), _picture(row["other_id"], "target")]
    return Strip(f"cosine {row['cosine']:.3f}", pictures)


def _picture(image_id: str, words: str) -> tuple[Picture, str]:
    return Picture(image_id, f"Image {image_id}"), words
