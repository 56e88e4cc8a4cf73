"""Settings as people write them: each field of a settings dataclass is converted and checked when one is made.

The same conversion reads the command line, the run file and Python: `budget=500`, `datasets="kitti"`, a path as text.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from thresher.errors import SettingsError

Kept = TypeVar("Kept")
Written = TypeVar("Written")
_Made = TypeVar("_Made")
#: A value that is shown in an error is cut off here.
_SHOWN = 80

if TYPE_CHECKING:

    class Given(Generic[Kept, Written]):
        """A field that may be written as `Kept` or as `Written`, and is always read as `Kept`.

        To whatever looks at annotations at run time, such as the command line, it is `Kept`.
        """

        def __get__(self, instance: object, owner: Any) -> Kept: ...
        def __set__(self, instance: object, value: Kept | Written) -> None: ...
else:

    class Given:
        """As above."""

        def __class_getitem__(cls, kinds: tuple[Any, Any]) -> Any:
            return kinds[0]


#: A tuple of texts, for which one text or any list of them may be written.
Texts = Given[tuple[str, ...], str | Iterable[str]]
#: A tuple of paths, likewise.
Paths = Given[tuple[Path, ...], str | Path | Iterable[str | Path]]
#: A path, which may be written as text.
AnyPath = Given[Path, str]
OptionalPath = Given[Path | None, str]


def default(value: Any) -> Any:
    """The default of a field that is `Given`, as it is kept."""
    return value


def younger(value: Any) -> Any:
    """The default of a field that older releases did not have.

    At its default it is left out of the manifest and the fingerprint: what was made before it came stays current.
    """
    return dataclasses.field(default=value, metadata={"younger": True})


def required() -> Any:
    """A field that is `Given` and has no default."""
    return dataclasses.field()


@dataclasses.dataclass(frozen=True)
class Reading:
    """How a field with its own spelling is read; stands in its annotation: `Annotated[str, Reading(…)]`."""

    convert: Callable[[Any], Any]
    """From what was written to what is kept; raises ValueError where it cannot."""
    expected: str
    """What to write, for the error: "a number of images (500)"."""


def converted(kind: type[_Made]) -> type[_Made]:
    """A settings dataclass whose fields are converted and checked by their types before anything else looks at them.

    Stands above `@dataclass`. A value that does not fit is one line that says what is expected; an unknown name is a
    TypeError that says which known one is close.

    >>> @converted
    ... @dataclasses.dataclass(frozen=True)
    ... class Size:
    ...     width: int
    ...     names: tuple[str, ...] = ()
    >>> Size(3, names="bus")
    Size(width=3, names=('bus',))
    >>> Size("wide")
    Traceback (most recent call last):
    thresher.errors.SettingsError: width = 'wide': expected a whole number.
    >>> Size(widht=3)
    Traceback (most recent call last):
    TypeError: Size: unknown setting 'widht'. Did you mean 'width'? Known: width, names.
    """
    plain: Callable[..., None] = vars(kind)["__init__"]
    signature, kinds = inspect.signature(plain), typing.get_type_hints(kind, include_extras=True)

    @functools.wraps(plain)
    def init(self: Any, *given: Any, **named: Any) -> None:
        known = [name for name in signature.parameters if name != "self"]
        for name in named:
            if name not in known:
                raise TypeError(f"{kind.__name__}: unknown setting '{name}'.{did_you_mean(name, known)}")
        try:
            written = signature.bind(self, *given, **named).arguments
        except TypeError as error:
            raise TypeError(f"{kind.__name__}: {error}. Known: {', '.join(known)}.") from None
        values = {name: as_type(value, kinds[name], name) for name, value in written.items() if name != "self"}
        if values.get("seed", 0) < 0:  # no generator takes it
            raise SettingsError(f"seed = {values['seed']}: expected 0 or more.")
        plain(self, **values)

    # Those of inherited fields are names in the modules of their own classes; here they are the types themselves.
    init.__annotations__ = {**kinds, "return": None}
    kind.__init__ = init  # type: ignore[method-assign]
    return kind


def restored(kind: type[_Made], recorded: Mapping[str, Any]) -> _Made:
    """The settings that a manifest recorded; those that it does not know have their default, unknown ones are left out.

    >>> @converted
    ... @dataclasses.dataclass(frozen=True)
    ... class Size:
    ...     width: int = 1
    ...     names: tuple[str, ...] = ()
    >>> restored(Size, {"names": ["bus"], "height": 3})
    Size(width=1, names=('bus',))
    """
    known = inspect.signature(kind).parameters
    return kind(**{name: value for name, value in recorded.items() if name in known})


def did_you_mean(word: str, known: Collection[str]) -> str:
    """ " Did you mean 'x'? Known: x, y.", to stand behind an error's first sentence.

    >>> did_you_mean("bugdet", ["budget", "seed"])
    " Did you mean 'budget'? Known: budget, seed."
    """
    close = difflib.get_close_matches(str(word), list(known), n=1)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"{hint} Known: {', '.join(known)}."


def as_type(value: Any, kind: Any, name: str) -> Any:
    """The value as a type has it.

    Args:
        kind: str, int, float, bool, Path, Literal, tuple[X, ...], a union of these, or Annotated with a `Reading`;
            values of any other type are taken as they are.
        name: What the error calls it.

    Raises:
        SettingsError: the value does not fit the type.

    >>> as_type("kitti", tuple[str, ...], "datasets"), as_type(8, str, "components"), as_type(1, float, "zoom")
    (('kitti',), '8', 1.0)
    """
    try:
        return _fitted(value, kind)
    except ValueError:
        shown = repr(value)
        shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
        raise SettingsError(f"{name} = {shown}: expected {_expected(kind)}.") from None


def _fitted(value: Any, kind: Any) -> Any:
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        reading = next((each for each in options[1:] if isinstance(each, Reading)), None)
        return reading.convert(value) if reading else _fitted(value, options[0])
    if origin in (types.UnionType, typing.Union):
        return _first_fitting(value, options)
    if origin is typing.Literal:
        return _option(value, options)
    if origin is tuple and options[1:] == (...,):
        return tuple(_fitted(item, options[0]) for item in items_of(value))
    return _PLAIN[kind](value) if kind in _PLAIN else value


def _first_fitting(value: Any, options: tuple[Any, ...]) -> Any:
    if value is None:
        return _refused_unless(type(None) in options, None)
    for option in options:
        try:
            return _fitted(value, option)
        except ValueError:
            continue
    raise ValueError(value)


def _option(value: Any, options: tuple[Any, ...]) -> Any:
    for option in options:
        if isinstance(value, type(option)) and value == option:
            return option
    raise ValueError(value)


def items_of(value: Any) -> list[Any]:
    """What a list holds; one text, path or number is a list of one.

    Raises:
        ValueError: a mapping, or nothing.

    >>> items_of("kitti"), items_of(["a", "b"])
    (['kitti'], ['a', 'b'])
    """
    if value is None or isinstance(value, Mapping | bytes):
        raise ValueError(value)
    if isinstance(value, str | os.PathLike | numbers.Number) or not isinstance(value, Iterable):
        return [value]
    return sorted(value) if isinstance(value, set | frozenset) else list(value)


def _refused_unless(fits: bool, value: Any) -> Any:
    if not fits:
        raise ValueError(value)
    return value


def _text(value: Any) -> str:
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    return str(value) if isinstance(value, str) else str(_whole_number(value))


def _whole_number(value: Any) -> int:
    return int(_refused_unless(isinstance(value, numbers.Integral) and not isinstance(value, bool), value))


def _number(value: Any) -> float:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return float(_refused_unless(real and math.isfinite(value), value))


def _truth(value: Any) -> bool:
    return bool(_refused_unless(isinstance(value, bool) or type(value).__name__ == "bool", value))


def _path(value: Any) -> Path:
    return Path(_refused_unless(isinstance(value, str | os.PathLike) and str(value) != "", value))


def _nothing(value: Any) -> None:
    _refused_unless(value is None, value)


_PLAIN: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    int: _whole_number,
    float: _number,
    bool: _truth,
    Path: _path,
    type(None): _nothing,
}
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path",
    type(None): "None",
}


def _expected(kind: Any) -> str:
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        reading = next((each for each in options[1:] if isinstance(each, Reading)), None)
        return reading.expected if reading else _expected(options[0])
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(_expected, options))
    if origin is typing.Literal:
        return " or ".join(map(repr, options))
    if origin is tuple:
        return f"{_expected(options[0])}, or a list of such"
    return _WORDS.get(kind, str(getattr(kind, "__name__", kind)))
