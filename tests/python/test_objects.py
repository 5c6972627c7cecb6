"""The objects of the memory tier: the same one every time, and none for longer than the library keeps the item."""

from __future__ import annotations

import gc
import logging
import random
import signal
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest
from diskbackedcache import CacheableModel, DiskBackedCache
from diskbackedcache import _cache as cache_module
from diskbackedcache import _cffi_calls as cffi_calls
from diskbackedcache import _native as native
from diskbackedcache import _objects as objects_module
from diskbackedcache._dbc import ffi, lib
from diskbackedcache._native import NOW, ask
from diskbackedcache._objects import ObjectTable
from models import Blob, Order, User, blob
from pydantic import BaseModel, Field, Secret, SecretStr, field_serializer

Open = Callable[..., DiskBackedCache[Blob]]
Thing = TypeVar("Thing")


def table_of(cache: DiskBackedCache[Any]) -> ObjectTable[Any]:
    table = cache._objects
    assert table is not None
    return table


def alive(references: dict[str, weakref.ref[Blob]]) -> set[str]:
    gc.collect()
    return {key for key, reference in references.items() if reference() is not None}


def put(cache: DiskBackedCache[Blob], key: str, size: int, now: float) -> weakref.ref[Blob]:
    value = blob(size)
    cache.put(key, value, timestamp=now)
    return weakref.ref(value)


def test_a_hit_is_the_object_that_was_put(open_blobs: Open) -> None:
    cache = open_blobs()
    one, two = blob(40), blob(40)
    cache.put("a", one)
    cache.put_many({"b": two})
    assert cache.get("a") is cache.get_many(["a"])["a"] is one
    assert cache.get("b") is cache.get_many(["b"])["b"] is two


def test_a_hit_is_the_object_that_was_read(open_blobs: Open) -> None:
    cache = open_blobs()
    cache.put("a", blob(40))
    cache.clear_memory()
    read = cache.get("a")
    assert cache.get("a") is cache.get_many(["a"])["a"] is read


@pytest.fixture(params=["cpython", "cffi"])
def calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The functions of CPython's own, and those through cffi, which other Pythons have."""
    module = native if request.param == "cpython" else cffi_calls
    for name in ("_ask", "_get", "_put"):
        monkeypatch.setattr(cache_module, name, getattr(module, name[1:]))
    for name in ("encode", "questions", "rows", "deliver"):
        monkeypatch.setattr(cache_module, name, getattr(module, name))
    return module


@pytest.fixture
def asking(calls: Any) -> Callable[[bytes], object]:
    function: Callable[[bytes], object] = calls.ask
    return function


def test_asking_for_what_is_held(open_blobs: Open, asking: Callable[[bytes], object]) -> None:
    cache, other = open_blobs(), open_blobs()
    one, two = blob(40), blob(50)
    cache.put("a", one)
    assert cache.get("a") is one
    assert cache.get_stats().memory_hits == cache.get_stats().total_gets == 1
    other.put("a", two)
    read = cache.get("a")
    assert read == two and cache.get("a") is read
    other.delete("a")
    assert cache.get("a") is None
    stats = cache.get_stats()
    assert (stats.memory_hits, stats.disk_hits, stats.misses, stats.total_gets) == (2, 1, 1, 4)

    cache.put("a", one)
    question = table_of(cache).held["a"][0]
    assert asking(question) == lib.DBC_UNCHANGED
    cache.close()
    assert asking(question) == lib.DBC_CLOSED
    assert ffi.string(lib.dbc_last_error()) == b"the cache is closed"


def test_asking_takes_questions_only() -> None:
    for wrong in (None, "question", 7):
        with pytest.raises(TypeError):
            ask(wrong)  # type: ignore[arg-type]


def test_getting_what_is_in_a_value(open_blobs: Open, calls: Any) -> None:
    cache = open_blobs()
    getting, address = calls.get, cache._address
    for size in (40, 100_000):
        cache.put("a", blob(size))
        question, version, _ = table_of(cache).held["a"]
        data = blob(size).model_dump_json().encode()
        assert getting(address, b"a", 0, NOW, None) == (version, data, question)
        assert getting(address, b"a", version, NOW, None) == lib.DBC_UNCHANGED
        assert cache.get("a", timestamp=time.time()) == blob(size)
    assert getting(address, b"b", 0, NOW, []) == lib.DBC_NOT_FOUND
    assert getting(address, b"a", 0, 0.0, []) == (version, data, question)
    wrong: tuple[Any, ...]
    for wrong in ((None, b"a", 0, NOW, []), (address, "a", 0, NOW, []), (address, b"a", "0", NOW, [])):
        with pytest.raises(TypeError):
            getting(*wrong)
    with pytest.raises(TypeError):
        getting(address, b"a", 0, "now", [])
    with pytest.raises(TypeError):
        getting(address)


def test_putting_and_what_it_drops(open_blobs: Open, calls: Any) -> None:
    cache = open_blobs(max_memory_items=1)
    data = blob(40).model_dump_json().encode()
    unheard: list[int] = []
    first, question = calls.put(cache._address, b"a", data, NOW, unheard)
    assert calls.ask(question) == lib.DBC_UNCHANGED
    assert unheard == []
    second, _ = calls.put(cache._address, b"b", data, NOW, unheard)
    assert second > first
    assert unheard == [first]
    third, _, question = calls.get(cache._address, b"a", 0, NOW, unheard)
    assert third == first
    assert unheard == [first, second]
    cache.close()
    assert calls.put(cache._address, b"a", data, NOW, unheard) == lib.DBC_CLOSED
    for wrong in ((None, b"a", data, NOW, []), (1, "a", data, NOW, []), (1, b"a", "data", NOW, []), (1, b"a")):
        with pytest.raises(TypeError):
            calls.put(*wrong)


def test_reports_that_do_not_fit_at_once(open_blobs: Open, calls: Any) -> None:
    cache = open_blobs(max_memory_items=2000)
    items = {f"k{i}": blob(40) for i in range(2000)}
    cache.put_many(items)
    lib.dbc_clear_memory(cache._handle)
    unheard: list[int] = []
    calls.get(cache._address, b"k0", 0, NOW, unheard)
    # But for the one that is back in memory.
    assert len(unheard) == 1999
    cache._unheard.extend(unheard)  # type: ignore[union-attr]
    cache.put("x", blob(40))
    assert set(table_of(cache).held) == {"k0", "x"}


def test_what_a_call_brings_is_held_however_much_it_drops(open_blobs: Open) -> None:
    cache = open_blobs(memory_ttl_seconds=10)
    cache.put_many({f"k{i}": blob(40) for i in range(1000)}, timestamp=0)
    cache.get_many([f"k{i}" for i in range(1000)], timestamp=100)
    one = blob(50)
    cache.put("x", one, timestamp=100)
    assert cache.get("x", timestamp=100) is one
    assert cache.get_stats().memory_hits == 1

    cache = open_blobs(max_memory_size_bytes=100_000)
    cache.clear()
    cache.put_many({f"k{i}": blob(50) for i in range(2000)})
    large = blob(90_000)
    cache.put("large", large)
    assert cache.get("large") is large
    cache.put_many({f"k{i}": blob(50) for i in range(2000)})
    assert cache.tier("large") == "disk"
    batch = {"a": blob(45_000), "b": blob(45_000)}
    cache.put_many(batch)
    assert cache.get_many(batch)["a"] is batch["a"]
    assert cache.get_stats().memory_hits == 3


def test_a_key_is_one_in_both(calls: Any) -> None:
    for key in ("a", "x" * 256, "\N{SNOWMAN}" * 256, "\U0001f600" * 256, "\x7f"):
        assert calls.encode(key) == key.encode()
    for wrong in ("", "x" * 257, "\N{SNOWMAN}" * 257, "a\0", "\ud800", b"a", None, 7, "x" * 5000):
        assert calls.encode(wrong) is None


def test_the_questions_of_a_batch(open_blobs: Open, calls: Any) -> None:
    cache = open_blobs()
    cache.put_many({"a": blob(40), "\N{SNOWMAN}" * 3: blob(50), "last": blob(60)})
    for question, _, _value in table_of(cache).held.values():
        assert calls.ask(question) == lib.DBC_UNCHANGED
        assert cache.get_many(cache._held) == {key: entry[2] for key, entry in cache._held.items()}
    cache.put("a", blob(41))
    assert calls.questions(cache._address, b"", b"", b"") == []


def test_rows_are_values_or_say_why_not(open_blobs: Open, calls: Any) -> None:
    cache = open_blobs()
    values = {"a": blob(40), "b": blob(50), "c": blob(60)}
    cache.put_many(values)
    assert cache.get_many([]) == {}
    assert cache.get_many(["c", "x", "a"]) == {"c": values["c"], "a": values["a"]}
    cache.clear_memory()
    assert cache.get("b") == values["b"]
    assert cache.get_many(["c", "x", "b", "a", "c"]) == {key: values[key] for key in "cba"}
    assert list(cache.get_many(["c", "b", "a"])) == ["c", "b", "a"]
    cache.clear_memory()
    assert cache.get_many(["c", "b", "a", "c"]) == {key: values[key] for key in "cba"}
    assert cache.get_many(["x", "y"]) == {}


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_timeouts_in_the_middle_of_gets_leak_no_values(open_blobs: Open) -> None:
    class Timeout(BaseException):
        pass

    def interrupt(_signal: int, _frame: object) -> None:
        raise Timeout

    cache = open_blobs(max_item_size_bytes=1, max_disk_size_bytes=10_000_000)
    cache.put("k", blob(300_000))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        timeouts, early = 0, 0
        while timeouts < 2000:
            if timeouts == 200:
                early = resident_bytes()
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0002, 0.0006))
                while True:
                    cache.get("k")
                    cache.get_many(["k"])
            except Timeout:
                timeouts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert resident_bytes() - early < 50 * 300_000


def test_other_threads_go_on_while_a_get_waits(open_blobs: Open, path: Path, asking: Callable[[bytes], object]) -> None:
    cache = open_blobs(disk_ttl_seconds=0.01, busy_timeout_seconds=0.5)
    cache.put("a", blob(40))
    time.sleep(0.05)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    stopped = threading.Event()
    ticks: list[float] = []

    def tick() -> None:
        while not stopped.wait(0.01):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        assert "a" in table_of(cache).held
        began = time.monotonic()
        assert cache.get("a") is None  # expired; that it cannot be removed is found after the timeout
        ended = time.monotonic()
    finally:
        stopped.set()
        thread.join()
        connection.execute("ROLLBACK")
        connection.close()
    assert ended - began > 0.4
    assert len([moment for moment in ticks if began + 0.1 < moment < ended - 0.1]) >= 3


def test_evicted_objects_are_let_go(open_blobs: Open) -> None:
    cache = open_blobs(max_memory_items=3)
    references = {f"k{i}": put(cache, f"k{i}", 40, float(i)) for i in range(10)}
    assert alive(references) == {"k7", "k8", "k9"}
    cache.put_many({"x": blob(40), "y": blob(40)}, timestamp=20.0)
    assert alive(references) == {"k9"}


def test_objects_evicted_by_a_read_are_let_go(open_blobs: Open) -> None:
    cache = open_blobs(max_memory_items=1)
    references = {"a": put(cache, "a", 40, 1.0), "b": put(cache, "b", 40, 2.0)}
    assert alive(references) == {"b"}
    cache.get("a", timestamp=3.0)
    assert alive(references) == set()


def test_overwritten_objects_are_let_go(open_blobs: Open) -> None:
    cache = open_blobs()
    references = {"first": put(cache, "k", 40, 1.0)}
    cache.put("k", blob(41))
    assert alive(references) == set()


def test_deleted_objects_are_let_go(open_blobs: Open) -> None:
    cache = open_blobs(disk_ttl_seconds=1000)
    references = {key: put(cache, key, 40, 1.0) for key in "abcdef"}
    cache.delete("a")
    cache.delete_many(["b", "absent"])
    assert alive(references) == set("cdef")
    cache.get("c", timestamp=5_000.0)
    assert alive(references) == set("def")
    cache.get_many(["d"], timestamp=5_000.0)
    assert alive(references) == set("ef")
    cache.purge_expired(timestamp=5_000.0)
    assert alive(references) == set()


@pytest.mark.parametrize("how", ["clear", "clear_memory", "close"])
def test_cleared_objects_are_let_go(open_blobs: Open, how: str) -> None:
    cache = open_blobs()
    references = {key: put(cache, key, 40, 1.0) for key in "abc"}
    assert alive(references) == set("abc")
    getattr(cache, how)()
    assert alive(references) == set()


def test_objects_of_items_on_disk_only_are_not_held(open_blobs: Open) -> None:
    cache = open_blobs(max_item_size_bytes=50)
    references = {"small": put(cache, "small", 50, 1.0), "large": put(cache, "large", 51, 1.0)}
    value = blob(60)
    cache.put_many({"batch": value}, timestamp=1.0)
    references["batch"] = weakref.ref(value)
    del value
    assert alive(references) == {"small"}
    read = cache.get("large", timestamp=1.0)
    assert read is not None
    references["read"] = weakref.ref(read)
    del read
    assert alive(references) == {"small"}
    references["overwritten"] = put(cache, "small", 70, 2.0)
    assert alive(references) == set()


def test_without_a_memory_tier_nothing_is_held(open_blobs: Open) -> None:
    cache = open_blobs(max_memory_items=0)
    references = {key: put(cache, key, 40, 1.0) for key in "abc"}
    cache.get("a")
    assert alive(references) == set()
    assert cache._objects is None
    # Nobody asks the library what has left memory, so it must not collect that either.
    versions = ffi.new("uint64_t[]", 10)
    assert lib.dbcpy_dropped(cache._handle, versions, 10) == 0


def test_an_item_that_is_its_own_victim_is_not_held(open_blobs: Open) -> None:
    cache = open_blobs(max_memory_items=1, max_disk_items=2)
    put(cache, "a", 40, 10.0)
    references = {"old": put(cache, "b", 40, 5.0), "oldest": put(cache, "c", 40, 1.0)}
    assert cache.exists("b", timestamp=10.0)
    assert not cache.exists("c", timestamp=10.0)
    assert alive(references) == set()


def test_expired_from_memory_and_evicted(open_blobs: Open) -> None:
    cache = open_blobs(memory_ttl_seconds=10, max_memory_items=2)
    references = {"a": put(cache, "a", 40, 0.0), "b": put(cache, "b", 40, 0.0)}
    cache.get("a", timestamp=100.0)
    cache.get("b", timestamp=101.0)
    for i in range(3):
        put(cache, f"k{i}", 40, 200.0)
    assert alive(references) == set()
    assert len(table_of(cache).held) == 2


def test_a_cache_that_is_dropped_is_closed_and_freed(open_blobs: Open, path: str) -> None:
    cache = DiskBackedCache(path, Blob)
    cache.put("k", blob(40))
    cache.get("k", timestamp=1e9)
    reference, owner = weakref.ref(cache), weakref.ref(cache._owner)
    del cache
    gc.collect()
    assert reference() is None
    assert owner() is None
    assert open_blobs().tier("k", timestamp=1e9) == "disk"  # the access time was written


def test_values_outlive_the_cache(path: str) -> None:
    with DiskBackedCache(path, Blob) as cache:
        cache.put("k", blob(40))
        cache.clear_memory()
        value = cache.get("k")
    del cache
    gc.collect()
    assert value == blob(40)


@pytest.mark.parametrize("max_memory_items", [1, 5, 50])
def test_threads_leak_no_objects(open_blobs: Open, max_memory_items: int) -> None:
    cache = open_blobs(max_memory_items=max_memory_items, max_disk_items=60)

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for i in range(400):
            key = f"k{dice.randrange(80)}"
            what = dice.randrange(10)
            if what < 4:
                cache.put(key, Blob(body=f"{seed} {i}"))
            elif what < 8:
                cache.get(key)
            elif what == 8:
                cache.put_many({f"k{dice.randrange(80)}": Blob(body=f"{seed} {i}") for _ in range(5)})
            else:
                cache.delete(key)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table = table_of(cache)
    table.let_go()
    resident = {f"k{i}" for i in range(80) if cache.tier(f"k{i}") == "memory"}
    assert set(table.held) <= resident
    assert {key: version for version, key in table._keys.items()} == {
        key: version for key, (_, version, _) in table.held.items()
    }
    gc.collect()
    objects = [thing for thing in gc.get_objects() if type(thing) is Blob]
    held = {id(value) for _, _, value in table.held.values()}
    assert len([thing for thing in objects if id(thing) in held]) == len(held) <= max_memory_items


# ------------------------------------------------------------- the table, with reports in every possible order -----


class Item(CacheableModel):
    schema_version: str = "1"


class Library:
    """Stands for the part of the library that the table talks to."""

    def __init__(self) -> None:
        self.dropped: list[int] = []
        self.overflowed = False

    def dbcpy_dropped(self, _handle: object, versions: Any, capacity: int) -> int:
        count = min(capacity, len(self.dropped))
        for i in range(count):
            versions[i] = self.dropped.pop(0)
        overflowed, self.overflowed = self.overflowed, False
        return -1 - count if overflowed else count


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    fake = Library()
    monkeypatch.setattr(cffi_calls, "lib", fake)
    return fake


@pytest.fixture
def table(library: Library) -> ObjectTable[Item]:
    return ObjectTable(ffi.NULL)


def held(table: ObjectTable[Item]) -> dict[str, int]:
    assert {version: key for key, (_, version, _) in table.held.items()} == table._keys
    return {key: version for key, (_, version, _) in table.held.items()}


def test_table_holds_and_lets_go(table: ObjectTable[Item], library: Library) -> None:
    item = Item()
    assert table.store("k", b"k", 1, item, table.reports) is item
    assert held(table) == {"k": 1}
    library.dropped = [1]
    table.let_go()
    assert held(table) == {}


def test_table_reported_before_it_was_stored(table: ObjectTable[Item], library: Library) -> None:
    since = table.reports
    library.dropped = [1]  # another thread evicts it, and hears of it first
    table.let_go()
    table.store("k", b"k", 1, Item(), since)
    assert held(table) == {}


def test_table_reports_from_before_the_call_do_not_count(table: ObjectTable[Item], library: Library) -> None:
    library.dropped = [1]
    table.let_go()
    table.store("k", b"k", 1, Item(), table.reports)  # brought back to memory
    assert held(table) == {"k": 1}


def test_table_the_higher_version_stays(table: ObjectTable[Item]) -> None:
    five, six = Item(), Item()
    table.store("k", b"k", 6, six, 0)
    assert table.store("k", b"k", 5, five, 0) is five
    assert held(table) == {"k": 6}
    assert table.store("k", b"k", 6, Item(), 0) is six
    table.store("k", b"k", 7, Item(), 0)
    assert held(table) == {"k": 7}


def test_table_a_refused_version_takes_the_older_one_along(table: ObjectTable[Item], library: Library) -> None:
    table.store("k", b"k", 1, Item(), 0)
    since = table.reports
    library.dropped = [2]
    table.let_go()
    table.store("k", b"k", 2, Item(), since)
    assert held(table) == {}


def test_table_two_readers_of_one_version(table: ObjectTable[Item], library: Library) -> None:
    since = table.reports  # both begin
    table.store("k", b"k", 1, Item(), since)
    library.dropped = [1]
    table.let_go()
    table.store("k", b"k", 1, Item(), since)  # the second comes too late
    assert held(table) == {}


def test_table_long_reports(table: ObjectTable[Item], library: Library) -> None:
    for version in range(1, 2001):
        table.store(f"k{version}", b"k", version, Item(), 0)
    library.dropped = list(range(1, 1991))
    table.let_go()
    assert library.dropped == []
    assert sorted(held(table).values()) == list(range(1991, 2001))


def test_table_overflow(table: ObjectTable[Item], library: Library) -> None:
    since = table.reports
    for version in range(1, 11):
        table.store(f"k{version}", b"k", version, Item(), since)
    library.overflowed = True
    table.let_go()
    assert held(table) == {}
    table.store("k", b"k", 11, Item(), since)  # may have been among those that nobody knows
    assert held(table) == {}
    table.store("k", b"k", 11, Item(), table.reports)
    assert held(table) == {"k": 11}


def test_table_what_is_no_longer_remembered_is_not_stored(table: ObjectTable[Item], library: Library) -> None:
    since = table.reports
    for first in range(100, 100 + 3 * 1000, 1000):
        library.dropped = list(range(first, first + 1000))
        table.let_go()
    table.store("k", b"k", 1, Item(), since)
    assert held(table) == {}
    assert len(table._recent) + len(table._older) <= 2 * 1000
    table.store("k", b"k", 1, Item(), table.reports)
    assert held(table) == {"k": 1}


def test_table_remembers_for_a_while(table: ObjectTable[Item], library: Library) -> None:
    since = table.reports
    library.dropped = [1]
    table.let_go()
    library.dropped = list(range(100, 101 + objects_module.REMEMBERED))
    table.let_go()
    assert not {1}.isdisjoint(table._older)
    table.store("k", b"k", 1, Item(), since)
    assert held(table) == {}


def test_table_a_batch_larger_than_what_is_remembered(table: ObjectTable[Item], library: Library) -> None:
    count = 10 * objects_module.REMEMBERED
    with table.remembering(count) as since:
        library.dropped = list(range(1, count - 9))
        table.let_go()
        keys = [f"k{version}" for version in range(1, count + 1)]
        table.store_many(keys, [b""] * count, range(1, count + 1), [Item()] * count, since)
    assert sorted(held(table).values()) == list(range(count - 9, count + 1))
    assert table._room == objects_module.REMEMBERED


def test_table_letting_go_may_run_anything(table: ObjectTable[Item], library: Library) -> None:
    item = Item()
    weakref.finalize(item, lambda: table.store("late", b"late", 9, Item(), table.reports))
    table.store("k", b"k", 1, item, 0)
    del item
    library.dropped = [1]
    table.let_go()
    assert held(table) == {"late": 9}


def test_table_forgets_only_that_version(table: ObjectTable[Item]) -> None:
    table.store("k", b"k", 2, Item(), 0)
    table.forget("k", 1)
    table.forget("x", 2)
    assert held(table) == {"k": 2}
    table.forget("k", 2)
    assert held(table) == {}


def test_table_clear_outruns_calls_on_their_way(table: ObjectTable[Item]) -> None:
    since = table.reports
    table.store("a", b"a", 1, Item(), since)
    table.clear()
    table.store("b", b"b", 2, Item(), since)
    assert held(table) == {}


def test_table_a_signal_handler_may_use_the_cache(table: ObjectTable[Item], library: Library) -> None:
    """What it has changed in the middle of a call is no error of that call."""
    first = Item()
    table.store("k", b"k", 1, first, table.reports)
    table.store("other", b"other", 2, Item(), table.reports)
    table.held.pop("k")  # as when another call forgets it between two lines of this one
    library.dropped = [1, 2]
    table.let_go()
    assert held(table) == {}
    table._keys[3] = "k"
    table.held["k"] = (b"", 4, first)
    table._keys[4] = "k"
    library.dropped = [3]  # what another call has overtaken
    table.let_go()
    assert held(table) == {"k": 4}


def test_table_a_report_that_is_interrupted_lets_everything_go(
    table: ObjectTable[Item], library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in range(1, 5):
        table.store(f"k{version}", f"k{version}".encode(), version, Item(), table.reports)

    class Timeout(Exception):
        pass

    def interrupted(buffer: object, count: int) -> list[int]:
        raise Timeout

    library.dropped = [1, 2]
    table._buffers.append(ffi.new("uint64_t[]", 512))
    with monkeypatch.context() as patch:
        patch.setattr(cffi_calls, "ffi", type("Interrupted", (), {"unpack": staticmethod(interrupted)}))
        with pytest.raises(Timeout):
            table.let_go()
    assert held(table) == {}
    assert table._keys == {}


@pytest.mark.parametrize("dropped", [1, 2])
def test_table_the_first_report_in_a_child(table: ObjectTable[Item], library: Library, dropped: int) -> None:
    """It says that everything held must go, which is only what was held before the fork, and more."""
    table.store("old", b"old", 9, Item(), table.reports)
    table.after_fork()
    library.overflowed = True
    library.dropped = [dropped]
    since = table.reports
    table.store("k", b"k", 1, Item(), since)
    table.let_go()
    table.store("l", b"l", 2, Item(), since)
    assert held(table) == ({"l": 2} if dropped == 1 else {"k": 1})


def test_table_an_overflow_with_versions(table: ObjectTable[Item], library: Library) -> None:
    since = table.reports
    table.store("k", b"k", 1, Item(), since)
    library.overflowed = True
    library.dropped = list(range(100, 100 + cffi_calls.REPORT_SIZE + 1))
    table.let_go()
    assert library.dropped == []
    assert held(table) == {}


def test_table_what_was_fetched_is_heard_with_the_next_report(table: ObjectTable[Item], library: Library) -> None:
    table.store("k", b"k", 1, Item(), table.reports)
    table.store("l", b"l", 2, Item(), table.reports)
    since = table.reports
    table.unheard += [1, 3]  # by calls that an exception of a signal handler has ended then
    table.store("m", b"m", 3, Item(), since)
    assert held(table) == {"l": 2}
    table.unheard.append(0)
    table.store("m", b"m", 4, Item(), table.reports)
    assert held(table) == {}
    table.store("m", b"m", 4, Item(), table.reports)
    assert held(table) == {"m": 4}


def test_table_an_exception_in_a_report_lets_everything_go(
    table: ObjectTable[Item], library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Timeout(Exception):
        pass

    class Keys(dict[int, str]):
        def pop(self, *arguments: Any) -> Any:
            raise Timeout

    table.store("k", b"k", 1, Item(), table.reports)
    table._keys = Keys(table._keys)
    library.dropped = [1]
    with pytest.raises(Timeout):
        table.let_go()
    assert table.held == {}
    table._keys = {}
    table.let_go()
    assert held(table) == {}


def test_table_a_signal_handler_may_hear_in_the_middle_of_a_report(table: ObjectTable[Item], library: Library) -> None:
    class Keys(dict[int, str]):
        busy = False

        def pop(self, *arguments: Any) -> Any:
            if not self.busy:
                self.busy = True
                table.let_go()  # the handler's
                table.unheard.append(3)  # another thread's
            return super().pop(*arguments)

    for version, key in enumerate("abc", 1):
        table.store(key, key.encode(), version, Item(), table.reports)
    table._keys = Keys(table._keys)
    library.dropped = [1, 2]
    table.let_go()
    assert held(table) == {"c": 3}
    table.store("d", b"d", 4, Item(), table.reports)
    assert held(table) == {"d": 4}


def test_the_model_round_trips(path: str) -> None:
    import datetime
    import math
    from decimal import Decimal
    from enum import Enum
    from typing import Literal, Optional, Union
    from uuid import UUID, uuid5

    from pydantic import Field, computed_field

    class Colour(Enum):
        RED = "red"

    class Part(CacheableModel):
        schema_version: str = "part"
        f: float = math.inf
        parts: list[Part] = []

    class Everything(CacheableModel):
        schema_version: str = "1"
        aliased: int = Field(alias="Alias", default=1)
        twice: int = Field(validation_alias="in", serialization_alias="out", default=2)
        part: Part = Part(parts=[Part(f=-math.inf)])
        colour: Colour = Colour.RED
        when: datetime.datetime = datetime.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=datetime.timezone.utc)
        span: datetime.timedelta = datetime.timedelta(days=1, microseconds=1)
        amount: Decimal = Decimal("1.10")
        id: UUID = uuid5(UUID(int=0), "x")
        either: Union[int, str, None] = "5"
        data: bytes = b"abc"
        numbers: dict[int, tuple[float, ...]] = {1: (0.1, 1e300, 5e-324)}
        letters: frozenset[str] = frozenset("ab")
        literal: Literal["a", "b"] = "b"
        nothing: Optional[int] = None
        big: int = 2**80

        @computed_field  # type: ignore[prop-decorator]
        @property
        def double(self) -> int:
            return 2 * self.twice

    value = Everything.model_validate({"Alias": 7, "in": 8})
    assert value.aliased == 7
    assert value.twice == 8
    with DiskBackedCache(path, Everything) as cache:
        cache.put("k", value)
        cache.clear_memory()
        assert cache.get("k") == value
        assert cache.get_many(["k"]) == {"k": value}


def test_only_what_is_validated_is_stored(path: str) -> None:
    from pydantic import Json, computed_field

    class Strict(CacheableModel, extra="forbid"):
        schema_version: str = "1"
        side: int
        data: Json[list[int]]

        @computed_field  # type: ignore[prop-decorator]
        @property
        def area(self) -> int:
            return self.side**2

    with DiskBackedCache(path, Strict) as cache:
        value = Strict.model_validate({"side": 3, "data": "[1, 2]"})
        cache.put("k", value)
        cache.clear_memory()
        assert cache.get("k") == value


def test_nan_comes_back(path: str) -> None:
    class Measured(CacheableModel):
        schema_version: str = "1"
        f: float

    with DiskBackedCache(path, Measured) as cache:
        cache.put("k", Measured(f=float("nan")))
        cache.clear_memory()
        again = cache.get("k")
        assert again is not None
        assert again.f != again.f


def test_a_model_whose_validators_raise_anything(path: str) -> None:
    from pydantic import field_validator

    class Moody(CacheableModel):
        schema_version: str = "1"
        number: int

        @field_validator("number")
        @classmethod
        def check(cls, number: int) -> int:
            if number == 13 and moody:
                raise RuntimeError("no")
            return number

    moody = False
    with DiskBackedCache(path, Moody) as cache:
        cache.put("k", Moody(number=13))
        cache.clear_memory()
        moody = True
        assert cache.get("k") is None
        assert cache.get_stats().discarded == 1


def test_an_exception_that_only_happened_to_come_then_is_the_callers(path: str) -> None:
    """A signal handler's, such as a timeout: it says nothing about the value."""
    from pydantic import field_validator

    class Timeout(Exception):
        pass

    class Interrupted(CacheableModel):
        schema_version: str = "1"
        number: int

        @field_validator("number")
        @classmethod
        def check(cls, number: int) -> int:
            if due:
                due.pop()
                raise Timeout
            return number

    due: list[bool] = []
    with DiskBackedCache(path, Interrupted) as cache:
        value = Interrupted(number=1)
        cache.put("k", value)
        cache.clear_memory()
        due.append(True)
        with pytest.raises(Timeout):
            cache.get("k")
        assert cache.get("k") == value
        assert cache.get_stats().discarded == 0


@pytest.mark.parametrize("kind", [ValueError, AssertionError])
def test_an_error_that_pydantic_swallows_removes_no_good_value(path: str, kind: type[Exception]) -> None:
    """Raised by a signal handler inside of a validator, it becomes a ValidationError."""
    from pydantic import field_validator

    class Interrupted(CacheableModel):
        schema_version: str = "1"
        number: int

        @field_validator("number")
        @classmethod
        def check(cls, number: int) -> int:
            if due:
                due.pop()
                raise kind
            return number

    due: list[bool] = []
    with DiskBackedCache(path, Interrupted) as cache:
        value = Interrupted(number=1)
        cache.put_many({"k": value, "l": value})
        for get in (lambda: cache.get_many(["k", "l"]), lambda: cache.get("k")):
            cache.clear_memory()
            due.append(True)
            assert get() in (value, {"k": value, "l": value})
            assert not due
        assert cache.get_stats().discarded == 0


def test_an_exception_in_a_batch_is_the_callers_or_the_models(path: str) -> None:
    from pydantic import field_validator

    class Timeout(Exception):
        pass

    class Moody(CacheableModel):
        schema_version: str = "1"
        number: int

        @field_validator("number")
        @classmethod
        def check(cls, number: int) -> int:
            if due:
                due.pop()
                raise Timeout
            if number == 13 and moody:
                raise RuntimeError
            return number

    due: list[bool] = []
    moody = False
    with DiskBackedCache(path, Moody) as cache:
        cache.put_many({str(number): Moody(number=number) for number in (1, 12, 13)})
        cache.clear_memory()
        due.append(True)
        with pytest.raises(Timeout):
            cache.get_many(["1", "12", "13"])
        assert len(cache.get_many(["1", "12", "13"])) == 3
        moody = True
        assert list(cache.get_many(["1", "13", "12"])) == ["1", "12"]
        assert cache.get_stats().discarded == 1


def test_a_value_that_does_not_decode_is_a_miss_while_another_program_writes(path: str) -> None:
    with DiskBackedCache(path, Library0) as old:
        old.put("bad", Library0(text="x"))
    with DiskBackedCache(path, Library1, busy_timeout_seconds=0.05) as cache:
        cache.put("good", Library1(number=1))
        cache.clear_memory()
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert cache.get("bad") is None
        assert cache.get_many(["good", "bad"]) == {"good": Library1(number=1)}
        other.execute("ROLLBACK")
        other.close()
        stats = cache.get_stats()
        assert (stats.discarded, stats.misses, stats.disk_hits) == (0, 2, 1)
        assert cache.get("bad") is None
        assert cache.get_stats().discarded == 1


def test_a_handler_may_get_what_does_not_decode(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with DiskBackedCache(path, Library0) as cache:
        cache.put("bad", Library0(text="no number"))

    class Handler(logging.Handler):
        depth = deepest = 0

        def emit(self, record: logging.LogRecord) -> None:
            self.depth += 1
            self.deepest = max(self.deepest, self.depth)
            other.put("bad", Library0(text="it is there again"))
            assert cache.get("bad") is None
            self.depth -= 1

    handler = Handler()
    logger = logging.getLogger("diskbackedcache")
    other = DiskBackedCache(path, Library0)
    with other, DiskBackedCache(path, Library1) as cache, caplog.at_level(logging.DEBUG, logger="diskbackedcache"):
        logger.addHandler(handler)
        try:
            assert cache.get("bad") is None
        finally:
            logger.removeHandler(handler)
        assert handler.deepest == 1


class Vault(CacheableModel):
    schema_version: str = "1"
    token: SecretStr
    title: str = ""


def test_a_secret_is_refused_not_replaced_by_asterisks(path: str) -> None:
    class Opened(Vault):
        @field_serializer("token", when_used="json")
        def reveal(self, token: SecretStr) -> str:
            return token.get_secret_value()

    class Number(CacheableModel):
        schema_version: str = "1"
        pins: tuple[Secret[int], ...]

    with DiskBackedCache(path, Vault) as cache:
        with pytest.raises(ValueError, match="Vault writes as asterisks"):
            cache.put("k", Vault(token=SecretStr("hunter2")))
        with pytest.raises(ValueError, match="Vault writes as asterisks"):
            cache.put_many({"a": Vault(token=SecretStr("")), "k": Vault(token=SecretStr("hunter2"))})
        assert cache.get_count() == 0
        for harmless in (Vault(token=SecretStr("")), Vault(token=SecretStr(""), title="**********")):
            cache.put("k", harmless)
            cache.clear_memory()
            assert cache.get("k") == harmless
    with DiskBackedCache(path, Opened) as opened:
        opened.put("k", Opened(token=SecretStr("hunter2")))
        opened.clear_memory()
        found = opened.get("k")
        assert found is not None
        assert found.token.get_secret_value() == "hunter2"
    with DiskBackedCache(path, Number) as numbers, pytest.raises(ValueError, match="asterisks"):
        numbers.put("k", Number(pins=(Secret(1),)))


def test_a_secret_is_found_whatever_a_model_takes_for_equal(path: str) -> None:
    class Account(Vault):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Account) and other.title == self.title

        __hash__ = None  # type: ignore[assignment]

    class Masked(Vault):
        @field_serializer("token")
        def mask(self, token: SecretStr) -> str:
            return str(token)

    with DiskBackedCache(path, Masked) as masked, pytest.raises(ValueError, match="asterisks"):
        masked.put("k", Masked(token=SecretStr("hunter2")))

    class Noted(Vault):
        _note: str = ""
        more: int = Field(0, exclude=True)

    with DiskBackedCache(path, Account) as cache, pytest.raises(ValueError, match="asterisks"):
        cache.put("k", Account(token=SecretStr("hunter2"), title="a"))
    with DiskBackedCache(path, Noted) as cache_of_noted:
        value = Noted(token=SecretStr(""), title="**********", more=1)
        value._note = "is not stored, and no part of the value"
        cache_of_noted.put("k", value)
        cache_of_noted.clear_memory()
        assert cache_of_noted.get("k") == Noted(token=SecretStr(""), title="**********")


class Library0(CacheableModel):
    schema_version: str = "1"
    text: str


class Library1(CacheableModel):
    schema_version: str = "1"
    number: int


class Page(CacheableModel, Generic[Thing]):
    schema_version: str = "1"
    things: tuple[Thing, ...] = ()


def test_a_generic_model(path: str) -> None:
    model = Page[User]
    page = model(things=(User(name="a", email="b"), User(name="c", email="d")))
    with DiskBackedCache(path, model) as cache:
        cache.put("k", page)
        cache.clear_memory()
        assert cache.get("k") == page
        for other in (Page(things=page.things), Page[Order](things=(Order(number=1),))):
            with pytest.raises(TypeError, match=r"must be an instance of Page\[User\], got Page"):
                cache.put("k", other)  # type: ignore[arg-type]
    with DiskBackedCache(path, Page[Order]) as orders:
        assert orders.get("k") is None  # what fits the other model only is no item of this one


def test_an_extra_field_by_a_fields_name_is_refused(path: str) -> None:
    class Extended(CacheableModel, extra="allow"):
        schema_version: str = "1"
        number: int = Field(0, alias="Number")

    with DiskBackedCache(path, Extended) as cache:
        value = Extended.model_validate({"Number": 1, "more": [2]})
        cache.put("k", value)
        cache.clear_memory()
        assert cache.get("k") == value
        for wrong in ({"Number": 1, "number": 5}, {"number": 5}):
            both = Extended.model_validate(wrong)
            with pytest.raises(ValueError, match="both a field and an extra field of the name 'number'"):
                cache.put("k", both)
            with pytest.raises(ValueError, match="'number'"):
                cache.put_many({"a": value, "k": both})
        assert cache.get("k") == value


def test_a_model_whose_references_cannot_be_found(path: str) -> None:
    class Node(CacheableModel):
        schema_version: str = "1"
        leaf: Leaf | None = None
        model: Codec | None = None  # type: ignore[valid-type, type-arg]

    with pytest.raises(TypeError, match=r"Model Node refers to '(Leaf|Codec)'.*call Node.model_rebuild\(\)"):
        DiskBackedCache(path, Node)

    class Leaf(BaseModel):
        number: int

    Codec = Leaf
    Node.model_rebuild()
    with DiskBackedCache(path, Node) as cache:
        node = Node(leaf=Leaf(number=1), model=Codec(number=2))
        cache.put("k", node)
        cache.clear_memory()
        assert cache.get("k") == node
