"""Sections → one HTML page that needs no network: styles, scripts and data are inside, pictures inside or beside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from thresher.drawings.charts import FAINT, INK, POOL, TARGET, vega_bundle
from thresher.drawings.page_charts import SELECTION
from thresher.drawings.thumbnails import Shown
from thresher.report.blocks import Card, Chart, Section

#: What the charts' colours become on a dark screen.
DARK = {
    INK: "#f4f4f5",
    FAINT: "#b3b3bb",
    "#e4e4e7": "#3f3f46",
    "#ffffff": "#1c1c20",
    TARGET: "#5db4e6",
    POOL: "#e8a955",
    SELECTION: "#f07ab8",
    "#0072b2": "#5db4e6",
    "#8a8a92": "#a5a5ad",
}
#: Cards of a gallery that are shown before "more".
SHOWN_AT_ONCE = 12
#: Outlines of boxes, by number; they come again beyond.
OUTLINES = (
    "#ffd60a",
    "#4cc9f0",
    "#f72585",
    "#80ed99",
    "#ff8c42",
    "#c77dff",
    "#ffffff",
    "#2ec4b6",
    "#b08968",
    "#9ef01a",
    "#ff99c8",
    "#3a86ff",
)


@dataclass(frozen=True)
class Pictures:
    """Where the page finds pictures: large and small ones by image id, drawings by file, those for the brush by id."""

    large: Mapping[str, Shown] = field(default_factory=dict)
    small: Mapping[str, Shown] = field(default_factory=dict)
    drawings: Mapping[str, Shown] = field(default_factory=dict)
    brushed: Sequence[str] = ()


def page(title: str, folder: str, sections: Sequence[Section], pictures: Pictures, version: str) -> str:
    """The page's HTML.

    Names from data are escaped. A policy in its head forbids every request and every script but the page's own two.

    Args:
        folder: The run's, as command lines name it.
    """
    templates = Environment(
        loader=PackageLoader("thresher.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"script_json": script_json, "coded": coded}
    scripts = [_within_script(text) for text in (vega_bundle(), _source(templates, "report.js"))]
    charts = [block for section in sections for block in section.blocks if isinstance(block, Chart)]
    return templates.get_template("report.html").render(
        title=title,
        folder=folder,
        sections=sections,
        pictures=pictures,
        version=version,
        outlines=OUTLINES,
        shown_at_once=SHOWN_AT_ONCE,
        classes=_classes(sections),
        heat=next((card.heat for card in _cards(sections) if card.heat is not None), None),
        charts={chart.name: chart_data(chart) for chart in charts},
        brushed={name: pictures.small[name].source for name in pictures.brushed if pictures.small[name].source},
        dark=DARK,
        style=Markup(_source(templates, "report.css")),
        scripts=[Markup(text) for text in scripts],
        hashes=[_hash(text) for text in scripts],
    )


def chart_data(chart: Chart) -> dict[str, Any]:
    """What the page's script needs to draw a chart."""
    return {
        "variants": [{"label": label, "spec": spec} for label, spec in chart.variants.items()],
        "points": dict(chart.points),
        "brush": bool(chart.brush),
        "pictures": bool(chart.spread),
        "renderer": chart.renderer,
    }


def script_json(value: object) -> Markup:
    """JSON that is safe inside a script element, whatever its strings contain.

    >>> print(script_json({"name": "</script><b>"}))
    {"name":"\\u003c/script\\u003e\\u003cb\\u003e"}
    """
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def coded(text: str) -> Markup:
    """The text escaped, with what stands between backticks as code.

    >>> print(coded("Run `select <x>` again."))
    Run <code>select &lt;x&gt;</code> again.
    """
    parts = [escape(part) for part in text.split("`")]
    odd = len(parts) % 2 == 0  # a backtick without another is one of the text's own
    if odd:
        parts[-2:] = [parts[-2] + "`" + parts[-1]]
    return Markup("").join(Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(parts))


def _source(templates: Environment, name: str) -> str:
    loader = templates.loader
    if loader is None:
        raise RuntimeError("templates have no loader")
    return loader.get_source(templates, name)[0]


def _within_script(text: str) -> str:
    """The same program, with nothing that ends the element or opens a comment in it."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _cards(sections: Sequence[Section]) -> Iterator[Card]:
    for section in sections:
        for block in section.blocks:
            yield from getattr(block, "cards", ())


def _classes(sections: Sequence[Section]) -> list[tuple[str, int]]:
    """The classes whose boxes are drawn, and the numbers of their colours."""
    found = {
        outline.name: outline.colour
        for card in _cards(sections)
        for picture in (card.picture, *card.nearest)
        for outline in picture.outlines
    }
    return sorted(found.items(), key=lambda each: each[1])
