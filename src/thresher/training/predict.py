"""predict: a trained network and images → masks and overlays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from thresher import tables
from thresher.data.dataset import contents, image_files
from thresher.data.label_maps import coloured, ids_of_classes
from thresher.errors import DataError, SettingsError
from thresher.files import replacing
from thresher.run.digests import file_digest
from thresher.run.folder import AnyRun, as_run
from thresher.run.opened import OpenedRun
from thresher.run.perform import StageResult, Track, untracked
from thresher.run.record import Record

if TYPE_CHECKING:
    from thresher.segmentation.trained import TrainedNetwork

#: Weight of the class's colour in an overlay; the rest is the image.
_COLOUR_SHARE = 0.5


def predict(
    run: AnyRun,
    training: str,
    images: Path | str,
    out: Path | str,
    *,
    dry_run: bool = False,
    track: Track[Any] = untracked,
) -> StageResult:
    """Write the masks that a trained network predicts for an image, or for every image in a folder.

    Each image gets `masks/NAME.png`, whose values are the taxonomy's ids (encoding `class_index`), and
    `overlays/NAME.jpg`, both at its own size. Images that cannot be read are listed in `problems.parquet`; the rest is
    done without them.

    Args:
        training: The training's name.
        images: An image, or a folder of images at any depth.
        out: Folder that gets masks/, overlays/ and, if any failed, problems.parquet.

    Raises:
        SettingsError: no such training, or `out` would write over an image that is read.
        DataError: no such image or folder, or no images in it.
    """
    run, images, out = as_run(run), Path(images), Path(out)
    checkpoint = OpenedRun(run).checkpoint(training)
    paths, names = _named_images(images, out)
    masks = [out / "masks" / f"{name}.png" for name in names]
    outputs = _Outputs(masks, [out / "overlays" / f"{name}.jpg" for name in names])
    record = Record(out)
    _refuse_to_write_over(record, {*outputs.masks, *outputs.overlays}, paths)
    summary: dict[str, Any] = {"training": training, "images": len(paths), "out": str(out)}
    if dry_run:
        return StageResult("predict", "planned", summary)
    from thresher.segmentation.trained import trained_network

    trained = trained_network(checkpoint)
    record.note("predict", {"training": training, "checkpoint": file_digest(checkpoint)})
    problems = _predicted(trained, paths, outputs, track)
    listed = tables.from_rows([problems[number] for number in sorted(problems)], tables.PROBLEMS)
    if problems or record.problems.is_file():
        record.add_problems("predict", listed)
    summary["unreadable"] = listed["path"].to_list()
    return StageResult("predict", "done", summary, len(problems), problems_in=str(record.problems))


@dataclass(frozen=True)
class _Outputs:
    """What is written for each image."""

    masks: list[Path]
    overlays: list[Path]


def _predicted(
    trained: TrainedNetwork, paths: list[Path], outputs: _Outputs, track: Track[Any]
) -> dict[int, dict[str, object]]:
    """Write mask and overlay of each image; returns a row of PROBLEMS for each that cannot be read, by its number."""
    from thresher.segmentation.examples import pixels_of
    from thresher.segmentation.inference import Images, segmented
    from thresher.segmentation.trained import ready

    ids = ids_of_classes(trained.taxonomy)
    problems: dict[int, dict[str, object]] = {}

    def unreadable(number: int, error: DataError) -> None:
        row = {"path": str(paths[number]), "problem": "image_unreadable", "detail": str(error)}
        problems[number] = {**row, "stage": "predict"}

    def use(number: int, pixels: np.ndarray, _: object, decided: np.ndarray) -> None:
        blend = pixels * (1 - _COLOUR_SHARE) + coloured(decided, trained.taxonomy) * _COLOUR_SHARE
        with replacing(outputs.masks[number]) as file:
            Image.fromarray(ids[decided]).save(file, "PNG")
        with replacing(outputs.overlays[number]) as file:
            Image.fromarray(blend.round().astype(np.uint8)).save(file, "JPEG", quality=90)

    def read(number: int) -> tuple[Any, None]:
        return pixels_of(paths[number]), None

    segmented(ready(trained), Images(len(paths), read, unreadable), use, track)
    return problems


def _named_images(images: Path, out: Path) -> tuple[list[Path], list[str]]:
    """The images, and the name of each in the output: its path below the folder without its suffix.

    Where two would have the same name (a.jpg and a.png), all keep their suffixes. What lies in `out` is no input.
    """
    if not images.exists():
        raise DataError(f"{images}: no such image or folder.")
    folder = images if images.is_dir() else images.parent
    paths = image_files(images) if images.is_dir() else [images]
    if images.resolve() in out.resolve().parents:
        paths = [path for path in paths if out.resolve() not in path.resolve().parents]
    if not paths:
        raise DataError(f"{images}: no image files.")
    relative = [path.relative_to(folder) for path in paths]
    bare = [path.with_suffix("") for path in relative]
    return paths, [str(path) for path in (bare if len({*bare}) == len(bare) else relative)]


def _refuse_to_write_over(record: Record, outputs: set[Path], inputs: list[Path]) -> None:
    """Write only into a new folder or into one of predict's own, and never over what is read."""
    if record.folder.is_dir() and any(record.folder.iterdir()) and "predict" not in record.recorded():
        raise DataError(
            f"out = {record.folder}: holds files that predict did not write ({contents(record.folder)}). "
            "Give a new folder."
        )
    read = {path.resolve() for path in inputs}
    for path in sorted(outputs):
        if path.resolve() in read:
            raise SettingsError(
                f"out = {record.folder}: would write over {path}, which is one of the images. Give another folder."
            )
