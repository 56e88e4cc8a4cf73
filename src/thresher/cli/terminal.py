"""Text from other people's data, such as labels and file names, as it may be shown on a terminal."""

from __future__ import annotations


def on_terminal(text: object) -> str:
    r"""The text with characters that steer a terminal, or turn the direction of writing, shown as escapes.

    Lines stay lines.

    >>> on_terminal("\x1b[2Jcar"), on_terminal("Straße 🚲")
    ('\\x1b[2Jcar', 'Straße 🚲')
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode("ascii") for c in str(text))
