"""predict: a trained network and images → masks and overlays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from thresher import tables
from thresher.data.dataset import contents, image_files
from thresher.data.label_maps import coloured, ids_of_classes
from thresher.errors import DataError, SettingsError
from thresher.files import replacing
from thresher.run.contents import checkpoint_of
from thresher.run.folder import Record, Run
from thresher.run.perform import StageResult, Track, file_digest, untracked

#: How much of an overlay is the class's colour; the rest is the image.
_COLOUR_SHARE = 0.5


def predict(
    run: Run, training: str, images: Path, out: Path, *, dry_run: bool = False, track: Track[Any] = untracked
) -> StageResult:
    """Write what a trained network decides on an image, or on every image in a folder.

    Each gets `masks/NAME.png`, whose values are the taxonomy's ids (encoding `class_index`), and `overlays/NAME.jpg`,
    at its own size. An image that cannot be read costs only itself; it stands in `problems.parquet`.

    Args:
        training: The training's name.
        images: An image, or a folder of images at any depth.
        out: Folder that gets masks/, overlays/ and, if any failed, problems.parquet.

    Raises:
        SettingsError: no such training, or `out` would write over an image that is read.
        DataError: no such image or folder, or no images in it.
    """
    from thresher.segmentation.examples import pixels_of
    from thresher.segmentation.inference import ready, segmented
    from thresher.segmentation.trained import trained_network

    checkpoint = checkpoint_of(run, training)
    paths, names = _named_images(images, out)
    masks = [out / "masks" / f"{name}.png" for name in names]
    overlays = [out / "overlays" / f"{name}.jpg" for name in names]
    record = Record(out)
    _refuse_to_write_over(record, {*masks, *overlays}, paths)
    told = {"training": training, "images": len(paths), "out": str(out)}
    if dry_run:
        return StageResult("predict", "planned", told)
    found = trained_network(checkpoint)
    ids = ids_of_classes(found.taxonomy)
    problems: dict[int, dict[str, object]] = {}

    def unreadable(number: int, error: DataError) -> None:
        problems[number] = {
            "path": str(paths[number]),
            "stage": "predict",
            "problem": "image_unreadable",
            "detail": str(error),
        }

    def use(number: int, pixels: np.ndarray, _: object, decided: np.ndarray) -> None:
        blend = pixels * (1 - _COLOUR_SHARE) + coloured(decided, found.taxonomy) * _COLOUR_SHARE
        with replacing(masks[number]) as file:
            Image.fromarray(ids[decided]).save(file, "PNG")
        with replacing(overlays[number]) as file:
            Image.fromarray(blend.round().astype(np.uint8)).save(file, "JPEG", quality=90)

    def read(number: int) -> tuple[Any, None]:
        return pixels_of(paths[number]), None

    record.note("predict", {"training": training, "checkpoint": file_digest(checkpoint)})
    segmented(ready(found), len(paths), read, use, track, unreadable)
    listed = tables.from_rows([problems[number] for number in sorted(problems)], tables.PROBLEMS)
    if problems or record.problems.is_file():
        record.add_problems("predict", listed)
    done = told | {"unreadable": listed["path"].to_list()}
    return StageResult("predict", "done", done, len(problems), problems_in=str(record.problems))


def _named_images(images: Path, out: Path) -> tuple[list[Path], list[str]]:
    """The images, and what each is called in the output: its path below the folder without its suffix.

    Where two would have one name (a.jpg and a.png), all keep their suffixes. What an earlier run wrote is no image.
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
        raise DataError(f"out = {record.folder}: holds files that predict did not write ({contents(record.folder)}). "
                        "Give a new folder.")  # fmt: skip
    read = {path.resolve() for path in inputs}
    for path in sorted(outputs):
        if path.resolve() in read:
            raise SettingsError(f"out = {record.folder}: would write over {path}, which is one of the images. "
                                "Give another folder.")  # fmt: skip
