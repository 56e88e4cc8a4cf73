"""Values worked out once, however many threads ask for them at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """The values that were asked for last; thread-safe.

    Whoever asks for a value that another thread is working out waits for that one; nobody waits for another value.

    >>> kept = Kept[str](most=2)
    >>> [kept.of(key, lambda: key.upper()) for key in ("a", "b", "a")], len(kept)
    (['A', 'B', 'A'], 2)
    """

    def __init__(self, most: int) -> None:
        """Keep at most so many values."""
        self._most = most
        self._futures: dict[Hashable, Future[Value]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many values are kept."""
        return len(self._futures)

    def of(self, key: Hashable, work: Callable[[], Value]) -> Value:
        """The value of a key; `work` is called if it is not kept. What `work` raises is raised to all who wait."""
        with self._lock:
            future = self._futures.pop(key, None)
            mine = future is None
            future = future or Future()
            self._futures[key] = future  # the last asked for stands last
            while len(self._futures) > self._most:
                del self._futures[next(iter(self._futures))]
        if mine:
            try:
                future.set_result(work())
            except BaseException as error:
                with self._lock:
                    if self._futures.get(key) is future:
                        del self._futures[key]
                future.set_exception(error)
        return future.result()
