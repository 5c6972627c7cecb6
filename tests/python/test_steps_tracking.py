"""Steps 9 to 16: exists, counts, sizes, timestamps, schema versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from diskbackedcache import CacheableModel, DiskBackedCache
from models import ADA, Blob, User, blob

OpenUsers = Callable[..., DiskBackedCache[User]]
OpenBlobs = Callable[..., DiskBackedCache[Blob]]


def test_step_09_exists(cache: DiskBackedCache[User]) -> None:
    assert not cache.exists("k")
    assert not cache.contains("k")
    assert "k" not in cache
    cache.put("k", ADA)
    assert cache.exists("k")
    assert cache.contains("k")
    assert "k" in cache
    cache.clear_memory()
    assert cache.exists("k")
    assert cache.tier("k") == "disk"  # exists brought nothing into memory
    assert cache.get_stats().total_gets == 0


def test_step_09_exists_touches_nothing(open_users: OpenUsers) -> None:
    cache = open_users(max_disk_items=2)
    cache.put("a", ADA, timestamp=1.0)
    cache.put("b", ADA, timestamp=2.0)
    assert cache.exists("a", timestamp=10.0)
    cache.put("c", ADA, timestamp=3.0)
    assert not cache.exists("a", timestamp=10.0)


def test_step_10_memory_count(open_users: OpenUsers) -> None:
    cache = open_users()
    for i in range(5):
        cache.put(f"k{i}", ADA)
    cache.put("k0", ADA)
    assert cache.get_stats().current_memory_items == 5
    cache.delete("k0")
    assert cache.get_stats().current_memory_items == 4
    cache.clear_memory()
    assert cache.get_stats().current_memory_items == 0


def test_step_11_disk_count(open_users: OpenUsers) -> None:
    cache = open_users()
    cache.put_many({f"k{i}": ADA for i in range(5)})
    cache.put("k0", ADA)
    assert cache.get_count() == len(cache) == cache.get_stats().current_disk_items == 5
    cache.delete("k0")
    assert cache.get_count() == 4
    cache.close()
    assert open_users().get_count() == 4


def test_step_12_memory_size(open_blobs: OpenBlobs) -> None:
    cache = open_blobs()
    cache.put("a", blob(100))
    cache.put("b", blob(200))
    assert cache.get_stats().memory_bytes == 300
    cache.put("a", blob(150))
    assert cache.get_stats().memory_bytes == 350
    cache.delete("b")
    assert cache.get_stats().memory_bytes == 150
    cache.clear_memory()
    assert cache.get_stats().memory_bytes == 0


def test_step_13_disk_size(open_blobs: OpenBlobs) -> None:
    cache = open_blobs()
    cache.put("a", blob(100))
    cache.put_many({"b": blob(200), "c": blob(5000)})
    assert cache.get_total_size() == cache.get_stats().disk_bytes == 5300
    cache.put("c", blob(50))
    cache.delete("b")
    assert cache.get_total_size() == 150
    cache.close()
    assert open_blobs().get_total_size() == 150


def test_step_13_size_counts_bytes_not_characters(open_blobs: OpenBlobs) -> None:
    cache = open_blobs()
    cache.put("a", Blob(body="ü"))
    cache.put("b", Blob(body="u"))
    sizes = [cache.get_total_size()]
    cache.delete("a")
    sizes.append(cache.get_total_size())
    assert sizes[0] - sizes[1] == sizes[1] + 1


def read_timestamps(path: Path) -> dict[str, float]:
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT key, timestamp FROM cache"))
    finally:
        connection.close()


def test_step_14_timestamps_are_stored(open_users: OpenUsers, path: Path) -> None:
    cache = open_users()
    cache.put("put", ADA, timestamp=1_234.5)
    cache.put("got", ADA, timestamp=1_234.5)
    cache.put("scanned", ADA, timestamp=1_234.5)
    assert cache.get("got", timestamp=1_300.25) is ADA
    assert cache.get_many(["scanned"], timestamp=1_300.0) == {"scanned": ADA}
    cache.flush()
    assert read_timestamps(path) == {"put": 1_234.5, "got": 1_300.25, "scanned": 1_234.5}


def test_step_14_close_writes_timestamps(open_users: OpenUsers, path: Path) -> None:
    cache = open_users()
    cache.put("k", ADA, timestamp=10.0)
    cache.get("k", timestamp=20.0)
    cache.close()
    assert read_timestamps(path) == {"k": 20.0}


def test_step_15_schema_version_is_stored(cache: DiskBackedCache[User], path: Path) -> None:
    cache.put("k", ADA)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT schema_version FROM cache").fetchall() == [("1.0.0",)]
    connection.close()


class UserV2(CacheableModel):
    schema_version: str = "2.0.0"
    name: str


def test_step_16_items_of_another_version_are_removed_on_open(open_users: OpenUsers, path: Path) -> None:
    old = open_users()
    old.put_many({"a": ADA, "b": ADA})
    old.close()
    with DiskBackedCache(path, UserV2) as new:
        assert new.get_count() == 0
        assert new.get("a") is None
        assert new.get_stats().discarded == 2
        new.put("c", UserV2(name="Ada"))
        assert new.get("c") == UserV2(name="Ada")


def test_step_16_a_model_needs_a_default_version(path: Path) -> None:
    class Plain(CacheableModel):
        name: str = ""

    class NoDefault(CacheableModel):
        schema_version: str
        name: str = ""

    for model, name in [(Plain, "Plain"), (NoDefault, "NoDefault")]:
        with pytest.raises(ValueError) as caught:
            DiskBackedCache(path, model)
        assert str(caught.value) == f"Model {name} must define a default schema_version"
    assert not path.exists()


def test_step_16_an_instance_of_another_version_is_refused(cache: DiskBackedCache[User]) -> None:
    stray = User(schema_version="0.9", name="Ada", email="")
    with pytest.raises(ValueError) as caught:
        cache.put("k", stray)
    assert str(caught.value) == "Value has schema_version '0.9', but the default of User is '1.0.0'"
    with pytest.raises(ValueError):
        cache.put_many({"j": ADA, "k": stray})
    assert cache.get_count() == 0


def test_step_16_written_by_others_since_opening(open_users: OpenUsers, path: Path) -> None:
    mine = open_users()
    mine.put("k", ADA)
    with DiskBackedCache(path, UserV2) as other:
        other.put("k", UserV2(name="Ada"))
        assert mine.get("k") is None
        assert mine.get_stats().discarded == 1
        assert mine.get_stats().misses == 1
