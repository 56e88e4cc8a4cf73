"""What a dry run tells of a whole job against what the job then takes, stage by stage.

Run:     python benchmarks/estimates.py FOLDER [--cases small wide camvid …] [--data DIR] [--json FILE]
Needs:   thresher[all]; for camvid and street, the public data sets (docs/data.md) in DIR.
Prints:  one line per case and stage: seconds estimated before there was anything, seconds taken, their ratio; then how
         many are within a factor of two. Stages of less than a second are right if they are told as less than two.

The dry run is that of `thresher run FILE --dry-run` on a fresh folder. Then the same file is run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from pathlib import Path

from thresher.cli.run_file import load_run_file, run_all
from thresher.synthetic.dataset import SyntheticSettings, write_dataset

WORKED = """
[insight]
[report]
[train]
height_px = 96
width_px = 128
decoder_channels = 64
epochs = 6
weak_batch = 4
checkpoint_epochs = 3
"""
#: Name → target and pool images to make up, and the tables of the run file.
MADE_UP = {
    "small": (60, 400, WORKED),
    "fixed": (60, 400, '[fit]\ncomponents = "16"\n[embed]\nmode = "fast"\n'),
    "wide": (60, 400, '[fit]\ncomponents = "4"\ncovariance = "diagonal"\n[embed]\nwidth = 128\n'),
    "large": (200, 2000, '[score]\nscores = "all"\n[insight]\n'),
}
#: Name → target, pool (below the folder of public data) and the tables of the run file.
PUBLIC = {
    "camvid": ("masks:camvid#train", "coco:weak/street/traffic_vn_coco", "[insight]\n[report]\n"),
    "street": ("masks:camvid#val", "kitti:weak/street/kitti", '[embed]\nmode = "fast"\n[fit]\ncomponents = 8\n'),
}
TOLERATED, SHORT = 2.0, 1.0


def run_file(case: str, folder: Path, data: Path) -> Path:
    """The case's data and run file."""
    if case in MADE_UP:
        target, pool, tables = MADE_UP[case]
        scenes = folder / f"scenes_{target}_{pool}"
        if not scenes.exists():
            write_dataset(scenes, SyntheticSettings(target_images=target, pool_images=pool))
        sources = f"cityscapes:{scenes / 'cityscapes'}#train", f"open_images:{scenes / 'open_images'}"
    else:
        target_text, pool_text, tables = PUBLIC[case]
        sources = tuple(text.replace(":", f":{data}/", 1) for text in (target_text, pool_text))
    path = folder / f"{case}.toml"
    index = f'[index]\ntarget = "{sources[0]}"\npool = "{sources[1]}"\ntaxonomy = "{_taxonomy(case)}"\n'
    path.write_text(f'run = "run_{case}"\n{index}[select]\nbudget = "10%"\n{tables}')
    return path


def _taxonomy(case: str) -> str:
    return "camvid" if case in PUBLIC else "cityscapes"


def compared(path: Path) -> dict[str, tuple[float, float]]:
    """Stage → seconds estimated and taken."""
    settings = load_run_file(path)
    shutil.rmtree(settings.folder, ignore_errors=True)
    told = {result.stage: result.summary["seconds"] for result in run_all(settings, dry_run=True)}
    assert not settings.folder.exists(), "the dry run left something"
    pairs: dict[str, tuple[float, float]] = {}
    started = time.perf_counter()
    for result in run_all(settings):
        stage = result.stage.partition(":")[0]
        pairs[stage] = told[stage], time.perf_counter() - started
        started = time.perf_counter()
    pairs["run"] = told["run"], sum(taken for _, taken in pairs.values())
    return pairs


def within(told: float, taken: float) -> bool:
    """Whether an estimate holds."""
    both_short = told < 2 * SHORT and taken < 2 * SHORT
    return both_short or taken / TOLERATED <= told <= taken * TOLERATED


def main() -> None:
    """Print every pair and how many hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cases", nargs="*", default=[*MADE_UP, *PUBLIC], choices=[*MADE_UP, *PUBLIC])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--json", default="estimates.json")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, tuple[float, float]] = {}
    for case in asked.cases:
        for stage, pair in compared(run_file(case, asked.folder, asked.data.absolute())).items():
            figures[f"{case} {stage}"] = pair
            told, taken = pair
            verdict = "" if within(told, taken) else "  OUTSIDE"
            print(
                f"{case:8s} {stage:8s} told {told:8.1f} s  taken {taken:8.1f} s  {told / taken:5.2f}{verdict}",
                flush=True,
            )
    held = sum(within(*pair) for pair in figures.values())
    print(f"within a factor of two: {held} of {len(figures)}")
    with open(asked.json, "w") as file:
        json.dump(figures, file, indent=1)


if __name__ == "__main__":
    main()
