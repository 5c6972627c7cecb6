"""Step 40: logging."""

from __future__ import annotations

import gc
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import diskbackedcache
import pytest
from diskbackedcache import TRACE, CacheBusyError, CacheClosedError, DiskBackedCache, _cffi_calls, _logging
from diskbackedcache import _cache as cache_module
from diskbackedcache._native import deliver
from models import ADA, BOB, Blob, Order, User, blob

OpenUsers = Callable[..., DiskBackedCache[User]]
OpenBlobs = Callable[..., DiskBackedCache[Blob]]

Deliver = Callable[[logging.Logger], None]

LOGGER = "diskbackedcache"


class Collector(logging.Handler):
    """A handler that does what it is told with every message."""

    def __init__(self, act: Callable[[str], None]) -> None:
        super().__init__()
        self.act = act

    def emit(self, record: logging.LogRecord) -> None:
        self.act(record.getMessage())


@pytest.fixture
def attach() -> Iterator[Callable[[logging.Handler], None]]:
    """Adds handlers to the logger, for one test, at TRACE."""
    logger = logging.getLogger(LOGGER)
    level = logger.level
    added: list[logging.Handler] = []

    def add(handler: logging.Handler) -> None:
        logger.addHandler(handler)
        logger.setLevel(TRACE)
        added.append(handler)

    yield add
    for handler in added:
        logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture(params=[deliver, _cffi_calls.deliver], ids=["cpython", "cffi"])
def delivering(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Deliver:
    """CPython's way of giving lines to logging, and that of other Pythons."""
    function: Deliver = request.param
    monkeypatch.setattr(cache_module, "deliver", function)
    return function


def test_step_40_trace_is_a_level() -> None:
    assert TRACE == diskbackedcache.TRACE == 5
    assert logging.getLevelName(5) == "TRACE"


def test_step_40_every_operation_and_its_outcome(open_users: OpenUsers, caplog: pytest.LogCaptureFixture) -> None:
    cache = open_users()
    caplog.set_level(TRACE, logger=LOGGER)  # after opening

    def messages(call: Callable[[], object]) -> list[str]:
        caplog.clear()
        call()
        assert all(record.name == LOGGER for record in caplog.records)
        assert all(record.levelno == TRACE for record in caplog.records)
        return [record.getMessage() for record in caplog.records]

    def heads(lines: list[str]) -> str:
        assert len(lines) > 1, "an outcome too"
        return lines[0]

    assert heads(messages(lambda: cache.put("k", ADA))) == "put(key='k')"
    assert messages(lambda: cache.get("k")) == ["get(key='k')", "get(key='k'): memory hit"]
    cache.clear_memory()
    assert messages(lambda: cache.get("k"))[:2] == ["get(key='k')", "get(key='k'): disk hit"]
    assert messages(lambda: cache.get("x")) == ["get(key='x')", "get(key='x'): miss (not found)"]
    assert heads(messages(lambda: cache.exists("k"))) == "exists(key='k')"
    assert heads(messages(lambda: cache.put_many({"a": ADA, "b": BOB}))) == "put_many(count=2)"
    assert heads(messages(lambda: cache.get_many(["a", "b"]))) == "get_many(count=2)"
    assert heads(messages(lambda: cache.delete("k"))) == "delete(key='k')"
    assert heads(messages(lambda: cache.delete_many(["a", "b"]))) == "delete_many(count=2)"
    assert heads(messages(cache.clear)) == "clear()"


def test_step_40_expiry_and_eviction(open_blobs: OpenBlobs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(TRACE, logger=LOGGER)
    cache = open_blobs(max_memory_items=1, max_disk_size_bytes=100, memory_ttl_seconds=10, disk_ttl_seconds=100)
    cache.put("k", blob(40), timestamp=0.0)
    caplog.clear()
    cache.get("k", timestamp=50.0)
    cache.get("k", timestamp=200.0)
    assert "get(key='k'): expired from memory (TTL exceeded)" in caplog.messages
    assert "get(key='k'): expired from disk (TTL exceeded)" in caplog.messages
    cache.put("k", blob(40), timestamp=300.0)
    cache.put("l", blob(40), timestamp=301.0)
    assert "evicting from memory (count): key='k'" in caplog.messages
    cache.put("m", blob(40), timestamp=302.0)
    assert "evicting from disk (size): key='k'" in caplog.messages


def test_step_40_the_other_limits(open_blobs: OpenBlobs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(TRACE, logger=LOGGER)
    cache = open_blobs(max_memory_size_bytes=100, max_disk_items=3)
    for i, key in enumerate("klmn"):
        cache.put(key, blob(40), timestamp=float(i))
    assert "evicting from memory (size): key='k'" in caplog.messages
    assert "evicting from disk (count): key='k'" in caplog.messages


def test_step_40_schema_version_mismatch(open_users: OpenUsers, caplog: pytest.LogCaptureFixture, path: str) -> None:
    class UserV2(User):
        schema_version: str = "2.0.0"

    cache = open_users()
    with DiskBackedCache(path, UserV2) as other:
        other.put("k", UserV2(name="Ada", email=""))
        caplog.set_level(TRACE, logger=LOGGER)
        assert cache.get("k") is None
    assert "get(key='k'): schema version mismatch" in caplog.messages


def test_step_40_the_first_disk_eviction_is_told(open_blobs: OpenBlobs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=LOGGER)
    cache = open_blobs(max_disk_items=1)
    caplog.clear()
    for key in "abc":
        cache.put(key, blob(40))
    told = [record for record in caplog.records if "max_disk_items" in record.getMessage()]
    assert len(told) == 1
    assert told[0].levelno == logging.INFO


def test_level_changes_are_honoured_at_once(cache: DiskBackedCache[User]) -> None:
    root, logger = logging.getLogger(), logging.getLogger(LOGGER)
    seen: list[str] = []
    handler = Collector(seen.append)
    before = root.level, logger.level
    root.addHandler(handler)

    def is_heard() -> bool:
        seen.clear()
        cache.exists("k")
        return bool(seen)

    try:
        assert not is_heard()
        logger.setLevel(TRACE)
        assert is_heard()
        logger.setLevel(logging.DEBUG)
        assert not is_heard()
        logger.setLevel(logging.NOTSET)
        root.setLevel(1)
        assert is_heard()
        logging.disable(logging.CRITICAL)
        assert not is_heard()
        assert _logging.current_level() == 100
        logging.disable(TRACE - 1)
        assert is_heard()
        logging.disable(TRACE)
        assert not is_heard()
        logging.disable(logging.NOTSET)
        assert is_heard()
        root.setLevel(logging.WARNING)
        assert not is_heard()
    finally:
        logging.disable(logging.NOTSET)
        root.removeHandler(handler)
        root.setLevel(before[0])
        logger.setLevel(before[1])


def test_the_library_hears_of_the_level(cache: DiskBackedCache[User], monkeypatch: pytest.MonkeyPatch) -> None:
    # Not merely dropped by the logger: messages are not even made.
    logger = logging.getLogger(LOGGER)
    calls: list[int] = []
    monkeypatch.setattr(_logging.logger, "log", lambda level, message: calls.append(level))
    before = logger.level
    try:
        logger.setLevel(logging.INFO)
        cache.exists("k")
        assert calls == []
        logger.setLevel(TRACE)
        cache.exists("k")
        assert calls != []
    finally:
        logger.setLevel(before)


@pytest.mark.parametrize(
    ("level", "expected"), [(1, 5), (5, 5), (6, 10), (10, 10), (20, 20), (25, 30), (40, 40), (41, 100), (50, 100)]
)
def test_any_level_becomes_one_of_the_library(level: int, expected: int) -> None:
    logger = logging.getLogger(LOGGER)
    before = logger.level
    try:
        logger.setLevel(level)
        assert _logging.current_level() == expected
    finally:
        logger.setLevel(before)


def test_without_logging_s_cache_of_answers_the_logger_decides(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_logging, "_follows_changes", False)
    with DiskBackedCache(path, User) as cache:
        cache.exists("k")
        assert caplog.messages == []
        monkeypatch.setattr(logging.getLogger(LOGGER), "level", TRACE)
        logging.getLogger(LOGGER).manager._clear_cache()  # type: ignore[attr-defined]
        cache.exists("k")
        assert "exists(key='k')" in caplog.messages
        monkeypatch.undo()
        logging.getLogger(LOGGER).manager._clear_cache()  # type: ignore[attr-defined]


def test_a_handler_may_use_the_cache(cache: DiskBackedCache[User], attach: Callable[[logging.Handler], None]) -> None:
    answers: list[object] = []
    cache.put("k", ADA)

    def act(message: str) -> None:
        cache.put("log", User(name=message[:10], email=""))
        answers.append(cache.get("k"))
        cache.get_many(["k", "log"])

    attach(Collector(act))
    assert cache.get("k") is ADA
    assert answers == [ADA, ADA]
    cache.clear_memory()
    value = cache.get("k")
    assert value == ADA
    assert cache.get("k") is value
    assert set(answers) == {ADA}


def test_a_handler_that_raises(
    cache: DiskBackedCache[User], attach: Callable[[logging.Handler], None], delivering: Deliver
) -> None:
    """Its exception is the caller's, as with any call of logging; but the call has done its work by then."""
    seen: list[str] = []

    def act(message: str) -> None:
        seen.append(message)
        raise ZeroDivisionError("a handler's own")

    attach(Collector(act))
    with pytest.raises(ZeroDivisionError, match="a handler's own"):
        cache.put("k", ADA)
    with pytest.raises(ZeroDivisionError):
        cache.put_many({"l": BOB})
    with pytest.raises(ZeroDivisionError):
        cache.get("k")
    assert seen[:2] == ["put(key='k')", "put(key='k'): stored 65 bytes"]
    assert seen[-2:] == ["get(key='k')", "get(key='k'): memory hit"]
    logging.getLogger(LOGGER).setLevel(logging.WARNING)
    assert cache.get("k") is ADA
    assert cache.get("l") is BOB
    assert cache.get_stats().memory_hits == 3


def test_a_handler_may_close(cache: DiskBackedCache[User], attach: Callable[[logging.Handler], None]) -> None:
    def act(_message: str) -> None:
        cache.close()

    attach(Collector(act))
    cache.put("k", ADA)
    assert cache.closed
    with pytest.raises(CacheClosedError):
        cache.get("k")


def test_what_a_handler_is_not_shown_comes_to_an_end(
    cache: DiskBackedCache[User], attach: Callable[[logging.Handler], None], delivering: Deliver
) -> None:
    seen: list[str] = []

    def act(message: str) -> None:
        seen.append(message)
        cache.exists("inside")

    attach(Collector(act))
    cache.put("k", ADA)
    assert len(seen) == 2
    cache.exists("k")
    assert [message for message in seen if "inside" in message] == []
    assert any("exists(key='k')" in message for message in seen)


def test_lines_left_by_an_interrupt_come_with_the_next_call(
    cache: DiskBackedCache[User], attach: Callable[[logging.Handler], None], delivering: Deliver
) -> None:
    seen: list[str] = []

    def act(message: str) -> None:
        seen.append(message)
        if len(seen) == 1:
            raise KeyboardInterrupt

    attach(Collector(act))
    with pytest.raises(KeyboardInterrupt):
        cache.put("k", ADA)
    assert len(seen) == 1
    cache.get_count()
    assert seen[:2] == ["put(key='k')", "put(key='k'): stored 65 bytes"]


def test_a_call_that_fails_tells_too(
    cache: DiskBackedCache[User], path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(TRACE, logger=LOGGER)
    other = sqlite3.connect(path, isolation_level=None)
    with DiskBackedCache(path, User, busy_timeout_seconds=0.01) as cache:
        other.execute("BEGIN IMMEDIATE")
        caplog.clear()
        with pytest.raises(CacheBusyError):
            cache.put("k", ADA)
        assert caplog.messages[0] == "put(key='k')"
        other.execute("ROLLBACK")
    other.close()


def test_a_thread_delivers_what_it_has_caused(
    cache: DiskBackedCache[User], attach: Callable[[logging.Handler], None]
) -> None:
    seen: list[tuple[str, str]] = []
    attach(Collector(lambda message: seen.append((threading.current_thread().name, message))))

    def work() -> None:
        for number in range(50):
            cache.exists(f"{threading.current_thread().name} {number}")

    threads = [threading.Thread(target=work, name=f"thread {number}") for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) >= 200
    assert all(name in message for name, message in seen)
    for thread in threads:
        calls = [message for name, message in seen if name == thread.name and message.endswith("')")]
        assert calls == [f"exists(key='{thread.name} {number}')" for number in range(50)]


def test_a_cache_that_is_dropped_tells_of_its_end(path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=LOGGER)
    cache = DiskBackedCache(path, User)
    opened = len(caplog.messages)
    assert opened > 0
    cache.close()
    closed = caplog.messages[opened:]
    assert closed
    cache = DiskBackedCache(path, User)
    caplog.clear()
    del cache
    gc.collect()
    assert caplog.messages == closed


def test_a_cache_that_is_dropped_in_the_middle_of_a_change_tells_later(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A handler may wait for the lock of that change."""
    caplog.set_level(logging.INFO, logger=LOGGER)
    with DiskBackedCache(":memory:", User) as cache:
        dropped = DiskBackedCache(path, User)
        caplog.clear()
        with cache._objects._lock:  # type: ignore[union-attr]
            del dropped
            gc.collect()
            assert caplog.messages == []
        assert cache.get("k") is None
        assert any(str(path) in message for message in caplog.messages), caplog.messages


def test_the_end_of_the_interpreter_is_told_too(path: str, run_python: Callable[..., str]) -> None:
    code = """if True:
        import logging, sys
        from models import users
        logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
        cache = users(sys.argv[1])
        print("end")
    """
    lines = run_python(code, path).splitlines()
    assert lines[-2] == "end"


def test_a_child_does_not_tell_what_its_parent_will(attach: Callable[[logging.Handler], None]) -> None:
    seen: list[str] = []
    attach(Collector(seen.append))
    _logging.say(logging.INFO, "kept")
    child = os.fork()
    if child == 0:
        deliver(_logging.logger)
        os._exit(len(seen))
    assert os.waitpid(child, 0)[1] == 0
    deliver(_logging.logger)
    assert seen == ["kept"]


def test_an_interrupt_in_a_handler_is_not_lost(path: str) -> None:
    code = """if True:
        import logging, signal, sys
        from diskbackedcache import CacheableModel, DiskBackedCache, TRACE
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs without
        class Model(CacheableModel):
            schema_version: str = "1"
        class Handler(logging.Handler):
            left = 1
            def emit(self, record):
                if self.left:
                    self.left = 0
                    raise KeyboardInterrupt
        logger = logging.getLogger("diskbackedcache")
        logger.addHandler(Handler())
        with DiskBackedCache(sys.argv[1], Model) as cache:
            logger.setLevel(TRACE)
            try:
                for i in range(1_000_000):
                    cache.exists("k")
            except KeyboardInterrupt:
                print("interrupted")
            logger.setLevel(logging.WARNING)
    """
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("interrupted\n", 0), done.stderr


def test_keys_cannot_forge_lines(cache: DiskBackedCache[User], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(TRACE, logger=LOGGER)
    cache.get("a\nb%s %d'")
    assert all("\n" not in message for message in caplog.messages)
    assert any("%s %d" in message for message in caplog.messages)


def test_a_value_that_does_not_decode_is_told(
    open_users: OpenUsers, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    cache = open_users()
    with DiskBackedCache(path, Order) as other:  # the same schema version, other fields
        other.put("k", Order(number=1))
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    assert cache.get("k") is None
    assert any(message.startswith("get(key='k'): value does not decode: ") for message in caplog.messages)
