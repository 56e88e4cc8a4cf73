"""Help as plain text: sentences flow over the width of the terminal, not over the lines of the source."""

from __future__ import annotations

import re
from typing import Any


class FlowingText:
    """Formats the help of a command; Markdown would take the * out of `sequence:*=20`."""

    def __call__(self, console: Any, options: Any, panel: Any) -> None:
        """A panel of commands or parameters."""
        for entry in panel.entries:
            _flow(entry.description)
        _default()(console, options, panel)

    def render_usage(self, console: Any, options: Any, usage: Any) -> None:
        """The line that says how the command is called."""
        _default().render_usage(console, options, usage)

    def render_description(self, console: Any, options: Any, description: Any) -> None:
        """What the command does."""
        _flow(description)
        _default().render_description(console, options, description)


def _default() -> Any:
    from cyclopts.help.formatters.default import DefaultFormatter

    return DefaultFormatter()


def _flow(words: Any) -> None:
    from rich.text import Text

    text = getattr(words, "primary_renderable", None)
    if isinstance(text, Text):
        words.primary_renderable = Text(flowing(text.plain))


def flowing(text: str) -> str:
    r"""A text without the ends of its lines, but for those between paragraphs.

    >>> flowing("One sentence,\n    and its end.\n\nAnother.")
    'One sentence, and its end.\n\nAnother.'
    """
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", text.strip()))
