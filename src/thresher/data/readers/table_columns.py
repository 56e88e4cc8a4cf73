"""Which column of a table of boxes holds what: as it is told, or by the names that such columns usually have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from thresher.data.faults import listed
from thresher.errors import DataError, SettingsError

#: What a column may hold, and the names by which it is known, compared without case, spaces, _ and -.
KNOWN: Mapping[str, tuple[str, ...]] = {
    "image": (
        *("image", "filename", "file", "imagepath", "imagefile", "imagename", "path", "filepath", "imageid", "img"),
        *("image_url", "imageurl", "url", "uri"),
    ),
    "label": ("label", "class", "classname", "category", "categoryname", "labelname", "name", "object"),
    "x0": ("x0", "xmin", "left", "xtl", "x1", "bboxxmin", "minx", "boxleft"),
    "y0": ("y0", "ymin", "top", "ytl", "y1", "bboxymin", "miny", "boxtop"),
    "x1": ("x1", "xmax", "right", "xbr", "x2", "bboxxmax", "maxx", "boxright"),
    "y1": ("y1", "ymax", "bottom", "ybr", "y2", "bboxymax", "maxy", "boxbottom"),
    "x": ("x", "bboxx"),
    "y": ("y", "bboxy"),
    "cx": ("cx", "xcenter", "xcentre", "centerx"),
    "cy": ("cy", "ycenter", "ycentre", "centery"),
    "width": ("boxwidth", "bboxwidth", "w", "width"),
    "height": ("boxheight", "bboxheight", "h", "height"),
    "image_width": ("imagewidth", "imgwidth", "widthpx"),
    "image_height": ("imageheight", "imgheight", "heightpx"),
    "split": ("split", "subset", "set"),
    "is_group": ("isgroup", "iscrowd", "isgroupof", "crowd"),
    "is_occluded": ("isoccluded", "occluded"),
    "is_truncated": ("istruncated", "truncated"),
    "is_depiction": ("isdepiction",),
    "is_inside": ("isinside",),
}
FLAGS = tuple(name for name in KNOWN if name.startswith("is_"))
#: Not columns: where the images lie, and what the corners are counted in.
OTHERS = ("images", "unit")
UNITS = ("pixels", "shares")
#: The ways to say a box, the first that is complete counts.
FORMS = (("x0", "y0", "x1", "y1"), ("x", "y", "width", "height"), ("cx", "cy", "width", "height"))


@dataclass(frozen=True)
class Columns:
    """The name of the column of each thing, and the form of the boxes (one of `FORMS`)."""

    of: Mapping[str, str]
    form: tuple[str, str, str, str]


def column_map(texts: Iterable[str]) -> dict[str, str]:
    """What "image=path,x0=left" says, from one text or several.

    Raises:
        SettingsError: it is not NAME=COLUMN, a name is unknown, or is told twice.

    >>> column_map(["image=path, x0=left", "unit=pixels"])
    {'image': 'path', 'x0': 'left', 'unit': 'pixels'}
    """
    told: dict[str, str] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column or name not in (*KNOWN, *OTHERS):
            known = ", ".join((*KNOWN, *OTHERS))
            raise SettingsError(f"columns '{part}': expected NAME=COLUMN with a name of {known}.")
        if name in told:
            raise SettingsError(f"columns: '{name}' is told twice ({told[name]}, {column}).")
        told[name] = column
    if told.get("unit", UNITS[0]) not in UNITS:
        raise SettingsError(f"columns 'unit={told['unit']}': expected {' or '.join(UNITS)}.")
    return told


def chosen_columns(names: Collection[str], told: Mapping[str, str], where: str) -> Columns:
    """The columns of a table, those told first.

    Raises:
        DataError: one that was told is not there, or there is none for the image, the label or the box.

    >>> columns = chosen_columns(["filename", "class", "xmin", "ymin", "xmax", "ymax"], {}, "a.csv")
    >>> columns.of["image"], columns.form
    ('filename', ('x0', 'y0', 'x1', 'y1'))
    """
    missing = [column for name, column in told.items() if name not in OTHERS and column not in names]
    if missing:
        raise DataError(f"{where}: no column '{missing[0]}'. Found {listed(names)}.")
    bare = {_bare(name): name for name in reversed(list(names)) if name not in told.values()}
    of = {name: column for name, column in told.items() if name not in OTHERS}
    for name, known in KNOWN.items():
        if name not in of:
            found = [bare[each] for each in known if each in bare]
            if found:
                of[name] = found[0]
    if of.get("x0") is not None and of.get("x0") == of.get("x1"):  # x1 beside x2 is the left side
        of.pop("x1")
    if of.get("y0") is not None and of.get("y0") == of.get("y1"):
        of.pop("y1")
    form = next((form for form in FORMS if all(name in of for name in form)), None)
    if form is None or "image" not in of or "label" not in of:
        lacking = ", ".join([name for name in ("image", "label") if name not in of] + ["the box"] * (form is None))
        raise DataError(
            f"{where}: which column holds {lacking}? Found {listed(names)}; say it by --columns "
            f"image=COLUMN,label=COLUMN,x0=…,y0=…,x1=…,y1=… (or x,y,width,height, or cx,cy,width,height)."
        )
    if form == FORMS[0] and "image_width" not in of and _bare(of.get("width", "")) == "width":
        # TensorFlow's lists: the size of the image stands beside the corners.
        of["image_width"], of["image_height"] = of["width"], of.get("height", of["width"])
    return Columns({name: column for name, column in of.items() if _is_used(name, form)}, form)


def _is_used(name: str, form: tuple[str, ...]) -> bool:
    return name in form or not any(name in each for each in FORMS)


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter not in " _-.")


def as_rows(scan: pl.LazyFrame, columns: Columns) -> pl.LazyFrame:
    """The rows (row, named, label, x0 … y1, flags, split, image_width, image_height); what is no number is null."""
    of, (first, second, third, fourth) = columns.of, columns.form
    number = {name: _text(of[name]).cast(pl.Float64, strict=False) for name in columns.form}
    left, top, right, bottom = (number[name] for name in columns.form)
    if columns.form == FORMS[1]:
        right, bottom = left + right, top + bottom
    elif columns.form == FORMS[2]:
        left, top, right, bottom = left - right / 2, top - bottom / 2, left + right / 2, top + bottom / 2
    del first, second, third, fourth
    sizes = [
        (_text(of[name]).cast(pl.Float64, strict=False).cast(pl.Int64, strict=False) if name in of else _absent())
        .alias(name)
        .cast(pl.Int64)
        for name in ("image_width", "image_height")
    ]
    return scan.select(
        "row",
        _text(of["image"]).alias("named"),
        _text(of["label"]).alias("label"),
        *(value.alias(name) for name, value in zip(FORMS[0], (left, top, right, bottom), strict=True)),
        *(_truth(of[name]).alias(name) for name in FLAGS if name in of),
        (_text(of["split"]) if "split" in of else _absent()).alias("split").cast(pl.String),
        *sizes,
    )


def _absent() -> pl.Expr:
    return pl.lit(None)


def _text(column: str) -> pl.Expr:
    text = pl.col(column).cast(pl.String, strict=False).str.strip_chars()
    return pl.when(text != "").then(text)


def _truth(column: str) -> pl.Expr:
    text = _text(column).str.to_lowercase()
    true, false = text.is_in(["1", "1.0", "true", "yes"]), text.is_in(["0", "0.0", "false", "no"])
    return pl.when(true).then(pl.lit(True)).when(false).then(pl.lit(False))
