"""The command explore, which prints its address once the server is listening."""

from __future__ import annotations

import sys
from typing import Annotated

from thresher.cli.main import EXIT_OK
from thresher.cli.output import JsonOutput, print_results, progress_bars
from thresher.cli.stage_command import FLAT, RunFolder, Update
from thresher.explorer.explore import ExploreSettings, explore, is_loopback
from thresher.run.update import update as brought_up_to_date


def explore_command(
    run: RunFolder, *, settings: Annotated[ExploreSettings, FLAT] = ExploreSettings(), update: Update = False
) -> int:
    """View a selection in the browser, change it, save it and export it. Stop with Ctrl-C."""

    def opened(address: str) -> None:
        if not is_loopback(settings.host):
            print(f"Anyone who can reach {settings.host} sees these images and can save selections.", file=sys.stderr)
        print(f"explore: {address}", flush=True)

    if update:
        print_results(brought_up_to_date(run, before="explore", track=progress_bars()), JsonOutput())
    explore(run, settings, opened=opened)
    return EXIT_OK
