"""What takes a compiler seconds, made while something else is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Ahead(Generic[Key, Value]):
    """`make(key)` of each of `keys`, once: who asks for one has the next one begun beside it."""

    def __init__(self, make: Callable[[Key], Value], keys: Iterable[Key]) -> None:
        self._make, self._keys = make, list(keys)
        self._begun: dict[Key, Future[Value]] = {}
        self._pool = ThreadPoolExecutor(2)

    def __call__(self, key: Key) -> Value:
        """Raises what `make` raised."""
        first = self._keys.index(key)
        for near in self._keys[first : first + 2]:
            if near not in self._begun:
                self._begun[near] = self._pool.submit(self._make, near)
        return self._begun[key].result()
