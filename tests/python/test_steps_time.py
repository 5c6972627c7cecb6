"""Steps 33 to 35: the two TTLs and timestamps given by the caller."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from diskbackedcache import DiskBackedCache
from models import ADA, BOB, User

Open = Callable[..., DiskBackedCache[User]]


def test_step_33_memory_ttl(open_users: Open) -> None:
    cache = open_users(memory_ttl_seconds=10)
    cache.put("k", ADA, timestamp=100.0)
    assert cache.tier("k", timestamp=110.0) == "memory"
    assert cache.tier("k", timestamp=110.5) == "disk"
    assert cache.get("k", timestamp=110.0) is ADA  # exactly the TTL still counts
    assert cache.get("k", timestamp=120.5) == ADA  # from disk, and back into memory
    assert cache.get("k", timestamp=130.5) == ADA
    stats = cache.get_stats()
    assert (stats.memory_hits, stats.disk_hits, stats.misses, stats.memory_expired) == (2, 1, 0, 1)


def test_step_33_a_hit_after_expiry_brings_it_back_for_good(open_users: Open) -> None:
    # Other calls in between have the cache ask what left memory: the item is back by then.
    cache = open_users(memory_ttl_seconds=10)
    cache.put("k", ADA, timestamp=100.0)
    assert cache.get("k", timestamp=200.0) == ADA
    cache.put("l", BOB, timestamp=200.0)
    held = cache.get("k", timestamp=201.0)
    assert held == ADA
    assert cache.get("k", timestamp=202.0) is held
    stats = cache.get_stats()
    assert (stats.memory_hits, stats.disk_hits) == (2, 1)


def test_step_33_infinite(open_users: Open) -> None:
    cache = open_users(memory_ttl_seconds=math.inf, disk_ttl_seconds=math.inf)
    cache.put("k", ADA, timestamp=0.0)
    assert cache.get("k", timestamp=1e300) is ADA


def test_step_34_disk_ttl(open_users: Open) -> None:
    cache = open_users(disk_ttl_seconds=100)
    cache.put("k", ADA, timestamp=0.0)
    cache.clear_memory()
    assert cache.exists("k", timestamp=100.0)
    assert not cache.exists("k", timestamp=100.5)
    assert cache.get_count() == 1  # nothing goes in the background
    assert cache.get("k", timestamp=100.5) is None
    assert cache.get_count() == 0
    stats = cache.get_stats()
    assert (stats.misses, stats.disk_expired) == (1, 1)


def test_step_34_no_tier_answers_after_the_disk_ttl(open_users: Open) -> None:
    cache = open_users(disk_ttl_seconds=5, memory_ttl_seconds=300)
    cache.put("k", ADA, timestamp=0.0)
    assert cache.tier("k", timestamp=6.0) is None
    assert cache.get("k", timestamp=6.0) is None
    assert cache.get_stats().current_memory_items == 0


def test_step_34_ttls_slide(open_users: Open) -> None:
    cache = open_users(disk_ttl_seconds=10)
    cache.put("k", ADA, timestamp=0.0)
    for now in range(8, 80, 8):
        assert cache.get("k", timestamp=float(now)) == ADA
    cache.close()
    cache = open_users(disk_ttl_seconds=10)
    assert cache.get("k", timestamp=81.0) == ADA
    assert cache.get("k", timestamp=92.0) is None


def test_step_34_purge(open_users: Open) -> None:
    cache = open_users(disk_ttl_seconds=100, memory_ttl_seconds=10)
    cache.put_many({"old": ADA, "older": ADA}, timestamp=0.0)
    cache.put("cool", ADA, timestamp=80.0)
    cache.put("fresh", ADA, timestamp=100.0)
    assert cache.purge_expired(timestamp=101.0) == 2
    assert cache.get_count() == 2
    assert cache.tier("cool", timestamp=80.0) == "disk"
    assert cache.tier("fresh", timestamp=101.0) == "memory"
    assert cache.purge_expired(timestamp=101.0) == 0
    assert cache.get_stats().disk_expired == 2


def test_step_35_custom_timestamps(open_users: Open) -> None:
    cache = open_users(max_disk_items=2)
    cache.put("a", ADA, timestamp=50)
    cache.put("b", BOB, timestamp=-50.5)
    cache.put("c", ADA, timestamp=0)
    assert not cache.exists("b", timestamp=0)
    assert cache.get("a", timestamp=-100) is ADA  # an older time counts as given
    cache.put("d", ADA, timestamp=-99)
    assert list(cache.get_many(["a", "b", "c", "d"], timestamp=0)) == ["c", "d"]


def test_step_35_without_a_timestamp_it_is_now(open_users: Open) -> None:
    import time

    cache = open_users(memory_ttl_seconds=60, disk_ttl_seconds=3600)
    cache.put("k", ADA)
    assert cache.tier("k", timestamp=time.time() + 30) == "memory"
    assert cache.tier("k", timestamp=time.time() + 90) == "disk"
    assert cache.tier("k", timestamp=time.time() + 3700) is None


@pytest.mark.parametrize(
    ("timestamp", "error", "message"),
    [
        (math.nan, ValueError, "timestamp must be finite, got nan"),
        (math.inf, ValueError, "timestamp must be finite, got inf"),
        (-math.inf, ValueError, "timestamp must be finite, got -inf"),
        (10**400, ValueError, "timestamp must be finite, got inf"),
        (True, TypeError, "timestamp must be a number of seconds, got bool"),
        ("1", TypeError, "timestamp must be a number of seconds, got str"),
        ([], TypeError, "timestamp must be a number of seconds, got list"),
    ],
)
def test_step_35_bad_timestamps(
    cache: DiskBackedCache[User], timestamp: Any, error: type[Exception], message: str
) -> None:
    cache.put("k", ADA)
    before = cache.get_stats()
    calls: list[Callable[[], Any]] = [
        lambda: cache.put("k", BOB, timestamp),
        lambda: cache.put("new", BOB, timestamp=timestamp),
        lambda: cache.put_many({"k": BOB}, timestamp),
        lambda: cache.get("k", timestamp),
        lambda: cache.get("other", timestamp),
        lambda: cache.get_many(["k"], timestamp),
        lambda: cache.exists("k", timestamp),
        lambda: cache.tier("k", timestamp),
        lambda: cache.purge_expired(timestamp),
    ]
    for call in calls:
        with pytest.raises(error) as caught:
            call()
        assert str(caught.value) == message
    assert cache.get_stats() == before
