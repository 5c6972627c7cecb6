"""Steps 1 to 8: put, get and delete, keys, values, and the file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from diskbackedcache import DiskBackedCache
from models import ADA, BOB, Order, User

Open = Callable[..., DiskBackedCache[User]]


def test_step_01_put_get_in_memory(cache: DiskBackedCache[User]) -> None:
    cache.put("user:1", ADA)
    assert cache.get("user:1") is ADA
    assert cache.tier("user:1") == "memory"
    assert cache.get("user:2") is None


def test_step_01_overwrite(cache: DiskBackedCache[User]) -> None:
    cache.put("user:1", ADA)
    cache.put("user:1", BOB)
    assert cache.get("user:1") is BOB
    assert cache.get_count() == 1


def test_a_cache_is_true_whatever_is_in_it(cache: DiskBackedCache[User]) -> None:
    assert len(cache) == 0
    assert cache
    cache.put("k", ADA)
    assert cache
    cache.close()
    assert cache


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ("", ValueError, "Key cannot be empty"),
        ("k" * 257, ValueError, "Key length 257 exceeds maximum of 256 characters"),
        ("ü" * 300, ValueError, "Key length 300 exceeds maximum of 256 characters"),
        ("a\0b", ValueError, "Key must not contain U+0000"),
        ("a\ud800", ValueError, "Key must be valid Unicode text, but has a lone surrogate at position 1"),
        (5, TypeError, "Key must be a string, got int"),
        (b"k", TypeError, "Key must be a string, got bytes"),
        (None, TypeError, "Key must be a string, got NoneType"),
        (["k"], TypeError, "Key must be a string, got list"),
    ],
)
def test_step_02_key_validation(cache: DiskBackedCache[User], key: Any, error: type[Exception], message: str) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: cache.put(key, ADA),
        lambda: cache.get(key),
        lambda: cache.delete(key),
        lambda: cache.exists(key),
        lambda: cache.contains(key),
        lambda: cache.tier(key),
        lambda: key in cache,
        lambda: cache.get_many(["fine", key]),
        lambda: cache.delete_many(["fine", key]),
        lambda: cache.put_many([("fine", ADA), (key, ADA)]),
    ]
    for call in calls:
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == message
        assert type(caught.value) is error
    stats = cache.get_stats()
    assert stats.current_disk_items == stats.total_gets == stats.total_puts == stats.total_deletes == 0


@pytest.mark.parametrize(
    "key", ["k", "k" * 256, "ü" * 256, "𝄞" * 256, "a b\n'\"\\;%", "é", "\u202e", "\U0010ffff", " "]
)
def test_step_02_good_keys(cache: DiskBackedCache[User], key: str) -> None:
    cache.put(key, ADA)
    assert cache.get(key) is ADA
    cache.clear_memory()
    assert cache.get(key) == ADA
    assert cache.get_many([key]) == {key: ADA}
    assert cache.delete(key)


def test_step_03_model_type_validation(cache: DiskBackedCache[User]) -> None:
    class Admin(User):
        rights: int = 7

    cache.put("k", ADA)
    for wrong, name in [
        (Order(number=1), "Order"),
        (Admin(name="A", email="b"), "Admin"),  # would come back as a User, without its rights
        ({"name": "Ada"}, "dict"),
        (None, "NoneType"),
    ]:
        with pytest.raises(TypeError) as caught:
            cache.put("k", wrong)  # type: ignore[arg-type]
        assert str(caught.value) == f"Value must be an instance of User, got {name}"
        with pytest.raises(TypeError) as caught:
            cache.put_many({"new": BOB, "k": wrong})  # type: ignore[dict-item]
        assert str(caught.value) == f"Value must be an instance of User, got {name}"
    assert cache.get("k") is ADA
    assert cache.get_count() == 1


def test_step_04_serialization_round_trip(open_users: Open) -> None:
    user = User(name='Zoë "Z"\n\0\u2028 𝄞', email="")
    first = open_users()
    first.put("k", user)
    first.clear_memory()
    again = first.get("k")
    assert again == user
    assert again is not user
    assert type(again) is User


def test_step_05_sqlite_connection_setup(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "cache.db"
    with DiskBackedCache(path, User) as cache:
        assert path.exists()
        assert cache.get_count() == 0
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA application_id").fetchone() != (0,)
    assert connection.execute("PRAGMA user_version").fetchone() != (0,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_step_06_sqlite_put_get(open_users: Open, path: Path) -> None:
    first = open_users()
    first.put("k", ADA, timestamp=1_000.5)
    first.put_many({"l": BOB}, timestamp=2_000.0)
    first.close()
    connection = sqlite3.connect(path)
    rows = connection.execute(
        "SELECT key, value, timestamp, schema_version, size, typeof(value) FROM cache ORDER BY key"
    ).fetchall()
    connection.close()
    assert [row[0] for row in rows] == ["k", "l"]
    assert [row[2:] for row in rows] == [
        (1_000.5, "1.0.0", len(rows[0][1]), "text"),
        (2_000.0, "1.0.0", len(rows[1][1]), "text"),
    ]
    assert json.loads(rows[0][1]) == {"schema_version": "1.0.0", "name": "Ada", "email": "ada@example.org"}
    second = open_users()
    assert second.tier("k", timestamp=1_001.0) == "disk"
    assert second.get("k", timestamp=1_001.0) == ADA


def test_step_06_written_by_one_process_read_by_the_next(
    open_users: Open, path: Path, run_python: Callable[..., str]
) -> None:
    run_python(
        """if True:
        import sys
        from models import ADA, BOB, users
        with users(sys.argv[1]) as cache:
            cache.put("user:1", ADA)
            cache.put_many({"user:2": BOB, "user:3": ADA})
        """,
        path,
    )
    cache = open_users()
    assert cache.get_many(["user:1", "user:2", "user:3"]) == {"user:1": ADA, "user:2": BOB, "user:3": ADA}
    assert cache.get("user:1") == ADA


def test_step_07_delete_from_memory(cache: DiskBackedCache[User]) -> None:
    cache.put("k", ADA)
    assert cache.delete("k") is True
    assert cache.get_stats().current_memory_items == 0
    assert cache.tier("k") is None
    assert cache.delete("k") is False


def test_step_08_delete_from_disk(open_users: Open) -> None:
    cache = open_users()
    cache.put("k", ADA)
    cache.clear_memory()
    assert cache.delete("k") is True
    assert cache.get("k") is None
    assert cache.get_count() == 0
    cache.close()
    assert open_users().get("k") is None
