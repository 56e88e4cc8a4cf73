"""The two kinds of failure that a caller can act on; anything else is a bug and shows its trace.

A message says where, what was found, what was expected and what to do about it.
"""

from __future__ import annotations

import shlex


class ThresherError(Exception):
    """Parent of both kinds, for one `except`."""


class DataError(ThresherError):
    """Something read from disk, or handed in as an array or table, is not as it must be."""


class SettingsError(ThresherError):
    """A setting has a value that cannot be used."""


def quoted(path: object) -> str:
    """A path or name as it is typed into a shell, for the commands in messages.

    >>> quoted("runs/mine"), quoted("runs/my drive")
    ('runs/mine', "'runs/my drive'")
    """
    return shlex.quote(str(path))
