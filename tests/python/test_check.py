"""check(): what it finds, and what a repair leaves."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from diskbackedcache import CacheClosedError, CacheCorruptError, CheckResult, DiskBackedCache
from models import ADA, BOB, User

Open = Callable[..., DiskBackedCache[User]]


def run_sql(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(sql)


def test_a_sound_cache(cache: DiskBackedCache[User]) -> None:
    cache.put("k", ADA)
    assert cache.check() == cache.check(repair=True) == CheckResult(0, "") == (0, "")
    assert cache.get("k") is ADA


def test_a_wrong_value_is_found_and_removed(open_users: Open, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_users() as cache:
        cache.put_many({"a": ADA, "b": BOB})
    run_sql(path, "UPDATE item SET data = replace(data, 'Ada', 'Eve') WHERE key = 'a'")
    cache = open_users()
    found = cache.check()
    assert found.problems == 1
    assert "(key='a'): the checksum does not match" in found.report
    assert len(cache) == 2
    assert cache.check(repair=True) == found
    assert cache.check().problems == 0
    assert len(cache) == 1 and cache.get("b") == BOB and cache.get_stats().discarded == 1
    assert [r.levelno for r in caplog.records if "1 items removed" in r.getMessage()] == [logging.WARNING]


def test_after_a_repair_no_object_of_before_is_returned(cache: DiskBackedCache[User], path: Path) -> None:
    cache.put("a", ADA)
    cache.put("b", BOB)
    run_sql(path, "DELETE FROM item WHERE key = 'a'")
    assert cache.get("a") is ADA  # a foreign hand is not seen
    assert cache.check(repair=True).problems > 0
    assert cache.get("a") is None and cache.get("b") == BOB
    assert cache.check().problems == 0


@pytest.fixture
def damaged(open_users: Open, path: Path) -> Path:
    """A file with a page of items that is no page any more, which opening does not see."""
    with open_users() as cache:
        cache.put_many({f"user{i}": ADA for i in range(300)})
    with closing(sqlite3.connect(path)) as database:
        (size,) = database.execute("PRAGMA page_size").fetchone()
    content = path.read_bytes()
    pages = [content[at : at + size] for at in range(0, len(content), size)]
    table_leaf = b"\x0d"
    number = next(i for i, page in enumerate(pages) if page[:1] == table_leaf and b'"Ada"' in page)
    pages[number] = b"\xee" * size
    path.write_bytes(b"".join(pages))
    return path


def test_a_file_beyond_repair_is_replaced(open_users: Open, damaged: Path) -> None:
    cache = open_users()
    found = cache.check(repair=True)
    assert found.problems > 0 and "structure: " in found.report and "moved aside" in found.report
    assert len(cache) == 0
    assert list(damaged.parent.glob("cache.db.corrupt-*"))
    assert cache.check().problems == 0


def test_a_file_beyond_repair_is_an_error_if_so_wanted(open_users: Open, damaged: Path) -> None:
    content = damaged.read_bytes()
    cache = open_users(on_corrupt="fail")
    assert cache.check().problems > 0
    with pytest.raises(CacheCorruptError, match=r"cache\.db"):
        cache.check(repair=True)
    assert damaged.read_bytes() == content


def test_after_close(cache: DiskBackedCache[User]) -> None:
    cache.close()
    with pytest.raises(CacheClosedError):
        cache.check()
