"""sheet: a selection → its contact sheet as PNG."""

from __future__ import annotations

from pathlib import Path

from thresher.drawings.contact_sheet import Cell, contact_sheet, save_sheet
from thresher.errors import SettingsError
from thresher.run.folder import AnyRun, as_run
from thresher.run.opened import selected
from thresher.run.perform import StageResult
from thresher.run.state import refuse_outdated


def sheet(run: AnyRun, name: str, *, images: int = 48, columns: int = 8, out: Path | str | None = None) -> StageResult:
    """Draw the first images of a selection, best first.

    Args:
        name: Name of the selection.
        images: Number of images to draw.
        columns: Images per row.
        out: PNG file to write. Default: RUN/sheets/NAME.png.

    Raises:
        SettingsError: no selection has this name.
        DataError: the selection is outdated or damaged.
    """
    run = as_run(run)
    for setting, number in (("images", images), ("columns", columns)):
        if number < 1:
            raise SettingsError(f"{setting} = {number}: expected 1 or more.")
    refuse_outdated(run, ["index", f"select:{name}"])
    chosen = selected(run, name)
    shown = chosen.head(images)
    cells = [
        Cell(Path(row["path"]), f"{row['rank']}  {row['dataset']}", _detail(row["score"], row["why"]["rare_classes"]))
        for row in shown.iter_rows(named=True)
    ]
    path = Path(out) if out else run.folder / "sheets" / f"{name}.png"
    save_sheet(contact_sheet(cells, f"{name}: the first {len(cells)} of {chosen.height}", columns), path)
    return StageResult("sheet", "done", {"name": name, "images": len(cells), "path": str(path)})


def _detail(score: float | None, rare_classes: list[str] | None) -> str:
    return ("pinned" if score is None else f"{score:.3f}") + (f"  {', '.join(rare_classes)}" if rare_classes else "")
