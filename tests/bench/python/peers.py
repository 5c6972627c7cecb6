"""The same objects in other caches for Python. Those that keep bytes are given pickles, as diskcache makes them."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from measure import Run
from subjects import LRU, ours, with_diskcache
from workload import keys_of, records, zipf

ITEMS = 10_000


@dataclass
class Peer:
    get: Callable[[str], Any]
    put: Callable[[str, Any], Any]
    close: Callable[[], Any] = lambda: None
    calls: int = 5000


def _ours(folder: Path, memory_items: int) -> Peer:
    cache = ours(folder / "cache.db", max_memory_items=memory_items)
    return Peer(cache.get, cache.put, cache.close)


def _diskcache(folder: Path, *policy: str) -> Peer:
    cache = with_diskcache(folder, *policy)
    return Peer(cache.get, cache.set, cache.close)


def _cachetools(folder: Path) -> Peer:
    import cachetools

    cache: Any = cachetools.LRUCache(2 * ITEMS)
    return Peer(cache.get, cache.__setitem__)


def _moka(folder: Path) -> Peer:
    from moka_py import Moka

    cache: Any = Moka(2 * ITEMS)
    return Peer(cache.get, cache.set)


def _pysciqlop(folder: Path) -> Peer:
    from pysciqlop_cache import Cache

    cache = Cache(str(folder))
    return Peer(cache.get, cache.set)


def _lmdb(folder: Path) -> Peer:
    import lmdb

    # As natively: a kill loses nothing, a power cut may damage the file.
    environment = lmdb.open(str(folder), map_size=1 << 30, sync=False)

    def get(key: str) -> Any:
        with environment.begin(buffers=True) as transaction:
            return pickle.loads(transaction.get(key.encode()))

    def put(key: str, value: Any) -> None:
        with environment.begin(write=True) as transaction:
            transaction.put(key.encode(), pickle.dumps(value, pickle.HIGHEST_PROTOCOL))

    return Peer(get, put, environment.close)


def _redis(folder: Path) -> Peer:
    import redis

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Every write goes to its log before it is answered: a kill loses nothing, a power cut a second at most.
    server = subprocess.Popen(
        ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
        + ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"],
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(port=port)

    def stop() -> None:
        client.close()
        server.terminate()
        server.wait(timeout=30)

    deadline = monotonic() + 20
    while True:
        with contextlib.suppress(redis.exceptions.RedisError):
            client.ping()
            break
        if monotonic() > deadline or server.poll() is not None:
            stop()
            raise RuntimeError("redis-server did not answer")
        sleep(0.05)
    return Peer(
        lambda key: pickle.loads(client.get(key)),  # type: ignore[arg-type]
        lambda key, value: client.set(key, pickle.dumps(value, pickle.HIGHEST_PROTOCOL)),
        stop,
        2000,
    )


PEERS: dict[str, tuple[str | None, Callable[[Path], Peer]]] = {
    "diskbackedcache": (None, lambda folder: _ours(folder, ITEMS)),
    "diskbackedcache, no memory tier": (None, lambda folder: _ours(folder, 0)),
    "diskcache": ("diskcache", _diskcache),
    "diskcache, LRU": ("diskcache", lambda folder: _diskcache(folder, LRU)),
    "pysciqlop-cache": ("pysciqlop-cache", _pysciqlop),
    "cachetools.LRUCache": ("cachetools", _cachetools),
    "moka-py": ("moka-py", _moka),
    "lmdb": ("lmdb", _lmdb),
    "redis over loopback": ("redis", _redis),
}


def _cashews(run: Run) -> Callable[[list[str], list[tuple[str, Any]]], None]:
    """It is asynchronous: its calls are awaited one after the other in one running loop."""
    from cashews import Cache

    cache = Cache()
    cache.setup("mem://", size=2 * ITEMS)
    loop = asyncio.new_event_loop()

    async def get_all(keys: list[str]) -> None:
        for key in keys:
            await cache.get(key)

    async def put_all(pairs: list[tuple[str, Any]]) -> None:
        for key, value in pairs:
            await cache.set(key, value)

    def measure(keys: list[str], pairs: list[tuple[str, Any]]) -> None:
        run.once("python peer put, cashews", lambda: loop.run_until_complete(put_all(pairs)), len(pairs))
        run.once("python peer get, cashews", lambda: loop.run_until_complete(get_all(keys)), len(keys))

    return measure


def run(run: Run) -> None:
    keys, values = keys_of(0, ITEMS), records(1000)
    peers: dict[str, Peer] = {}
    measure_cashews = None
    try:
        for name, (_, make) in PEERS.items():
            folder = run.directory / name
            folder.mkdir()
            try:
                peers[name] = make(folder)
                for index, key in enumerate(keys):
                    peers[name].put(key, values[index % 1000])
                assert peers[name].get(keys[0]) == values[0]
            except Exception as error:
                run.unavailable[f"python peer {name}"] = f"{type(error).__name__}: {error}"
                if name in peers:
                    peers.pop(name).close()
        try:
            measure_cashews = _cashews(run)
            measure_cashews(keys, [(key, values[index % 1000]) for index, key in enumerate(keys)])
            run.series.clear()
        except Exception as error:
            measure_cashews = None
            run.unavailable["python peer cashews"] = f"{type(error).__name__}: {error}"
        for repetition in run.repeat():
            numbers = zipf(ITEMS, run.scaled(5000), repetition)
            asked = [keys[number] for number in numbers]
            pairs = [(keys[number], values[number % 1000]) for number in numbers]
            for name, peer in peers.items():
                calls = run.scaled(peer.calls)
                run.each_pair(f"python peer put, {name}", peer.put, pairs[:calls])
                run.each_key(f"python peer get, {name}", peer.get, asked[:calls])
            if measure_cashews:
                measure_cashews(asked, pairs)
    finally:
        for peer in peers.values():
            peer.close()
    for name in [package for package, _ in PEERS.values() if package] + ["cashews"]:
        with contextlib.suppress(Exception):
            run.facts[f"version of {name}"] = version(name)  # type: ignore[assignment]
