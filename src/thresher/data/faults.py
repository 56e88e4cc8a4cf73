"""What a damaged or hostile input can raise, in whatever library reads it, and how that is said in one line."""

from __future__ import annotations

import contextlib
import reprlib
from collections.abc import Iterable, Iterator

import polars as pl

from thresher.errors import DataError

#: All that an item may raise while it is read. polars' PanicException is no `Exception`; an interrupt is none of these.
FAULTS = (Exception, pl.exceptions.PanicException)
#: Longer reasons are cut.
_MOST_CHARACTERS = 300

_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 80


def shown(item: object) -> str:
    """The item in a few words, however long or deep it is.

    >>> shown({"bbox": list(range(100))})
    "{'bbox': [0, 1, 2, 3, 4, 5, ...]}"
    """
    return storable(_SHOWN.repr(item))


def listed(names: Iterable[object], most: int = 300) -> str:
    """Names that stand in a file, on one line and not too long.

    >>> listed(["a", "b\\nc"]), listed(range(100), most=9)
    ('a, b c', '0, 1, 2, …')
    """
    text = " ".join(storable(", ".join(map(str, names))).split())
    return text if len(text) <= most else f"{text[:most]}…"


def reason(error: BaseException) -> str:
    """Why an item failed, as one line.

    >>> reason(ValueError("no <name>")), reason(KeyError("bbox"))
    ('no <name>', "KeyError: 'bbox'")
    """
    text = " ".join(storable(str(error)).split())
    text = text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    # Readers raise ValueError with a sentence of their own; of other errors the kind is half of what there is to say.
    return (
        text
        if isinstance(error, DataError | ValueError | OSError | SyntaxError) and text
        else f"{type(error).__name__}: {text}"
    )


def storable(text: str) -> str:
    """The text as a table can store it: what is not Unicode, such as half a pair of UTF-16, is escaped.

    >>> storable("caf\\udce9")
    'caf\\\\udce9'
    """
    return text.encode("utf-8", "backslashreplace").decode()


@contextlib.contextmanager
def refusing(what: str, advice: str) -> Iterator[None]:
    """Context manager for the reading of something without which there is no source: any fault is a `DataError`.

    Args:
        what: Begins the error: "labels.json: not readable as JSON"; the reason follows in brackets.
        advice: Ends it.

    Raises:
        DataError: in place of any other error.
    """
    try:
        yield
    except DataError:
        raise
    except FAULTS as error:
        raise DataError(f"{what} ({reason(error)}). {advice}") from error
