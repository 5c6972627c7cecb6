"""The option compression: what it saves in the file, and that nothing else changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from diskbackedcache import DiskBackedCache
from models import User

Open = Callable[..., DiskBackedCache[User]]

LONG = User(name="Ada " * 500, email="ada@example.org")


def query(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_values_come_back_whole(open_users: Open, path: Path, compression: str | None) -> None:
    cache = open_users(compression=compression)
    cache.put("one", LONG)
    cache.put_many({"two": LONG, "three": LONG})
    assert cache.get("one") is LONG
    size = len(LONG.model_dump_json())
    assert cache.get_total_size() == 3 * size
    cache.clear_memory()
    assert cache.get("one") == LONG
    assert cache.get_many(["two", "three"]) == {"two": LONG, "three": LONG}
    assert query(path, "SELECT DISTINCT size FROM cache") == [(size,)]
    [(largest, kind)] = query(path, "SELECT max(length(value)), typeof(value) FROM cache")
    assert (largest, kind) == (size, "text") if compression is None else (largest < size / 5 and kind == "blob")


def test_the_setting_may_change_at_any_time(open_users: Open, path: Path) -> None:
    with open_users(compression="zstd") as cache:
        cache.put("compressed", LONG)
    with open_users() as cache:
        cache.put("as given", LONG)
        assert cache.get("compressed") == LONG
    assert query(path, "SELECT key, typeof(value) FROM cache ORDER BY key") == [("as given", "text"), ("compressed", "blob")]
    with open_users(compression="zstd") as cache:
        assert cache.get_many(["compressed", "as given"]) == {"compressed": LONG, "as given": LONG}


def test_a_value_that_gets_no_smaller_is_text(open_users: Open, path: Path) -> None:
    cache = open_users(compression="zstd")
    cache.put("k", User(name="Ada", email="ada@example.org"))
    assert query(path, "SELECT typeof(value) FROM cache") == [("text",)]


def test_what_is_no_compression(path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        DiskBackedCache(path, User, compression="zip")  # type: ignore[arg-type]
    assert str(caught.value) == "compression must be one of None, 'zstd', got 'zip'"
    with pytest.raises(TypeError) as caught2:
        DiskBackedCache(path, User, compression=True)  # type: ignore[arg-type]
    assert str(caught2.value) == "compression must be a str or None, got bool"
    assert not path.exists()
