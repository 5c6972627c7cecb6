"""Values of 100 bytes to 10 MB: get and put of bytes, beside diskcache and plain files."""

from __future__ import annotations

import os
from pathlib import Path

import diskcache
from diskbackedcache._native import ffi, lib
from measure import Run

SIZES = [100, 1000, 10_000, 100_000, 1_000_000, 10_000_000]


class Bytes:
    """The library without the layer of objects: bytes in, bytes out, as both others do it."""

    def __init__(self, path: Path) -> None:
        options = lib.dbc_options_new()
        lib.dbc_options_set_u64(options, lib.DBC_MAX_MEMORY_ITEMS, 0)
        lib.dbc_options_set_u64(options, lib.DBC_MAX_DISK_SIZE_BYTES, 1 << 40)
        cache = ffi.new("dbc_cache **")
        if lib.dbc_open(os.fsencode(path), b"1", options, cache) != lib.DBC_OK:
            raise OSError(ffi.string(lib.dbc_last_error()).decode())
        lib.dbc_options_free(options)
        self.cache = cache[0]

    def set(self, key: str, value: bytes) -> None:
        name = key.encode()
        if lib.dbcpy_put(self.cache, name, len(name), value, len(value), float("nan")) < 0:
            raise OSError(ffi.string(lib.dbc_last_error()).decode())

    def get(self, key: str) -> bytes:
        name = key.encode()
        answer = lib.dbcpy_get(self.cache, name, len(name), 0, float("nan"))
        if answer < 4096:
            raise KeyError(key)
        value = ffi.cast("dbc_value *", answer)
        data = ffi.buffer(lib.dbcpy_bytes(value), lib.dbc_value_size(value))[:]
        lib.dbc_value_release(value)
        return data

    def close(self) -> None:
        lib.dbc_free(self.cache)


class Files:
    """A file for each value, written beside and renamed, so that nobody reads half a one."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.folder = str(path)

    def set(self, key: str, value: bytes) -> None:
        name = f"{self.folder}/{key}"
        with open(name + ".new", "wb") as file:
            file.write(value)
        os.replace(name + ".new", name)

    def get(self, key: str) -> bytes:
        with open(f"{self.folder}/{key}", "rb") as file:
            return file.read()

    def close(self) -> None:
        pass


def run(run: Run) -> None:
    for size in SIZES:
        count = max(3, min(run.scaled(1000), run.scaled(60_000_000) // size))
        keys = [f"key{number}" for number in range(max(3, min(200, 100_000_000 // size)))]
        # Never the same bytes twice in a row: SQLite leaves pages alone that would not change.
        values = [os.urandom(size) for _ in range(3)]
        caches = {
            "libdbc": Bytes(run.directory / f"bytes-{size}.db"),
            "diskcache": diskcache.Cache(str(run.directory / f"diskcache-{size}"), size_limit=1 << 40),
            "files": Files(run.directory / f"files-{size}"),
        }
        for cache in caches.values():
            for key in keys:
                cache.set(key, values[0])
        for repetition in run.repeat():
            for name, cache in caches.items():
                chosen = [keys[i * 7 % len(keys)] for i in range(count)]
                pairs = [(key, values[(i + repetition) % 3]) for i, key in enumerate(chosen)]
                run.each_pair(f"sizes put, {name}, {size}", cache.set, pairs)
                run.each_key(f"sizes get, {name}, {size}", cache.get, chosen)
        assert all(cache.get(keys[0]) in values for cache in caches.values())
        for cache in caches.values():
            cache.close()
