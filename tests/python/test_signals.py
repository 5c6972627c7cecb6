"""Signal handlers that raise, or use the cache, at any moment."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diskbackedcache import TRACE, DiskBackedCache
from diskbackedcache import _cache as cache_module
from models import ADA, User

HERE = Path(__file__).resolve().parent

# At TRACE nearly all the time goes into logging, so that is where the signals come.
LOGGED = """if True:
    import logging, random, signal, sys
    from diskbackedcache import TRACE, CacheClosedError
    from models import ADA, users
    class Handler(logging.Handler):
        def emit(self, record):
            record.getMessage()
    logger = logging.getLogger("diskbackedcache")
    logger.addHandler(Handler())
    logger.setLevel(TRACE)
"""


def run(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LOGGED + code, str(path)],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_signal_handler_may_close_the_cache(path: Path) -> None:
    code = """
    def close(_signal, _frame):
        cache.close()
    signal.signal(signal.SIGALRM, close)
    for _ in range(40):
        cache = users(sys.argv[1])
        cache.put("k", ADA)
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.002))
        try:
            while True:
                cache.get("k")
                cache.exists("k")
        except CacheClosedError:
            pass
    print("done")
    """
    done = run(code, path)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


def test_a_signal_handler_may_exit(path: Path) -> None:
    code = """
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(42))
    cache = users(sys.argv[1])
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    for _ in range(1_000_000):
        cache.exists("k")
    """
    assert run(code, path).returncode == 42


def test_no_timeout_is_swallowed(path: Path) -> None:
    code = """
    raised = caught = 0
    def interrupt(_signal, _frame):
        global raised
        raised += 1
        raise TimeoutError
    signal.signal(signal.SIGALRM, interrupt)
    with users(sys.argv[1]) as cache:
        cache.put("k", ADA)
        for _ in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.001))
                while raised == caught:
                    cache.get("k")
                    cache.put("k", ADA)
                    cache.get_many(["k"])
                assert False, "swallowed"
            except TimeoutError:
                caught += 1
        logger.setLevel(logging.WARNING)
        assert cache.get("k") == ADA
        cache._objects.let_go()
        assert set(cache._objects.held) == {"k"}
        assert set(cache._objects._keys.values()) == {"k"}
    print(raised - caught)
    """
    done = run(code, path)
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


class Interrupting:
    """The library, but for one call, after which comes an interrupt."""

    def __init__(self, library: Any, name: str) -> None:
        self.library = library
        self.name = name

    def __getattr__(self, name: str) -> Any:
        function = getattr(self.library, name)
        if name != self.name:
            return function

        def interrupted(*arguments: Any) -> None:
            function(*arguments)
            raise KeyboardInterrupt

        return interrupted


def open_files(path: Path) -> list[str]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except FileNotFoundError:
            pass
    return [name for name in found if name.startswith(str(path))]


def test_an_interrupt_while_opening_leaves_nothing_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(cache_module, "lib", Interrupting(cache_module.lib, "dbc_open"))
        try:
            DiskBackedCache(path, User)
        except KeyboardInterrupt:
            pass
        else:
            pytest.fail("there was no interrupt")
    gc.collect()
    assert path.exists()
    assert open_files(path) == []


def test_interrupts_at_any_moment_of_opening(path: Path) -> None:
    def interrupt(_signal: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, interrupt)
    opened = interrupted = 0
    try:
        for _ in range(100):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.003))
                cache = DiskBackedCache(path, User)
                opened += 1
                cache.close()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except TimeoutError:
                interrupted += 1
            cache = None  # type: ignore[assignment]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    gc.collect()
    assert open_files(path) == []


def test_what_a_put_has_stored_is_held_before_it_is_told(
    cache: DiskBackedCache[User], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            held.append(cache._held.get("k"))

    held: list[Any] = []
    handler = Handler()
    logger = logging.getLogger("diskbackedcache")
    logger.addHandler(handler)
    try:
        with caplog.at_level(TRACE, logger="diskbackedcache"):
            cache.put("k", ADA)
    finally:
        logger.removeHandler(handler)
    assert held
    assert all(entry[2] is ADA for entry in held)


@pytest.mark.parametrize("max_memory_items", [3, 0])
def test_timeouts_leave_the_objects_right(open_users: Callable[..., DiskBackedCache[User]], max_memory_items: int) -> None:
    """Whenever a timeout comes: what is held is what is in memory, once the library has been asked."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise TimeoutError

    cache = open_users(max_memory_items=max_memory_items)
    before = signal.signal(signal.SIGALRM, interrupt)
    dice = random.Random(1)
    try:
        for _ in range(500):
            try:
                # Again later: Python drops what is raised in a destructor or a callback of the garbage collector.
                signal.setitimer(signal.ITIMER_REAL, dice.uniform(0.0001, 0.0006), 0.1)
                while True:
                    key = f"k{dice.randrange(10)}"
                    cache.put(key, User(name=key, email=""))
                    found = cache.get(f"k{dice.randrange(10)}")
                    cache.put_many({f"k{dice.randrange(10)}": ADA, "l": ADA})
                    assert found is None or found.name[0] in "kA"
            except TimeoutError:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    if cache._objects is not None:
        cache.get_count()
        cache._objects.let_go()
        resident = {key for key in [*(f"k{i}" for i in range(10)), "l"] if cache.tier(key) == "memory"}
        assert set(cache._held) <= resident
