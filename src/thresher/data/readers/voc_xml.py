"""One annotation of PASCAL VOC in XML, as text in and plain values out.

Source: VOC2012 development kit, devkit_doc.pdf, "Annotation" and VOCreadxml.m.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from thresher.data.dataset import label_text, stated_px

_DECIMAL = re.compile(r"\d{1,9}(\.\d*)?")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def parsed(content: bytes) -> tuple[tuple[int, int] | None, list[ElementTree.Element]]:
    """The image's size in pixels, None where it is missing or impossible, and the elements of its objects.

    Raises:
        ValueError: not XML.
    """
    try:
        annotation = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError) as error:  # LookupError: an encoding that Python does not know
        raise ValueError(f"not readable as XML ({error})") from error
    if not annotation.tag.lower().startswith("annotation"):
        raise ValueError(f"its root is <{annotation.tag}>; expected <annotation>")
    width, height = (_number(annotation.findtext(f"size/{name}")) for name in ("width", "height"))
    return stated_px(width, height), list(annotation.iter("object"))


def _number(text: str | None) -> float | None:
    """A size as tools write it: "640", "640.0"."""
    return float(text) if text and _DECIMAL.fullmatch(text.strip()) else None


def object_of(element: ElementTree.Element) -> dict[str, object]:
    """An object's label, xmin … ymax as they stand in the file, is_truncated and is_occluded.

    Raises:
        ValueError: no label, or a corner that is no number.
    """
    label = (element.findtext("name") or "").strip()
    if not label:
        raise ValueError("no <name>")
    texts = {name: element.findtext(f"bndbox/{name}") for name in CORNERS}
    if not all(texts.values()):
        found = ", ".join(f"{name}={text}" for name, text in texts.items())
        raise ValueError(f"{label} has no readable <bndbox> (found {found})")
    corners = {name: float(text or "") for name, text in texts.items()}
    flags = {f"is_{name}": _flag(element.findtext(name)) for name in ("truncated", "occluded")}
    return {"label": label_text(label), **corners, **flags}


def _flag(text: str | None) -> bool | None:
    # Tools also write "Unspecified" here, or leave it out.
    return {"0": False, "1": True}.get((text or "").strip())
