"""The objects of the memory tier.

The library decides who is in memory, in which order they leave, and whether what is there is current; here are only the
objects that go with its decisions, each with the version that the library knows it by. A get passes the version that is
held and hears "unchanged", or gets the bytes of another one. What leaves the library's memory tier is reported as a
list of versions (dbc_dropped) and let go here.

Thread safety: `held` may be read without a lock, since the library has the last word on a version that is read there.
All changes take the lock, and no call of the library is made under it.

Reports come late: between the library's answer and store(), another thread may have fetched the report that the version
is dropped again. So the versions of recent reports are remembered with the number of their report, and a store that
began before that report does nothing. A version can be dropped and brought back to memory several times; reports from
before the call began do not count. Only so many are remembered; a store that began earlier than memory reaches back
does nothing either. That is always safe: an object that is not held costs one read from disk. (More would be remembered
at the expense of the processor's caches: with 4096, a get from disk took a tenth longer than with 256.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from struct import Struct
from typing import Any, Final, Generic

from ._model import ModelT
from ._native import ffi, lib

REMEMBERED: Final = 256
_REPORT_SIZE: Final = 512

_QUESTION: Final = Struct("PNQ")  # dbcpy_question in native/calls.h: the handle, the key's size, the version held
_question: Final = _QUESTION.pack


class ObjectTable(Generic[ModelT]):
    """Key -> (question, version, object), for one cache. The question is what ask() takes: is this version current?"""

    __slots__ = (
        "_address",
        "_buffers",
        "_forgotten",
        "_forked",
        "_handle",
        "_keys",
        "_lock",
        "_older",
        "_recent",
        "_room",
        "held",
        "reports",
    )

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._address: Final = int(ffi.cast("uintptr_t", handle))  # in questions; who asks them keeps the handle
        self._forked = False  # in a child that has not heard from the library yet
        self._buffers: list[Any] = []  # for reports; taken out while in use, so no two calls share one
        self.held: Final[dict[str, tuple[bytes, int, ModelT]]] = {}
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()  # reentrant: letting an object go may run anything
        self._keys: dict[int, str] = {}
        self.reports = 0  # how many reports there were; read before a call whose answer shall be stored
        self._recent: dict[int, int] = {}  # version -> report that dropped it
        self._older: dict[int, int] = {}  # the same, one generation earlier
        self._room = REMEMBERED  # how many versions a generation is for
        self._forgotten = 0  # the last report of which something may no longer be remembered

    def store(self, key: str, encoded: bytes, version: int, value: ModelT, since: int) -> ModelT:
        """Holds an object for a version that the library gave in a call which began at report number `since`.

        Returns the object that stands for this version from now on: the one already held, if there is one.
        """
        gone: list[object] = []  # freed after the lock, since that may run anything
        with self._lock:
            return self._store(key, encoded, version, value, since, gone)

    @contextmanager
    def storing_many(
        self, count: int
    ) -> Generator[Callable[[Sequence[str], Sequence[int], Sequence[ModelT]], None], None, None]:
        """The same for a batch; the library's call and let_go() come in between. Its own reports may be as long as
        itself, and have to be remembered until it is through."""
        with self._lock:
            self._room += count
            since = self.reports

        def store(keys: Sequence[str], versions: Sequence[int], values: Sequence[ModelT]) -> None:
            gone: list[object] = []
            with self._lock:
                for key, version, value in zip(keys, versions, values):
                    self._store(key, key.encode(), version, value, since, gone)

        try:
            yield store
        finally:
            with self._lock:
                self._room -= count

    # A signal handler that uses the cache may come in between any two of these lines, so none relies on what one before
    # it has seen. What is left over by that is found by its version, or when the two dicts are compared.
    def _store(self, key: str, encoded: bytes, version: int, value: ModelT, since: int, gone: list[object]) -> ModelT:
        present = self.held.get(key)
        if present is not None:
            if present[1] == version:
                return present[2]
            if present[1] > version:
                return value
            gone.append(self.held.pop(key, None))
            self._keys.pop(present[1], None)
        if since >= self._forgotten and self._recent.get(version, 0) <= since and self._older.get(version, 0) <= since:
            self.held[key] = (_question(self._address, len(encoded), version) + encoded, version, value)
            self._keys[version] = key
        return value

    def forget(self, key: str, version: int) -> None:
        """Lets an object go that the library no longer knows."""
        with self._lock:
            present = self.held.get(key)
            if present is not None and present[1] == version:
                self.held.pop(key, None)
                self._keys.pop(version, None)

    def let_go(self) -> None:
        """Fetches what was dropped, and lets those objects go."""
        try:
            buffer = self._buffers.pop()
        except IndexError:
            buffer = ffi.new("uint64_t[]", _REPORT_SIZE)
        try:
            count = lib.dbcpy_dropped(self._handle, buffer, _REPORT_SIZE)
            if count:
                self._let_go(buffer, count)
        except BaseException:
            # Of a signal handler, say. The library reports a version once: of this report nobody will hear again.
            self.clear()
            raise
        self._buffers.append(buffer)

    def _let_go(self, buffer: Any, count: int) -> None:
        if self._forked:
            # In a child the library first says that everything held must go, and nothing is held from before the fork.
            self._forked = False
            if count < 0:
                count = lib.dbcpy_dropped(self._handle, buffer, _REPORT_SIZE)
        while count:
            versions: list[int] = ffi.unpack(buffer, count) if count > 0 else []
            gone = []  # objects are freed after the lock, since that may run anything
            with self._lock:
                self.reports += 1
                if count < 0:  # the library's list had overflowed: anything may have been dropped
                    gone = list(self._let_all_go())
                for version in versions:
                    self._recent[version] = self.reports
                    key = self._keys.pop(version, None)
                    held = None if key is None else self.held.get(key)
                    if key is not None and held is not None and held[1] == version:
                        gone.append(self.held.pop(key, None))
                if len(self._recent) > self._room:
                    self._forgotten = max(self._forgotten, max(self._older.values(), default=0))
                    self._older = self._recent
                    self._recent = {}
                    if len(self._keys) != len(self.held):
                        self._keys = {entry[1]: key for key, entry in list(self.held.items())}
            del gone
            count = lib.dbcpy_dropped(self._handle, buffer, _REPORT_SIZE) if count in (-1, _REPORT_SIZE) else 0

    def _let_all_go(self) -> Iterator[Any]:
        self._forgotten = self.reports
        self._keys.clear()
        while self.held:
            yield self.held.popitem()

    def clear(self) -> None:
        """Lets everything go, also what calls that are still on their way would store."""
        with self._lock:
            self.reports += 1
            gone = list(self._let_all_go())
        del gone

    def after_fork(self) -> None:
        """In the child. The library's memory tier is empty there, and whoever holds the lock may not be there."""
        gone = list(self.held.values())  # freed last: that may use the cache
        self.held.clear()
        self._buffers.clear()
        self._reset()
        self._forked = True
        del gone
