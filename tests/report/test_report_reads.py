"""A report reads each table of a run once, however many of its sections ask for it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from thresher.report.report import ReportSettings, write_report
from thresher.run.folder import Run


def test_each_table_is_read_at_most_once(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: Counter[str] = Counter()
    for name in ("scan_parquet", "read_parquet"):
        plain: Any = getattr(pl, name)

        def counting(path: Any, *rest: Any, plain: Any = plain, **named: Any) -> Any:
            if isinstance(path, str | Path):  # the bytes of a shard have been read already
                opened[str(Path(path).relative_to(run.folder))] += 1
            return plain(path, *rest, **named)

        monkeypatch.setattr(pl, name, counting)
    write_report(run, ReportSettings(out=tmp_path / "page.html", map_images=40))
    of_slices = {path for path in opened if path.startswith("slices")}
    tables_read = {path: times for path, times in opened.items() if path not in of_slices}
    assert {"images.parquet", "boxes.parquet", "scores.parquet", "pooled.parquet"} <= set(tables_read)
    for name in ("shards.parquet", "embedded.parquet"):  # which shards hold which images: asked where slices are read
        tables_read.pop(name)
    assert {path: times for path, times in tables_read.items() if times > 1} == {}
