"""Several handles and several processes on one file, fork, and processes that are killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diskbackedcache import DiskBackedCache
from models import ADA, BOB, Blob, User, blob, blobs, users

OpenUsers = Callable[..., DiskBackedCache[User]]
OpenBlobs = Callable[..., DiskBackedCache[Blob]]

HERE = Path(__file__).resolve().parent


class Peer:
    """Another process with a cache of its own on the file, which does as it is told."""

    CODE = """if True:
        import sys
        from models import *
        with users(sys.argv[1]) as cache:
            print("ready", flush=True)
            for line in sys.stdin:
                print(repr(eval(line)), flush=True)
    """

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.CODE, str(path)],
            env={**os.environ, "PYTHONPATH": str(HERE)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._answer() == "ready"

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def do(self, expression: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()
        return self._answer()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


def test_another_process_overwrites(open_users: OpenUsers, path: Path) -> None:
    cache = open_users()
    cache.put("k", ADA)
    assert cache.get("k") is ADA
    with Peer(path) as peer:
        for number in range(50):
            peer.do(f"cache.put('k', User(name='{number}', email=''))")
            value = cache.get("k")
            assert value == User(name=str(number), email="")
            assert cache.get("k") is value
            assert cache.get_many(["k"])["k"] is value
        peer.do("cache.put_many({'k': BOB, 'l': BOB})")
        assert cache.get_many(["k", "l"]) == {"k": BOB, "l": BOB}


def test_another_process_deletes(open_users: OpenUsers, path: Path) -> None:
    cache = open_users()
    with Peer(path) as peer:
        for call in ("cache.delete('k')", "cache.delete_many(['k', 'l'])", "cache.clear()"):
            cache.put("k", ADA)
            assert cache.get("k") is ADA
            peer.do(call)
            assert not cache.exists("k")
            assert cache.tier("k") is None
            assert cache.get("k") is None
            assert cache.get_many(["k"]) == {}
            assert len(cache._objects.held) == 0  # type: ignore[union-attr]


def test_what_others_leave_alone_stays_in_memory(open_users: OpenUsers, path: Path) -> None:
    cache = open_users()
    cache.put("k", ADA)
    with Peer(path) as peer:
        peer.do("cache.put('l', BOB)")
        assert peer.do("cache.get('k') == ADA") == "True"
        assert cache.get("k") is ADA
    assert cache.get_stats().memory_hits == 1


def test_limits_hold_for_the_file(open_blobs: OpenBlobs) -> None:
    one, two = open_blobs(max_disk_items=10), open_blobs(max_disk_items=10)
    for i in range(20):
        (one if i % 2 else two).put(f"k{i:02}", blob(40), timestamp=float(i))
    assert one.get_count() == two.get_count() == 10
    assert [i for i in range(20) if one.exists(f"k{i:02}", timestamp=20.0)] == list(range(10, 20))


def test_two_handles_in_one_process(open_users: OpenUsers) -> None:
    one, two = open_users(), open_users()
    one.put("k", ADA)
    read = two.get("k")
    assert read == ADA
    assert read is not ADA
    two.put("k", BOB)
    assert one.get("k") == BOB
    one.delete("k")
    assert two.get("k") is None


def in_child(work: Callable[[], None]) -> None:
    """Runs `work` in a forked child; its failure is ours."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_fork_both_go_on(open_users: OpenUsers) -> None:
    cache = open_users()
    cache.put_many({"k": ADA, "l": BOB})

    def work() -> None:
        assert cache.get("k") == ADA
        assert cache.get("k") is cache.get("k")
        cache.put("child", ADA)
        cache.put("k", BOB)
        cache.delete("l")
        assert cache.get_many(["k", "l", "child"]) == {"k": BOB, "child": ADA}
        stats = cache.get_stats()
        assert stats.total_gets == stats.memory_hits + stats.disk_hits + stats.misses

    for _ in range(5):
        cache.put_many({"k": ADA, "l": BOB})
        in_child(work)
        assert cache.get("k") == BOB
        assert cache.get("l") is None
        assert cache.get("child") == ADA


@pytest.mark.parametrize("first", ["get", "put", "put_many"])
def test_fork_the_child_holds_what_is_in_its_memory(open_blobs: OpenBlobs, first: str) -> None:
    cache = open_blobs(max_memory_items=3)
    cache.put_many({f"k{i}": blob(40) for i in range(10)})

    def work() -> None:
        if first == "get":
            cache.get("k0")
        elif first == "put":
            cache.put("k0", blob(50))
        else:
            cache.put_many({f"k{i}": blob(50) for i in range(10)})
        held = set(cache._objects.held)  # type: ignore[union-attr]
        assert held == {f"k{i}" for i in range(10) if cache.tier(f"k{i}") == "memory"}
        assert len(held) == (3 if first == "put_many" else 1)

    in_child(work)


def test_fork_the_child_closes(open_users: OpenUsers) -> None:
    cache = open_users()
    cache.put("k", ADA)
    in_child(cache.close)
    in_child(cache.clear_memory)
    assert cache.get("k") is ADA
    cache.put("k", BOB)
    cache.close()
    in_child(cache.close)
    assert open_users().get("k") == BOB


def test_fork_of_a_cache_in_memory_starts_empty() -> None:
    with DiskBackedCache(":memory:", User) as cache:
        cache.put("k", ADA)

        def work() -> None:
            assert cache.get("k") is None
            cache.put("l", BOB)
            assert cache.get("l") is BOB
            cache.put("k", BOB)
            assert cache.get("k") is BOB

        in_child(work)
        assert cache.get("k") is ADA
        assert cache.get("l") is None


def test_fork_while_other_threads_work(open_users: OpenUsers) -> None:
    import threading

    cache = open_users(max_memory_items=10)
    stop = threading.Event()

    def busy(number: int) -> None:
        i = 0
        while not stop.is_set():
            i += 1
            cache.put(f"{number}:{i % 50}", ADA)
            cache.get(f"{number}:{(i * 7) % 50}")

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()

    def work() -> None:
        signal.alarm(60)  # a lock that nobody will release shows as a failure
        for i in range(20):
            cache.put(f"child:{i}", BOB)
            assert cache.get(f"child:{i}") is BOB
        cache.close()

    try:
        for _ in range(10):
            in_child(work)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert cache.get("child:19") == BOB


class ForkedWorker:
    """A worker of a pre-fork server: it inherits the master's cache, and serves requests from a socket."""

    def __init__(self, cache: DiskBackedCache[User]) -> None:
        self.socket, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                signal.alarm(120)  # a lock that nobody will release shows as a failure
                self.serve(cache, theirs)
                status = 0
            finally:
                os._exit(status)
        theirs.close()

    @staticmethod
    def serve(cache: DiskBackedCache[User], connection: socket.socket) -> None:
        with connection.makefile("rw") as requests:
            for line in requests:
                command, key, *value = line.split()
                if command == "put":
                    cache.put(key, User(name=value[0], email=""))
                found = cache.get(key)
                requests.write((found.name if found else "-") + "\n")
                requests.flush()

    def ask(self, request: str) -> str:
        self.socket.sendall(request.encode() + b"\n")
        return self.socket.recv(100).decode().rstrip("\n")

    def end(self, how: signal.Signals | None = None) -> None:
        if how:
            os.kill(self.pid, how)
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        assert os.waitpid(self.pid, 0)[1] == (how or 0)


def test_a_pre_fork_server(open_users: OpenUsers) -> None:
    cache = open_users()
    cache.put("k", ADA)
    workers = [ForkedWorker(cache) for _ in range(4)]
    dice = random.Random(1)
    for number in range(200):
        if number % 40 == 20:
            # The master replaces a worker that died.
            victim = workers.pop(dice.randrange(4))
            victim.end(signal.SIGKILL)
            workers.append(ForkedWorker(cache))
        if number % 10 == 0:
            cache.put("k", User(name=str(number), email=""))
        else:
            assert dice.choice(workers).ask(f"put k {number}") == str(number)
        assert [worker.ask("get k") for worker in workers] == [str(number)] * 4
        found = cache.get("k")
        assert found is not None
        assert found.name == str(number)
    for worker in workers:
        worker.end()


def work_on(path: str, number: int) -> int:
    with users(path) as cache:
        for i in range(50):
            cache.put(f"{number}:{i}", User(name=str(i), email=str(number)))
        return cache.get_stats().total_puts


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(open_users: OpenUsers, path: Path, method: str) -> None:
    cache = open_users()
    cache.put("parent", ADA)
    context = multiprocessing.get_context(method)
    with context.Pool(3) as pool:
        assert pool.starmap(work_on, [(str(path), number) for number in range(4)]) == [50] * 4
    assert cache.get_count() == 201
    assert cache.get("2:49") == User(name="49", email="2")
    assert cache.get("parent") is ADA


def writer(path: str, number: int, rounds: int) -> None:
    dice = random.Random(number)
    with blobs(path, max_disk_items=30, max_memory_items=10) as cache:
        for i in range(rounds):
            key = f"k{dice.randrange(40)}"
            cache.put(key, Blob(body=f"{key} {number} {i}"))
            key = f"k{dice.randrange(40)}"
            value = cache.get(key)
            assert value is None or value.body.startswith(key + " ")
            if i % 10 == 0:
                cache.delete(key)


def test_processes_at_once(open_blobs: OpenBlobs, path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=writer, args=(str(path), number, 300)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    cache = open_blobs(max_disk_items=30)
    assert cache.get_count() == len(cache.get_many([f"k{i}" for i in range(40)])) <= 30


def write_and_stop(path: Path, keys: int, how: signal.Signals, after: int) -> subprocess.CompletedProcess[str]:
    """Lets a process write that many keys in turn until it has said so `after` times, then sends it the signal."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(path), str(keys)],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        for _ in range(after):
            assert process.stdout.readline(), process.stderr and process.stderr.read()
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


WRITE = """if True:
    import itertools, signal, sys
    from models import User, users
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without
    keys = int(sys.argv[2])
    cache = users(sys.argv[1], max_disk_items=500 if keys > 500 else 1_000_000)
    try:
        for i in itertools.count():
            cache.put(f"k{i % keys}", User(name=str(i), email="x" * 500))
            cache.get(f"k{(i * 7) % keys}")
            if i % 20 == 0:
                print(i, flush=True)
    except KeyboardInterrupt:
        sys.exit(42)
"""


@pytest.mark.parametrize("round_", range(10))
def test_ctrl_c_leaves_a_cache_that_opens(open_users: OpenUsers, path: Path, round_: int) -> None:
    done = write_and_stop(path, 1000, signal.SIGINT, after=1 + round_)
    assert done.returncode == 42, done.stderr
    cache = open_users(on_corrupt="fail", max_disk_items=500)
    assert 0 < cache.get_count() <= 500
    cache.put("k", ADA)
    assert cache.get("k") is ADA


@pytest.mark.parametrize("round_", range(5))
def test_a_killed_process_loses_nothing(open_users: OpenUsers, path: Path, round_: int) -> None:
    done = write_and_stop(path, 200, signal.SIGKILL, after=2 + round_)
    assert done.returncode == -signal.SIGKILL
    cache = open_users(on_corrupt="fail")
    written = 20 * (1 + round_)  # had been acknowledged when it said so
    found = cache.get_many([f"k{i}" for i in range(written)])
    assert list(found) == [f"k{i}" for i in range(written)]


def test_exit_without_close_writes_access_times(open_users: OpenUsers, path: Path) -> None:
    code = """if True:
        import ctypes, sys
        from models import ADA, users
        cache = users(sys.argv[1], touch_delay_seconds=3600)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(cache))  # is never collected
        cache.put("k", ADA, timestamp=100.0)
        cache.get("k", timestamp=5000.0)
        """
    subprocess.run(
        [sys.executable, "-c", code, str(path)], env={**os.environ, "PYTHONPATH": str(HERE)}, check=True, timeout=60
    )
    cache = open_users(disk_ttl_seconds=1000)
    assert cache.exists("k", timestamp=5500.0)


def test_a_call_that_waits_lets_other_threads_run(open_users: OpenUsers, path: Path) -> None:
    # The GIL is released: while one thread waits for the file, this one goes on.
    import sqlite3
    import threading

    cache = open_users(busy_timeout_seconds=60)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    thread = threading.Thread(target=cache.put, args=("k", ADA))
    thread.start()
    end = time.monotonic() + 0.05
    turns = 0
    while time.monotonic() < end:
        turns += 1
        assert cache.get("absent") is None
    assert thread.is_alive()
    connection.execute("ROLLBACK")
    connection.close()
    thread.join()
    assert turns > 0
    assert cache.get("k") is ADA


def test_spawned_children_open_by_path(open_users: OpenUsers, path: Path, run_python: Callable[..., Any]) -> None:
    cache = open_users()
    cache.put("k", ADA)
    assert run_python("import sys; from models import users; print(users(sys.argv[1]).get('k').name)", path) == "Ada\n"
