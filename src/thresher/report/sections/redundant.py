"""Redundancy: near-duplicates within the selection, and of target images."""

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

    `clusters`: image_id and cluster of the pool images with a near-duplicate in pool or target.
    `alike`: image_id, other_id and cosine: for each image of a cluster with selected images, the nearest image of that
    cluster; for each selected near-duplicate of the target, the nearest target image.
    """

    cosine: float
    clusters: pl.DataFrame
    like_target: int
    """Cluster number of near-duplicates of the target."""
    alike: pl.DataFrame


def redundancy_blocks(found: Redundancy, taken: Collection[str]) -> list[Block]:
    """Near-duplicates in the pool, and how many of them the selection contains.

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
                ("Near-duplicates", f"cosine of the pooled vectors {found.cosine} or more"),
                ("Clusters in the pool", number(sizes.height, column="clusters")),
                ("Images in them", number(own.height, column="images")),
                ("Clusters in the selection", number(touched.height, column="touched")),
                (
                    "of which more than one is taken",
                    number(repeated, column="repeated"),
                ),
                ("Selected near-duplicates of a target image", number(leaked.height, column="leaked")),
            ]
        )
    ]
    if not touched.height and not leaked.height:
        return [*blocks, Words("No image of the selection is a near-duplicate of another image of pool or target.")]
    shown = touched.sort(["taken", "images", "cluster"], descending=[True, True, False]).head(_CLUSTERS)
    strips = [_strip(own.filter(cluster=row["cluster"]), found.alike) for row in shown.iter_rows(named=True)]
    if strips:
        words = (
            "Most images taken first. Cosine: of each image with its nearest one in the cluster. "
            "`select --duplicate-cosine` takes only the best of each cluster."
        )
        more = f", {shown.height} of {touched.height:,}" if shown.height < touched.height else ""
        blocks.append(Strips(f"Clusters that the selection takes from{more}", words, strips))
    if leaked.height:
        pairs = leaked.join(found.alike, on="image_id").sort(["cosine", "image_id"], descending=[True, False])
        shown = pairs.head(_CLUSTERS)
        words = "If target images are the test set, training on these leaks it. Most similar first."
        more = f", {shown.height} of {pairs.height:,}" if shown.height < pairs.height else ""
        blocks.append(
            Strips(
                f"Selected near-duplicates of target images{more}",
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
