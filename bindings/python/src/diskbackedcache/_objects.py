"""The objects of the memory tier.

The library decides who is in memory, in which order they leave, and whether what is there is current; here are only the
objects that go with its decisions, each with the version that the library knows it by. A get passes the version that is
held and hears "unchanged", or gets the bytes of another one. What leaves the library's memory tier is reported as a
list of versions (dbc_dropped) and let go here. The library reports each once, so a report goes to `unheard` in the call
that fetches it, and leaves that list when it has been dealt with, whatever comes in between.

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
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Generic

from ._cffi_calls import REPORT_SIZE, fetch_dropped
from ._model import ModelT
from ._native import ffi

REMEMBERED: Final = 256


class ObjectTable(Generic[ModelT]):
    """Key -> (question, version, object), for one cache. The question is what ask() takes: is this version current?"""

    __slots__ = (
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
        "unheard",
    )

    def __init__(self, handle: Any) -> None:
        self._handle = handle  # whose owner the caller keeps, as those do who ask questions
        self._forked = False  # in a child that has not heard from the library yet
        self._buffers: list[Any] = []  # for reports; taken out while in use, so no two calls share one
        self.held: Final[dict[str, tuple[bytes, int, ModelT]]] = {}
        self.unheard: Final[list[int]] = []  # versions that were dropped; 0: everything held must go
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.RLock()  # reentrant: letting an object go may run anything
        self._keys: dict[int, str] = {}
        self.reports = 0  # how many reports there were; read before a call whose answer shall be stored
        self._recent: dict[int, int] = {}  # version -> report that dropped it
        self._older: dict[int, int] = {}  # the same, one generation earlier
        self._room = REMEMBERED  # how many versions a generation is for
        self._forgotten = 0  # the last report of which something may no longer be remembered

    def store(self, key: str, question: bytes, version: int, value: ModelT, since: int) -> ModelT:
        """Holds an object for a version that the library gave in a call which began at report number `since`; before
        that, lets go what is in `unheard`.

        Returns the object that stands for this version from now on: the one already held, if there is one.
        """
        gone: list[object] = []  # freed after the lock, since that may run anything
        with self._lock:
            if self.unheard:
                self._hear(gone)
            return self._store(key, question, version, value, since, gone)

    @contextmanager
    def remembering(self, count: int) -> Generator[int, None, None]:
        """For a batch: around the library's call, let_go() and store_many(), which is to be given this number. Its own
        reports may be as long as itself, and have to be remembered until it is through."""
        with self._lock:
            self._room += count
            since = self.reports
        try:
            yield since
        finally:
            with self._lock:
                self._room -= count

    def store_many(
        self,
        keys: Sequence[str],
        questions: Sequence[bytes],
        versions: Sequence[int],
        values: Sequence[ModelT],
        since: int,
    ) -> None:
        """As store(), for a batch."""
        store = self._store
        gone: list[object] = []
        with self._lock:
            if self.unheard:
                self._hear(gone)
            for key, question, version, value in zip(keys, questions, versions, values):
                store(key, question, version, value, since, gone)

    # A signal handler that uses the cache may come in between any two of these lines, so none relies on what one before
    # it has seen. What is left over by that is found by its version, or when the two dicts are compared.
    def _store(self, key: str, question: bytes, version: int, value: ModelT, since: int, gone: list[object]) -> ModelT:
        present = self.held.get(key)
        if present is not None:
            if present[1] == version:
                return present[2]
            if present[1] > version:
                return value
            gone.append(self.held.pop(key, None))
            self._keys.pop(present[1], None)
        if since >= self._forgotten and self._recent.get(version, 0) <= since and self._older.get(version, 0) <= since:
            self.held[key] = (question, version, value)
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
            buffer = ffi.new("uint64_t[]", REPORT_SIZE)
        try:
            fetch_dropped(self._handle, buffer, self.unheard)
        except BaseException:
            # Of a signal handler, say, between the report and the list: of that one nobody will hear again.
            self.clear()
            raise
        self._buffers.append(buffer)
        if self.unheard:
            gone: list[object] = []  # freed after the lock, since that may run anything
            with self._lock:
                self._hear(gone)

    def _hear(self, gone: list[object]) -> None:
        """Lets go what is in `unheard`, in reports of a limited length."""
        reports = self.reports
        start = 0
        try:
            # A report is counted when it is complete: a call that begins after that may bring what is dropped later.
            while versions := self.unheard[start : start + REPORT_SIZE]:
                self.reports += 1
                reports += 1
                start += len(versions)
                self._hear_of(versions, gone)
            # Once, however long the report was: what the call that fetched it stores is to be told from what it dropped.
            if len(self._recent) > self._room:
                self._begin_generation()
        except BaseException:  # of a signal handler, say
            self.clear()
            raise
        if self.reports == reports:  # else a signal handler came in between and has done it
            del self.unheard[:start]

    def _hear_of(self, versions: list[int], gone: list[object]) -> None:
        # In a child the library first says that everything held must go, and nothing is held from before the fork.
        forked, self._forked = self._forked, False
        if 0 in versions and not forked:
            self._let_all_go(gone)
        held, keys, recent, report = self.held, self._keys, self._recent, self.reports
        for version in versions:
            recent[version] = report
            key = keys.pop(version, None)
            if key is not None:
                entry = held.pop(key, None)
                if entry is not None:
                    if entry[1] == version:
                        gone.append(entry)
                    else:  # of a call that has overtaken
                        held.setdefault(key, entry)

    def _begin_generation(self) -> None:
        self._forgotten = max(self._forgotten, max(self._older.values(), default=0))
        self._older = self._recent
        self._recent = {}
        if len(self._keys) != len(self.held):
            self._keys = {entry[1]: key for key, entry in list(self.held.items())}

    def _let_all_go(self, gone: list[object]) -> None:
        self._forgotten = self.reports
        self._keys.clear()
        while self.held:
            gone.append(self.held.popitem())

    def clear(self) -> None:
        """Lets everything go, also what calls that are still on their way would store."""
        gone: list[object] = []
        with self._lock:
            self.reports += 1
            self._let_all_go(gone)

    def is_locked_here(self) -> bool:
        """Is this thread in the middle of a change?"""
        return self._lock._is_owned()  # type: ignore[attr-defined, no-any-return]

    def after_fork(self) -> None:
        """In the child. The library's memory tier is empty there, and whoever holds the lock may not be there."""
        gone = list(self.held.values())  # freed last: that may use the cache
        self.held.clear()
        self.unheard.clear()
        self._buffers.clear()
        self._reset()
        self._forked = True
        del gone
