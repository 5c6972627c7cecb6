#!/usr/bin/env python3
"""Eight processes that put into one file at once, SOAK_SECONDS (60) of them with libdbc and as many with diskcache, in turns of
five seconds, so that whatever else the machine does meets both. A table of both; fails if one put of libdbc's takes more than
100 medians, or a process has less than a quarter of its share.

    build/bench-venv/bin/python tests/soak/writers.py
"""

import multiprocessing
import os
import sys
import tempfile
import time
from array import array
from pathlib import Path

import diskcache
from diskbackedcache import CacheableModel, DiskBackedCache

PROCESSES, TURN_SECONDS, KEYS = 8, 5, 1000
TEXT = "x" * 256
fork = multiprocessing.get_context("fork")


class Text(CacheableModel):
    schema_version: str = "1"
    text: str


def with_libdbc(path):
    cache, value = DiskBackedCache(path / "cache.db", Text, busy_timeout_seconds=60), Text(text=TEXT)
    return cache, lambda key: cache.put(key, value)


def with_diskcache(path):
    cache = diskcache.Cache(str(path))
    return cache, lambda key: cache.set(key, TEXT, retry=True)


def putter(opened, path, number, start, answers):
    """Answers with the nanoseconds that each put has taken."""
    cache, put = opened(path)
    times = array("Q")
    start.wait()
    last = time.perf_counter_ns()
    end = last + TURN_SECONDS * 10**9
    while last < end:
        put(f"{number}:{len(times) % KEYS}")
        now = time.perf_counter_ns()
        times.append(now - last)
        last = now
    cache.close()
    answers.put((number, times.tobytes()))


def take_turn(opened, path, times):
    start, answers = fork.Barrier(PROCESSES), fork.Queue()
    processes = [fork.Process(target=putter, args=(opened, path, i, start, answers)) for i in range(PROCESSES)]
    for process in processes:
        process.start()
    for _ in processes:
        number, taken = answers.get(timeout=300)
        times[number].frombytes(taken)
    for process in processes:
        process.join()


def report(name, times, seconds):
    """Prints a row; (median, slowest, smallest part of a fair share)."""
    ordered = sorted(taken for one in times for taken in one)
    quantile = [ordered[min(int(part * len(ordered)), len(ordered) - 1)] / 1000 for part in (0.5, 0.99, 0.999, 1)]
    share = min(map(len, times)) * PROCESSES / len(ordered)
    cells = [f"{len(ordered) / seconds:,.0f}", *(f"{time:,.0f}" for time in quantile)]
    print(f"| {name} | " + " | ".join(cells) + f" | {quantile[3] / quantile[0]:,.0f} | {share:.2f} |", flush=True)
    return quantile[0], quantile[3], share


def main():
    turns = max(round(float(os.environ.get("SOAK_SECONDS", "60")) / TURN_SECONDS), 1)
    subjects = {"libdbc": with_libdbc, "diskcache": with_diskcache}
    times = {name: [array("Q") for _ in range(PROCESSES)] for name in subjects}
    with tempfile.TemporaryDirectory(prefix="dbc-writers-") as folder:
        for name in subjects:
            (Path(folder) / name).mkdir()
        for _ in range(turns):
            for name, opened in subjects.items():
                take_turn(opened, Path(folder) / name, times[name])
    print("| 8 writers | puts/s | median us | 99 % us | 99.9 % us | slowest us | slowest / median | least share |")
    print("|---|---|---|---|---|---|---|---|")
    median, slowest, share = report("libdbc", times["libdbc"], turns * TURN_SECONDS)
    report("diskcache", times["diskcache"], turns * TURN_SECONDS)
    failed = slowest > 100 * median or share < 0.25
    print("failed: a writer was kept waiting" if failed else "all well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
