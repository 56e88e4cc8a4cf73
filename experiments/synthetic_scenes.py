"""The made-up scenes of synthetic.toml: target and pool, and other scenes to validate on.

Run:      python experiments/synthetic_scenes.py   (from the repository)
Takes:    about a minute
Expects:  runs/synthetic_scenes (60 + 2,000 images) and runs/synthetic_validation (150 images)
"""

from __future__ import annotations

from pathlib import Path

from thresher.synthetic.dataset import SyntheticSettings, write_dataset

RUNS = Path(__file__).resolve().parent.parent / "runs"


def main() -> None:
    """Write both, unless they are there."""
    write_dataset(
        RUNS / "synthetic_scenes", SyntheticSettings(seed=0, target_images=60, val_images=200, pool_images=2000)
    )
    # The labelled set is poor in some classes, the domain is not: validation holds them as often as the pool's streets.
    write_dataset(
        RUNS / "synthetic_validation",
        SyntheticSettings(seed=1, target_images=0, val_images=150, pool_images=0, rare_in_target=()),
    )


if __name__ == "__main__":
    main()
