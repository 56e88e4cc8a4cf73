"""One annotation of PASCAL VOC in XML, as text in and plain values out.

Source: VOC2012 development kit, devkit_doc.pdf, "Annotation" and VOCreadxml.m.
"""

from __future__ import annotations

from xml.etree import ElementTree

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def parsed(content: bytes) -> tuple[tuple[int, int] | None, list[dict[str, object]], list[str]]:
    """The image's size in pixels, its objects, and a sentence for each object that could not be read.

    Objects have label, xmin … ymax as they stand in the file, is_truncated and is_occluded. The size is None where it
    is missing or not positive.

    Raises:
        ValueError: not XML.
    """
    try:
        annotation = ElementTree.fromstring(content)
    except (ElementTree.ParseError, LookupError) as error:  # LookupError: an encoding that Python does not know
        raise ValueError(f"not readable as XML ({error})") from error
    objects: list[dict[str, object]] = []
    bad: list[str] = []
    for number, element in enumerate(annotation.iter("object"), start=1):
        try:
            objects.append(_object(element))
        except ValueError as error:
            bad.append(f"object {number}: {error}")
    return _size(annotation), objects, bad


def _size(annotation: ElementTree.Element) -> tuple[int, int] | None:
    try:
        width, height = (int(float(annotation.findtext(f"size/{name}") or "0")) for name in ("width", "height"))
    except (ValueError, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _object(element: ElementTree.Element) -> dict[str, object]:
    label = (element.findtext("name") or "").strip()
    if not label:
        raise ValueError("no <name>")
    texts = {name: element.findtext(f"bndbox/{name}") for name in CORNERS}
    try:
        corners = {name: float(text or "") for name, text in texts.items()}
    except ValueError:
        found = ", ".join(f"{name}={text}" for name, text in texts.items())
        raise ValueError(f"{label} has no readable <bndbox> (found {found})") from None
    flags = {f"is_{name}": _flag(element.findtext(name)) for name in ("truncated", "occluded")}
    return {"label": label, **corners, **flags}


def _flag(text: str | None) -> bool | None:
    # Tools also write "Unspecified" here, or leave it out.
    return {"0": False, "1": True}.get((text or "").strip())
