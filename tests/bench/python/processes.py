"""Y6: eight processes that put into one file at once."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from time import perf_counter
from typing import Any

from measure import Run
from subjects import fill_diskcache, fill_ours, ours, with_diskcache
from workload import ITEMS, keys_of, records, uniform

PROCESSES = 8
_fork = multiprocessing.get_context("fork")


def _open(kind: str, path: Path) -> tuple[Any, Any, Any]:
    """The cache, its put, and what has to be called for everything to be in the file."""
    if kind == "diskcache":
        cache = with_diskcache(path)
        return cache, lambda key, value: cache.set(key, value, retry=True), lambda: None
    mode = {"write_mode": "behind"} if kind == "behind" else {}
    cache = ours(path, busy_timeout_seconds=60.0, **mode)
    return cache, cache.put, cache.flush


def _putter(kind: str, path: Path, seed: int, seconds: float, start: Any, answers: Any) -> None:
    keys = keys_of(0, ITEMS)
    chosen = [keys[number] for number in uniform(ITEMS, 50_000, seed)]
    values = records(100)
    cache, put, flush = _open(kind, path)
    start.wait()
    began = last = perf_counter()
    slowest = 0.0
    done = 0
    while last - began < seconds:
        put(chosen[done % len(chosen)], values[done % 100])
        now = perf_counter()
        slowest = max(slowest, now - last)
        last = now
        done += 1
    flush()
    answers.put((done, perf_counter() - began, slowest))
    cache.close()


def _measure(run: Run, kind: str, path: Path, seed: int) -> None:
    start, answers = _fork.Barrier(PROCESSES), _fork.Queue()
    processes = [
        _fork.Process(target=_putter, args=(kind, path, seed + i, 3 * run.scale, start, answers))
        for i in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    told = [answers.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    run.record(f"Y6 puts, {kind}", sum(done for done, _, _ in told) / max(took for _, took, _ in told), "1/s")
    run.record(f"Y6 slowest put, {kind}", max(slowest for _, _, slowest in told) * 1e3, "ms")


def run(run: Run) -> None:
    values, keys = records(100), keys_of(0, ITEMS)
    kinds = ["through", "behind", "diskcache"]
    for kind in list(kinds):
        path = run.directory / f"processes-{kind}"
        try:
            cache, _, _ = _open(kind, path)
        except TypeError as error:
            run.unavailable["Y6 behind"] = f"write-behind is not available: {error}"
            kinds.remove(kind)
            continue
        (fill_diskcache if kind == "diskcache" else fill_ours)(cache, keys, values)
        cache.close()
    for repetition in run.repeat():
        for kind in kinds:
            _measure(run, kind, run.directory / f"processes-{kind}", 100 * repetition)
