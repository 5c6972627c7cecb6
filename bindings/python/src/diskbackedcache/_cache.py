"""The cache itself: checks what comes in, calls the library, and answers with objects."""

from __future__ import annotations

import logging
import os
import weakref
from array import array
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, NamedTuple, NoReturn, cast

from pydantic import ValidationError

from . import _logging
from ._errors import check, check_number, error
from ._keys import check_timestamp, encode_key, exact_str, exact_strs, key_list, pack_keys
from ._logging import logger
from ._model import Codec, ModelT, UndecodableError
from ._native import NOW, SIZE_ARRAY, VERSION_ARRAY, Answer, ask, deliver, encode, ffi, get, lib, put, questions, rows
from ._objects import ObjectTable
from ._options import encode_path, make_options
from ._stats import CacheStats, read_stats

if TYPE_CHECKING:
    from typing_extensions import Self

_NOT_FOUND: Final = lib.DBC_NOT_FOUND
_UNCHANGED: Final = lib.DBC_UNCHANGED
_TIERS: Final[dict[int, Literal["memory", "disk"] | None]] = {
    lib.DBC_TIER_NONE: None,
    lib.DBC_TIER_MEMORY: "memory",
    lib.DBC_TIER_DISK: "disk",
}

# Under other names than the methods'.
_ask: Final = ask
_get: Final = get
_put: Final = put


_REPORT_BYTES: Final = 64 * 1024


# Every method that calls the library ends with deliver(logger): the calls have kept what they had to say, and by then all
# is where it belongs, whatever a log handler raises or does.


class CheckResult(NamedTuple):
    """What DiskBackedCache.check() found."""

    #: how many problems there are; 0: all is well
    problems: int
    #: the first of them, a line each
    report: str


def _split(items: Mapping[str, ModelT] | Iterable[tuple[str, ModelT]]) -> tuple[list[str], list[ModelT]]:
    """The keys and the values of a batch."""
    if isinstance(items, Mapping):
        # Once, and at one go: others may change it meanwhile.
        pairs = list(cast("Mapping[str, ModelT]", items).items())
        return [key for key, _ in pairs], [value for _, value in pairs]
    keys: list[str] = []
    values: list[ModelT] = []
    if not isinstance(items, Iterable) or isinstance(items, (str, bytes)):
        raise TypeError(f"items must be a mapping or an iterable of (key, value) pairs, got {type(items).__name__}")
    for pair in items:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"items must be (key, value) pairs, got {type(pair).__name__} at index {len(keys)}")
        keys.append(pair[0])
        values.append(pair[1])
    return keys, values


class DiskBackedCache(Generic[ModelT]):
    """A cache of `model` instances in two tiers: memory, and one SQLite file that is the source of truth.

    Timestamps are seconds since the Unix epoch; without one, a call counts as made now. An item's timestamp is the time
    of its last access: by it items expire, and by it the least recently used one is evicted when a limit is exceeded.

    All methods may be called from any number of threads at once, and any number of caches in any number of processes
    may use one file. After fork() parent and child may both go on. The GIL is released while the library works, but not for
    hits in memory, which are over sooner.

    Every method raises TypeError or ValueError for bad arguments, CacheClosedError after close(), MemoryError, and else
    subclasses of CacheError; after an error nothing has changed, in neither tier.
    """

    # The hot methods look up slots and no dictionary.
    __slots__ = (
        "__weakref__",
        "_address",
        "_closed",
        "_codec",
        "_finalizer",
        "_handle",
        "_held",
        "_objects",
        "_owner",
        "_path",
        "_unheard",
    )

    def __init__(
        self,
        db_path: str | os.PathLike[str],
        model: type[ModelT],
        max_memory_items: int = 10_000,
        max_memory_size_bytes: int = 64 * 1024 * 1024,
        max_disk_items: int = 1_000_000,
        max_disk_size_bytes: int = 1024 * 1024 * 1024,
        memory_ttl_seconds: float = 300.0,
        disk_ttl_seconds: float = 7 * 24 * 3600.0,
        max_item_size_bytes: int = 1024 * 1024,
        *,
        durability: Literal["normal", "full", "off"] = "normal",
        on_corrupt: Literal["restart", "fail"] = "restart",
        busy_timeout_seconds: float = 5.0,
        touch_delay_seconds: float = 1.0,
        file_mode: int = 0o600,
        write_mode: Literal["through", "behind"] = "through",
        write_behind_items: int = 1000,
        write_behind_size_bytes: int = 8 * 1024 * 1024,
        write_behind_delay_seconds: float = 0.1,
        compression: Literal["zstd"] | None = None,
    ) -> None:
        """Opens the cache, and creates the file and missing parent directories.

        Args:
            db_path: The SQLite file; ":memory:" keeps the disk tier in RAM, for this object alone. Beside the file live
                three more, `-wal`, `-shm` and `-dbc`, which are never to be deleted while the cache is in use.
            model: The class of all values, a subclass of CacheableModel. Items that were stored under another value of
                its `schema_version` are removed.
            max_memory_items: How many items memory holds; 0 switches the memory tier off.
            max_memory_size_bytes: The sum of their sizes. An item's size is that of its JSON in bytes.
            max_disk_items: How many items the file holds, at least 1.
            max_disk_size_bytes: The sum of their sizes, at least 1.
            memory_ttl_seconds: An item that nobody asked for this long is read from disk again; inf: never.
            disk_ttl_seconds: An item that nobody asked for this long is gone; inf: never.
            max_item_size_bytes: Larger items live on disk only.
            durability: What a power loss costs. "normal": perhaps the last writes, "full": nothing, but every write
                waits for the device, "off": perhaps the file. A killed process costs nothing in any case.
            on_corrupt: What to do with a damaged file: "restart" moves it aside (`<name>.corrupt-<time>`, with a
                WARNING) and starts afresh, "fail" raises CacheCorruptError.
            busy_timeout_seconds: How long a write waits for other writers before it raises CacheBusyError; up to a
                day.
            touch_delay_seconds: How long the file may lag behind in access times; up to an hour.
            file_mode: The permission bits of files that are created.
            write_mode: When `put` returns. "through": when the item is in the file. "behind": when it is in a buffer in
                memory, which a thread commits many at a time; this object sees it at once, others then. A crash or a kill
                loses at most the buffer; `flush` and `close` wait for it.
            write_behind_items: How many items the buffer holds; when it is full, `put` waits.
            write_behind_size_bytes: The sum of their sizes.
            write_behind_delay_seconds: How long an item waits there at most; up to an hour.
            compression: "zstd": values take less room in the file, and longer to put and to read from there. Sizes
                and limits stay those of the JSON. The setting may change at any time; all values are read.

        Raises:
            TypeError, ValueError: For a bad argument, which the message names.
            CacheIOError, CacheFullError, CacheBusyError: If the file cannot be opened.
            CacheCorruptError, CacheVersionError, CacheForeignError: If it is no cache that this release can use; it is
                left untouched.
        """
        self._closed = True  # until everything has succeeded
        path = encode_path(db_path)
        self._path: Final = os.fsdecode(path)
        self._codec: Final = Codec(model)
        options_owner = make_options(
            {
                "max_memory_items": max_memory_items,
                "max_memory_size_bytes": max_memory_size_bytes,
                "max_disk_items": max_disk_items,
                "max_disk_size_bytes": max_disk_size_bytes,
                "memory_ttl_seconds": memory_ttl_seconds,
                "disk_ttl_seconds": disk_ttl_seconds,
                "max_item_size_bytes": max_item_size_bytes,
                "durability": durability,
                "on_corrupt": on_corrupt,
                "busy_timeout_seconds": busy_timeout_seconds,
                "touch_delay_seconds": touch_delay_seconds,
                "file_mode": file_mode,
                "write_mode": write_mode,
                "write_behind_items": write_behind_items,
                "write_behind_size_bytes": write_behind_size_bytes,
                "write_behind_delay_seconds": write_behind_delay_seconds,
                "compression": compression,
            }
        )
        options = options_owner[0]
        # Memory holds objects here, not bytes there; without a memory tier there is nothing to keep track of.
        check(lib.dbc_options_set_u64(options, lib.DBC_MEMORY_VALUES, 1 if max_memory_items == 0 else 0))
        _logging.set_log(options)
        # Freed when the last of this object and the calls that are inside of it lets go. A closed one is kept until
        # then: the library answers "closed" on it, to whatever comes late.
        self._owner: Final = ffi.gc(ffi.new("dbc_cache **"), lib.dbcpy_free)
        try:
            check(lib.dbc_open(path, self._codec.schema_version.encode(), options, self._owner))
            self._handle: Final = self._owner[0]
            self._address: Final = int(ffi.cast("uintptr_t", self._handle))
            self._closed = False
            # Also when the interpreter exits, for the sake of access times that are not written yet.
            self._finalizer: Final = weakref.finalize(self, _close_dropped, self._owner)
            _logging.follow_level(self._owner)
            self._objects: Final[ObjectTable[ModelT] | None] = (
                None if max_memory_items == 0 else ObjectTable(self._handle)
            )
            # What the hot calls need of it.
            self._held: Final[dict[str, tuple[bytes, int, ModelT]]] = {} if self._objects is None else self._objects.held
            self._unheard: Final = None if self._objects is None else self._objects.unheard
            _caches.add(self)
        finally:
            deliver(logger)

    # ------------------------------------------------------------------------------------------- single items -------

    def put(self, key: str, value: ModelT, timestamp: float | None = None) -> None:
        """Stores a value in both tiers, then evicts until all limits hold, which may hit the item itself.

        Raises:
            TypeError: If the value is no instance of exactly the cache's model.
            ValueError: If its schema_version is not the model's, if Pydantic cannot serialise it, or if it is larger
                than max_disk_size_bytes. What was stored under the key before stays.
        """
        encoded = encode(key) or encode_key(key)
        codec = self._codec
        codec.check(value)
        data = codec.encode(value)
        seconds = NOW if timestamp is None else check_timestamp(timestamp)
        objects = self._objects
        since = 0 if objects is None else objects.reports
        try:
            answer = _put(self._address, encoded, data, seconds, self._unheard)
            if isinstance(answer, int):
                raise error(answer)
            if objects is not None:
                objects.store(key if type(key) is str else exact_str(key), answer[1], answer[0], value, since)
        finally:
            deliver(logger)

    def get(self, key: str, timestamp: float | None = None) -> ModelT | None:
        """The value, or None.

        A hit sets the item's timestamp. In memory it is the same object that was put or read before; one on disk is
        decoded and brought into memory. An item that is expired, or no valid instance of the model, is removed, and it
        is a miss.
        """
        # The way of a memory hit, with nothing on it that could be elsewhere. (Subclasses of str may compare in their
        # own way.)
        held = self._held.get(key) if type(key) is str and timestamp is None else None
        if held is None:
            return self._get(key, timestamp)
        since = self._objects.reports  # type: ignore[union-attr]
        answer = _ask(held[0])
        if answer == _UNCHANGED:
            return held[2]
        try:
            return self._answer(key, held, since, answer)
        finally:
            deliver(logger)

    def _get(self, key: str, timestamp: float | None) -> ModelT | None:
        encoded = encode(key) or encode_key(key)
        if type(key) is not str:
            key = exact_str(key)
        seconds = NOW if timestamp is None else check_timestamp(timestamp)
        held = self._held.get(key)
        since = 0 if self._objects is None else self._objects.reports
        try:
            answer = _get(self._address, encoded, 0 if held is None else held[1], seconds, self._unheard)
            return self._answer(key, held, since, answer)
        finally:
            deliver(logger)

    def _answer(
        self, key: str, held: tuple[bytes, int, ModelT] | None, since: int, answer: Answer
    ) -> ModelT | None:
        """What a get returns, if not on the way of a memory hit."""
        objects = self._objects
        if isinstance(answer, int):
            if held is not None:
                if abs(answer) == _UNCHANGED:
                    return held[2]
                if answer == _NOT_FOUND and objects is not None:
                    objects.forget(key, held[1])
            if answer != _NOT_FOUND:
                raise error(answer)
            return None
        version, data, question = answer
        try:
            value = self._codec.decode(data)
        except UndecodableError as e:
            self._discard(key, version, e)
            return None
        if objects is None:
            return value
        return objects.store(key, question, version, value, since)

    def _discard(self, key: str, version: int, reason: Exception) -> None:
        encoded = key.encode()
        status = lib.dbc_discard(self._handle, encoded, len(encoded), version, 0)
        if status == lib.DBC_CLOSED:
            raise error(status)
        failure = None if status == lib.DBC_OK else error(status)
        if self._objects is not None:
            self._objects.let_go()
        _logging.say(logging.DEBUG, f"get(key={key!r}): value does not decode: {reason}")
        if failure is not None:
            # A miss all the same: a reader is not to fail because writers queue.
            _logging.say(logging.WARNING, f"get(key={key!r}): the item, which does not decode, stays: {failure}")

    def delete(self, key: str) -> bool:
        """Removes an item from both tiers. Returns whether there was one."""
        encoded = encode_key(key)
        try:
            status = lib.dbc_delete(self._handle, encoded, len(encoded))
            if status == _NOT_FOUND:
                return False
            check(status)
            if self._objects is not None:
                self._objects.let_go()
            return True
        finally:
            deliver(logger)

    def exists(self, key: str, timestamp: float | None = None) -> bool:
        """Would get() find the key at that time? Counts as nothing and changes nothing."""
        encoded = encode_key(key)
        try:
            status = lib.dbcpy_exists(self._handle, encoded, len(encoded), check_timestamp(timestamp))
            if status == _NOT_FOUND:
                return False
            check(status)
            return True
        finally:
            deliver(logger)

    contains = exists

    def tier(self, key: str, timestamp: float | None = None) -> Literal["memory", "disk"] | None:
        """Which tier would answer a get() at that time? Counts as nothing and changes nothing."""
        encoded = encode_key(key)
        try:
            return _TIERS[check_number(lib.dbcpy_tier(self._handle, encoded, len(encoded), check_timestamp(timestamp)))]
        finally:
            deliver(logger)

    # ------------------------------------------------------------------------------------------------ batches -------

    def put_many(
        self, items: Mapping[str, ModelT] | Iterable[tuple[str, ModelT]], timestamp: float | None = None
    ) -> None:
        """Stores all items of a mapping, or of an iterable of pairs, or, after any error, none.

        They share one timestamp, and eviction runs once, after all are in. Of a key that comes twice the later value
        stays. An empty batch does nothing.

        Raises: as put().
        """
        keys, values = _split(items)
        keys = exact_strs(keys)
        count = len(keys)
        block, key_sizes = pack_keys(keys)
        self._codec.check_many(values)
        data, sizes = self._codec.encode_many(values)
        seconds = check_timestamp(timestamp)
        value_sizes = array(SIZE_ARRAY, sizes)
        versions = array(VERSION_ARRAY, bytes(8 * count))
        arguments = (
            self._handle,
            count,
            block,
            ffi.from_buffer("size_t[]", key_sizes),
            data,
            ffi.from_buffer("size_t[]", value_sizes),
            seconds,
            ffi.from_buffer("uint64_t[]", versions),
        )
        objects = self._objects
        try:
            if objects is None:
                check(lib.dbcpy_put_many(*arguments))
                return
            with objects.remembering(count) as since:
                check(lib.dbcpy_put_many(*arguments))
                objects.let_go()
                asked = questions(self._address, block, key_sizes.tobytes(), versions.tobytes())
                objects.store_many(keys, asked, versions, values, since)
        finally:
            deliver(logger)

    def get_many(self, keys: Iterable[str], timestamp: float | None = None) -> dict[str, ModelT]:
        """What is there of these keys, in the order asked for; missing keys are absent.

        Sets no timestamps and brings nothing into memory, so that a scan cannot flush the cache. Every key counts as
        one get. The part on disk is read as of one moment.
        """
        wanted = key_list(keys)
        block, key_sizes = pack_keys(wanted)
        seconds = check_timestamp(timestamp)
        count = len(wanted)
        held = list(map(self._held.get, wanted))
        versions = (
            None
            if held.count(None) == count
            else array(VERSION_ARRAY, [0 if entry is None else entry[1] for entry in held])
        )
        owner = ffi.gc(ffi.new("dbc_result **"), lib.dbcpy_result_free)
        try:
            check(
                lib.dbcpy_get_many(
                    self._handle,
                    count,
                    block,
                    ffi.from_buffer("size_t[]", key_sizes),
                    ffi.NULL if versions is None else ffi.from_buffer("uint64_t[]", versions),
                    seconds,
                    owner,
                )
            )
            return self._found(wanted, held, owner[0])
        finally:
            ffi.release(owner)
            deliver(logger)

    def _found(
        self, wanted: list[str], held: list[tuple[bytes, int, ModelT] | None], result: Any
    ) -> dict[str, ModelT]:
        """What get_many returns, given what the library has answered."""
        answers = rows(int(ffi.cast("uintptr_t", result)))
        codec = self._codec
        found: dict[str, ModelT] = {}
        failure: Exception | None = None
        if answers is None:
            return {key: entry[2] for key, entry in zip(wanted, held) if entry is not None}
        if set(map(type, answers)) == {bytes}:
            validate_json = codec.validate_json
            try:
                found = {
                    key: validate_json(data, by_alias=False, by_name=True)
                    for key, data in zip(wanted, cast("list[bytes]", answers))
                }
                if codec.are_current(found.values()):
                    return found
            except Exception as e:
                failure = e  # whose it is, shows when it is looked for
        found = {}
        unusable: list[tuple[int, UndecodableError]] = []
        for row, (key, entry, data) in enumerate(zip(wanted, held, answers)):
            if isinstance(data, bytes):
                try:
                    found[key] = codec.decode(data)
                except UndecodableError as e:
                    unusable.append((row, e))
            elif entry is not None:
                if data:
                    found[key] = entry[2]
                elif self._objects is not None:
                    self._objects.forget(key, entry[1])
        if failure is not None and not isinstance(failure, ValidationError):
            if not any(type(reason.__cause__) is type(failure) for _, reason in unusable):
                raise failure  # of a signal handler: no value has raised it again
        for row, reason in unusable:
            self._discard(wanted[row], lib.dbc_result_versions(result)[row], reason)
        return found

    def delete_many(self, keys: Iterable[str]) -> int:
        """Removes all of these items, or, after an error, none. Returns how many there were."""
        wanted = key_list(keys)
        block, key_sizes = pack_keys(wanted)
        try:
            removed = check_number(
                lib.dbcpy_delete_many(self._handle, len(wanted), block, ffi.from_buffer("size_t[]", key_sizes))
            )
            if self._objects is not None:
                self._objects.let_go()
            return removed
        finally:
            deliver(logger)

    # -------------------------------------------------------------------------------------------- whole cache -------

    def clear(self) -> None:
        """Removes every item from both tiers. The counters of operations stay."""
        try:
            check(lib.dbc_clear(self._handle))
            if self._objects is not None:
                self._objects.clear()
                self._objects.let_go()
        finally:
            deliver(logger)

    def clear_memory(self) -> None:
        """Empties the memory tier. The disk keeps everything."""
        try:
            check(lib.dbc_clear_memory(self._handle))
            if self._objects is not None:
                self._objects.clear()
                self._objects.let_go()
        finally:
            deliver(logger)

    def flush(self) -> None:
        """Writes what is pending to the file, so that other programs see it: access times, and puts that wait."""
        try:
            check(lib.dbc_flush(self._handle))
        finally:
            deliver(logger)

    def purge_expired(self, timestamp: float | None = None) -> int:
        """Removes all items that are past disk_ttl_seconds at that time. Returns how many there were.

        Items past memory_ttl_seconds leave memory. Where there are many, others write in between, and after an error some
        may be gone already.
        """
        try:
            removed = check_number(lib.dbcpy_purge_expired(self._handle, check_timestamp(timestamp)))
            if self._objects is not None:
                self._objects.let_go()
            return removed
        finally:
            deliver(logger)

    def check(self, repair: bool = False) -> CheckResult:
        """Looks at everything in the file and in memory: structure, checksums, times, counts. Reads the whole file.

        With `repair`, what is wrong is mended: items that cannot be used are removed (they count as discarded). A file
        that is beyond that is moved aside and a fresh one started, or, with on_corrupt="fail", CacheCorruptError is
        raised. The result says what was found before.
        """
        report, problems = ffi.new("char[]", _REPORT_BYTES), ffi.new("uint64_t *")
        try:
            check(lib.dbc_check(self._handle, lib.DBC_CHECK_REPAIR if repair else 0, report, len(report), problems))
            if self._objects is not None:
                self._objects.let_go()
        finally:
            deliver(logger)
        return CheckResult(problems[0], ffi.string(report).decode())

    def get_count(self) -> int:
        """The number of items on disk, where every item is. Not a scan."""
        try:
            return check_number(lib.dbcpy_count(self._handle))
        finally:
            deliver(logger)

    def get_total_size(self) -> int:
        """The sum of the sizes of all items on disk, in bytes. Not a scan."""
        try:
            return check_number(lib.dbcpy_total_size(self._handle))
        finally:
            deliver(logger)

    def get_stats(self) -> CacheStats:
        """A snapshot of the counters of this object and of what the tiers hold, all of one moment."""
        try:
            return read_stats(self._handle)
        finally:
            deliver(logger)

    def __contains__(self, key: str) -> bool:
        return self.exists(key)

    def __len__(self) -> int:
        return self.get_count()

    def __bool__(self) -> bool:
        """True, of an empty cache and of a closed one too: `if cache:` asks whether there is one."""
        return True

    # -------------------------------------------------------------------------------------------- life of it --------

    def close(self) -> None:
        """Writes what is pending and closes the file. Closing again does nothing.

        Waits for calls that other threads are inside of; later ones raise CacheClosedError.

        Raises:
            CacheError: If access times could not be written, or, with write_mode="behind", puts that waited: those are lost
                (flush() first raises the same, and can be tried again). The cache is closed all the same.
        """
        self._closed = True
        try:
            status = lib.dbc_close(self._handle)
            self._finalizer.detach()
            if self._objects is not None:
                self._objects.clear()
            check(status)
        finally:
            deliver(logger)

    @property
    def closed(self) -> bool:
        """Was close() called?"""
        return self._closed

    @property
    def db_path(self) -> str:
        """The file, as it was given."""
        return self._path

    @property
    def model(self) -> type[ModelT]:
        """The class of all values."""
        return self._codec.model

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<DiskBackedCache[{self._codec.model.__name__}] at {self._path!r}, {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A DiskBackedCache cannot be pickled or copied; open one with the same path instead")

    def _after_fork(self) -> None:
        if self._objects is not None:
            self._objects.after_fork()


def _close_dropped(owner: Any) -> None:
    """The end of a cache that nobody has closed."""
    try:
        lib.dbc_close(owner[0])
    finally:
        if not _in_the_middle_of_a_change():
            deliver(logger)


def _in_the_middle_of_a_change() -> bool:
    """Has the garbage collector come while this thread holds the lock of another cache's table? A log handler of another
    thread may wait for that, and is not to be waited for: then the lines come with the next call."""
    try:
        return any(cache._objects is not None and cache._objects.is_locked_here() for cache in list(_caches))
    except RuntimeError:  # another thread has just opened a cache
        return True


_caches: Final[weakref.WeakSet[DiskBackedCache[Any]]] = weakref.WeakSet()


def _after_fork() -> None:
    lib.dbcpy_forget_lines()
    for cache in list(_caches):
        cache._after_fork()


os.register_at_fork(after_in_child=_after_fork)
