"""Label Studio: its JSON export (tasks with annotations), or the shorter one (JSON_MIN); the images beside.

Source: https://labelstud.io/guide/export and https://labelstud.io/tags/rectanglelabels: x, y, width and height are
per cent of the image, rotation is in degrees, clockwise about the upper left corner.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from thresher.data.dataset import Dataset, label_text, stated_px
from thresher.data.findings import Findings, Row
from thresher.data.readers import named
from thresher.data.readers.label_studio_brush import painted_mask
from thresher.data.readers.named import Annotated, Corners, Marked
from thresher.data.readers.named_files import ImageFiles
from thresher.data.run_lengths import bounds, placed

#: What a task's data may call its image, before any other text with an image's ending.
_IMAGE_KEYS = ("image", "img", "photo", "url", "image_url")
_OF_AREAS = ("height", "points", "radiusX", "rle")
#: Prefix of an uploaded file: eight digits of a random number, and a hyphen.
_UPLOAD = 9
_FORM = "x, y, width, height in per cent of the image, with rectanglelabels (or polygonlabels with points)"


def read(root: Path, split: str | None, dataset: str, images: str | None = None, later: bool = False) -> Dataset:
    """The tasks of the JSON files at `root`; regions without a label are listed.

    Predictions are not read, but for the boxes of our own export where a task has no annotation.

    A task's image is looked for by the path or address in its data, and by the name that it had before it was uploaded.
    Of several annotations of one task, that marked as ground truth counts, or else the first that was not cancelled;
    the others are listed. A rotated rectangle, a polygon and an ellipse have the upright box around them. Points count
    as objects, but for those that are parts of a region (parentID); choices of a task are labels of its image.

    Args:
        later: With the images that are not on disk and whose address is known (`named.as_dataset`).

    Raises:
        DataError: no JSON of this form, no image, or most of it cannot be read.
    """
    findings = named.begun(root, dataset, images)
    found: list[Annotated] = []
    seen: list[str] = []
    for path, of in named.annotation_files(findings.root, split, ".json"):
        content = named.loaded(path)
        tasks = content if isinstance(content, list) else [content]
        if not any(isinstance(task, dict) and ("data" in task or "annotator" in task) for task in tasks):
            seen.append(named.seen_in(path, content))
            continue
        parse = partial(_task, path=path, split=of, findings=findings)
        found += findings.read("tasks", tasks, parse, named.place_in(path, "task"), "a task with data and annotations")
    findings.judge()
    if not found:
        raise named.unknown_shape(findings.root, seen, "a list of tasks, each with data and annotations")
    found = _by_upload(found, findings)
    return named.as_dataset(found, _object, findings, _FORM, whole=100.0, others=split is None, later=later)


def _by_upload(found: list[Annotated], findings: Findings) -> list[Annotated]:
    """The tasks under the names of their files before they were uploaded, where only those are there."""
    files = ImageFiles(findings.home)
    stripped = [_stripped(each.name) for each in found]
    as_named, as_stripped = files.located([each.name for each in found]), files.located(stripped)
    return [
        Annotated(short, each.objects, each.place, each.size, each.split) if there[0] is None and other[0] else each
        for each, short, there, other in zip(found, stripped, as_named, as_stripped, strict=True)
    ]


def _stripped(name: str) -> str:
    bare = name.rsplit("/", 1)[-1]
    head = bare[:_UPLOAD]
    uploaded = len(head) == _UPLOAD and head[-1] == "-" and all(digit in "0123456789abcdef" for digit in head[:-1])
    return bare[_UPLOAD:] if uploaded else name


def _task(task: dict[str, Any], path: Path, split: str | None, findings: Findings) -> Annotated:
    data = task["data"] if isinstance(task.get("data"), dict) else task
    name = next((data[key] for key in _IMAGE_KEYS if isinstance(data.get(key), str)), None)
    name = name or next((value for value in data.values() if named.names_image(value)), None) or task.get("file_upload")
    if not isinstance(name, str):
        raise ValueError("its data name no image")
    place = f"{path.name}: task {task.get('id', name)}"
    if "annotations" in task or "data" in task:
        regions = _result(task, place, path, findings)
    else:
        lists = [value for value in task.values() if isinstance(value, list)]
        regions = [{"value": region, **region} for each in lists for region in each if isinstance(region, dict)]
    sizes = (stated_px(each.get("original_width"), each.get("original_height")) for each in regions)
    size = next((each for each in sizes if each is not None), None)
    return Annotated(name, list(_labelled(regions)), place, size, split)


def _result(task: dict[str, Any], place: str, path: Path, findings: Findings) -> list[dict[str, Any]]:
    """The regions of the annotation that counts."""
    every = task.get("annotations", task.get("completions")) or []
    done = [each for each in every if not each.get("was_cancelled") and isinstance(each.get("result"), list)]
    done.sort(key=lambda each: not each.get("ground_truth"))
    if len(done) > 1:
        detail = f"{place}: {len(done)} annotations, of which that with id {done[0].get('id')} was read"
        findings.note("annotations_several", detail, path=path)
    if not done:  # what our own export gave to begin from, and nobody has changed
        own = task.get("predictions") or []
        done = [each for each in own if isinstance(each, dict) and each.get("model_version") == "thresher"]
    return [region for region in (done[0]["result"] if done else []) if isinstance(region.get("value"), dict)]


def _labelled(regions: list[dict[str, Any]]) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Each region of an area, point or choice with each of its labels.

    A label may stand in a region of its own with the same id, and so may a choice for that region alone.
    """
    of_id: dict[object, list[str]] = {}
    areas = set()
    for region in regions:
        value, key = region["value"], region.get("id", id(region))
        of_id.setdefault(key, []).extend(_labels(value))
        areas |= {key} if _is_area(value) else set()
    done = set()
    for region in regions:
        value, key = region["value"], region.get("id", id(region))
        if _is_area(value) and key not in done:
            done.add(key)
            yield from ((label, region) for label in dict.fromkeys(of_id[key]) or [None])
        elif key not in areas and isinstance(value.get("choices"), list):
            yield from ((label_text(choice), region) for choice in value["choices"])
        elif key not in done and key not in areas and {"x", "y"} <= value.keys() and not region.get("parentID"):
            done.add(key)
            yield from ((label, region) for label in dict.fromkeys(of_id[key]))


def _is_area(value: dict[str, Any]) -> bool:
    return any(name in value for name in _OF_AREAS)  # a point has a width, too


def _labels(value: dict[str, Any]) -> list[str]:
    lists = (found for key, found in value.items() if key.endswith("labels") and isinstance(found, list))
    return [label_text(label) for found in lists for label in found]


def _object(labelled: tuple[str | None, dict[str, Any]]) -> Row | Marked | None:
    label, region = labelled
    value = region["value"]
    if label is None:
        raise ValueError("a region without a label")
    if not _is_area(value):
        return Marked(label, "choices" not in value)
    if "points" in value:
        points = value["points"]
        return None if "vertices" in value else named.box(label, named.around(points), named.polygon(points))
    if "radiusX" in value:
        x, y, across, down = (float(value[name]) for name in ("x", "y", "radiusX", "radiusY"))
        outline = named.ellipse((x, y), (across, down)) if not region["value"].get("rotation") else None
        return named.box(label, (x - across, y - down, x + across, y + down), outline)
    if "rle" in value:
        return _brushed(label, region)
    x, y, across, down = (float(value[name]) for name in ("x", "y", "width", "height"))
    return named.box(label, _upright((x, y, x + across, y + down), region))


def _upright(corners: Corners, region: dict[str, Any]) -> Corners:
    degrees = float(region["value"].get("rotation") or 0)
    size = stated_px(region.get("original_width"), region.get("original_height"))
    if not degrees or size is None:
        return corners
    # Angles are those of the picture, whose sides differ.
    steps = (size[0] / 100, size[1] / 100) * 2
    x0, y0, x1, y1 = (corner * step for corner, step in zip(corners, steps, strict=True))
    around = named.turned((x0, y0, x1, y1), degrees, (x0, y0))
    x0, y0, x1, y1 = (corner / step for corner, step in zip(around, steps, strict=True))
    return x0, y0, x1, y1


def _brushed(label: str, region: dict[str, Any]) -> Row:
    """What was painted with the brush: a box in per cent around it, and its run lengths."""
    size = stated_px(region.get("original_width"), region.get("original_height"))
    if size is None:
        raise ValueError("a brush without original_width and original_height")
    painted = painted_mask(region["value"]["rle"], size)
    outline = placed(painted, 0, 0, (size[1], size[0]))
    x0, y0, x1, y1 = bounds(outline)
    across, down = 100 / size[0], 100 / size[1]
    return named.box(label, (x0 * across, y0 * down, x1 * across, y1 * down), outline)
