"""download: the images of a selection that are not on disk yet → image files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import polars as pl

from thresher import extras, tables
from thresher.data.dataset import problem
from thresher.data.fetching import Address, DownloadSettings, Wanted, fetched
from thresher.data.file_states import with_states
from thresher.errors import DataError, quoted
from thresher.files import sweep
from thresher.run.folder import AnyRun, Run, as_run
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, Track, untracked
from thresher.run.state import refuse_outdated

__all__ = ["DownloadSettings", "download"]


def download(
    run: AnyRun,
    name: str,
    settings: DownloadSettings | None = None,
    *,
    dry_run: bool = False,
    track: Track[Any] = untracked,
) -> StageResult:
    """Fetch the images of a selection that are not on disk yet, from the addresses that `index --download-later` found.

    An image is put where `index` expects it, once it is complete. A second call fetches what is missing. What cannot be
    had is listed in problems.parquet.

    Args:
        name: Name of the selection.

    Raises:
        SettingsError: no selection has this name, or the optional part `download` is not installed.
        DataError: the index lists no image for a later download, the selection is outdated, damaged or unfinished, or
            another process works in the run.
    """
    run, settings = as_run(run), settings or DownloadSettings()
    refuse_outdated(run, ["index", f"select:{name}"])
    opened = OpenedRun(run)
    chosen = opened.selection(name)
    if not run.remote.is_file():
        raise DataError(
            f"{run.folder}: its index lists only images that are on disk, so there is nothing to download. For others "
            f"run `thresher index {quoted(run.folder)} … --download-later`."
        )
    wanted = _wanted(run, chosen, settings.originals)
    summary: dict[str, Any] = {"name": name, "images": chosen.height, "on_disk": chosen.height - len(wanted)}
    if dry_run:
        return StageResult("download", "planned", summary | {"to_download": len(wanted)})
    extras.require("download", "download")
    started, size, problems = time.monotonic(), 0, list[dict[str, object]]()
    with run.locked():
        for folder in {each.path.parent for each in wanted}:
            if folder.is_dir():
                sweep(folder)
        for each in track(fetched(wanted, settings), len(wanted), "downloading"):
            size += each.size_bytes
            if each.problem:
                row = problem("download_failed", each.problem, each.wanted.name, each.wanted.path)
                problems.append(row | {"stage": "download"})
        run.add_problems("download", tables.from_rows(problems, tables.PROBLEMS))
    seconds = time.monotonic() - started
    summary |= {"downloaded": len(wanted) - len(problems), "failed": len(problems), "bytes": size}
    return StageResult("download", "done", summary | {"seconds": round(seconds, 1)}, len(problems))


def _wanted(run: Run, chosen: pl.DataFrame, originals: bool) -> list[Wanted]:
    """The chosen images that are not on disk, best first, with their addresses."""
    remote = tables.read(run.remote, tables.REMOTE)
    listed = chosen.join(remote, on="image_id", how="semi", maintain_order="left")
    absent = with_states(listed.select("image_id", "path")).filter(pl.col("size_bytes").is_null())
    usable = remote.filter(pl.col("url").is_not_null() & (~pl.col("original") | originals))
    mine = usable.join(absent, on="image_id", how="semi", maintain_order="left")
    addresses: dict[str, list[Address]] = {}
    for image_id, url, md5, size in mine.select("image_id", "url", "md5", "size_bytes").iter_rows():
        addresses.setdefault(image_id, []).append(Address(url, md5, size))
    return [
        Wanted(image_id, Path(path), addresses.get(image_id, []))
        for image_id, path in absent.select("image_id", "path").iter_rows()
    ]
