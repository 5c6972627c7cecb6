"""Step 38: any number of threads."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from diskbackedcache import CacheClosedError, CacheStats, DiskBackedCache
from models import Blob, User, blob

Open = Callable[..., DiskBackedCache[Blob]]


def is_consistent(stats: CacheStats) -> bool:
    return stats.total_gets == stats.memory_hits + stats.disk_hits + stats.misses


def run_threads(count: int, work: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(work, i) for i in range(count)]:
            future.result()


@pytest.mark.parametrize("max_memory_items", [0, 3, 20, 1000])
def test_step_38_eight_threads_do_everything(open_blobs: Open, max_memory_items: int) -> None:
    cache = open_blobs(max_memory_items=max_memory_items, max_disk_items=30)
    values = {f"k{i}": [Blob(body=f"k{i} {state}") for state in range(3)] for i in range(40)}
    bodies = {key: {value.body for value in states} for key, states in values.items()}
    keys = list(values)
    snapshots: list[CacheStats] = []

    def work(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(300):
            key = dice.choice(keys)
            some = dice.sample(keys, 5)
            what = dice.randrange(12)
            if what < 3:
                cache.put(key, dice.choice(values[key]))
            elif what < 7:
                found = cache.get(key)
                assert found is None or found.body in bodies[key]
            elif what == 7:
                cache.put_many({key: dice.choice(values[key]) for key in some})
            elif what == 8:
                for key, value in cache.get_many(some).items():
                    assert value.body in bodies[key]
            elif what == 9:
                cache.delete(key)
            elif what == 10:
                cache.delete_many(some[:2])
                cache.exists(key)
                cache.tier(key)
            else:
                snapshots.append(cache.get_stats())
                if dice.random() < 0.1:
                    cache.clear_memory()
                if dice.random() < 0.05:
                    cache.clear()

    run_threads(8, work)
    snapshots.append(cache.get_stats())
    assert all(map(is_consistent, snapshots))
    last = snapshots[-1]
    assert last.current_disk_items == len(cache.get_many(keys)) <= 30
    assert last.current_memory_items <= min(max_memory_items, last.current_disk_items)
    assert last.current_memory_items == sum(cache.tier(key) == "memory" for key in keys)


def test_step_38_counts_are_exact(open_blobs: Open) -> None:
    cache = open_blobs()
    value = blob(40)

    def work(number: int) -> None:
        for i in range(200):
            cache.put(f"{number}:{i}", value)
            assert cache.get(f"{number}:{i}") is value
            assert cache.get(f"{number}:absent") is None

    run_threads(8, work)
    stats = cache.get_stats()
    assert (stats.total_puts, stats.memory_hits, stats.misses) == (1600, 1600, 1600)
    assert stats.current_disk_items == 1600


def test_step_38_one_key_has_one_last_writer(open_blobs: Open) -> None:
    # Whatever order the threads come back in, memory holds what the disk has.
    cache = open_blobs()
    for round_ in range(30):
        barrier = threading.Barrier(4)

        def work(number: int, round_: int = round_, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            cache.put("k", Blob(body=f"{round_} {number}"))

        run_threads(4, work)
        from_memory = cache.get("k")
        cache.clear_memory()
        assert cache.get("k") == from_memory


def test_step_38_all_threads_get_one_object(open_blobs: Open) -> None:
    cache = open_blobs()
    cache.put("k", blob(1000))
    for _ in range(30):
        cache.clear_memory()
        barrier = threading.Barrier(4)
        seen: list[Blob | None] = []

        def work(_: int, barrier: threading.Barrier = barrier, seen: list[Blob | None] = seen) -> None:
            barrier.wait()
            cache.get("k")
            seen.append(cache.get("k"))

        run_threads(4, work)
        assert len(seen) == 4
        assert {value.body for value in seen if value is not None} == {blob(1000).body}
        assert cache.get("k") is cache.get("k")


def test_step_38_closing_while_others_work(open_users: Callable[..., DiskBackedCache[User]]) -> None:
    for _ in range(10):
        cache = open_users()
        user = User(name="n", email="e")
        started = threading.Barrier(5)

        def work(number: int, cache: DiskBackedCache[User] = cache, started: threading.Barrier = started) -> None:
            started.wait()
            with pytest.raises(CacheClosedError):
                while True:
                    cache.put(f"k{number}", user)
                    cache.get(f"k{number}")
                    cache.get_many(["k0", "k1"])

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(work, i) for i in range(4)]
            started.wait()
            cache.close()
            for future in futures:
                future.result()
