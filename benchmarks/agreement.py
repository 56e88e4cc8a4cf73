"""How alike two runs over the same images rank them: a fast mode against the exact one, one backbone against another.

Run:     python benchmarks/agreement.py runs/camvid runs/camvid_fast
Prints:  one line `score value` per column of the scores: Spearman's rank correlation over the pool, and how many of the
         first 100, 500 and 1,000 of the one are among those of the other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from scipy.stats import spearmanr

from thresher import Run, tables

COLUMNS = ("layout", "similarity", "ratio", "cosine", "rows", "sphere", "pooled_sphere", "nearest")


def main() -> None:
    """Print every line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("one", type=Path)
    parser.add_argument("other", type=Path)
    asked = parser.parse_args()
    one, other = (tables.read(Run(folder).scores_path, tables.SCORES) for folder in (asked.one, asked.other))
    both = one.join(other, on="image_id", suffix="_other")
    print(f"images {both.height}")
    for column in COLUMNS:
        shared = []
        for first in (100, 500, 1000):
            chosen = (set(both.top_k(first, by=name)["image_id"]) for name in (column, f"{column}_other"))
            shared.append(f"first {first}: {len(set.intersection(*chosen)) / first:.3f}")
        ranks = spearmanr(both[column], both[f"{column}_other"]).statistic
        print(f"{column:20s} {ranks:.4f}   {'   '.join(shared)}")


if __name__ == "__main__":
    main()
