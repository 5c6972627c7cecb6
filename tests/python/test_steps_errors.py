"""Step 41: options out of range, and everything else that can be wrong about opening a cache."""

from __future__ import annotations

import copy
import math
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diskbackedcache
import pytest
from diskbackedcache import CacheableModel, CacheError, DiskBackedCache
from models import ADA, BOB, Order, User
from pydantic import BaseModel

Open = Callable[..., DiskBackedCache[User]]

COUNTS = ["max_memory_items", "max_memory_size_bytes", "max_disk_items", "max_disk_size_bytes", "max_item_size_bytes"]
SECONDS = ["memory_ttl_seconds", "disk_ttl_seconds", "busy_timeout_seconds", "touch_delay_seconds"]


@pytest.mark.parametrize("option", [*COUNTS, "file_mode"])
@pytest.mark.parametrize("value", ["1", 1.0, True, False, None, [1], math.inf])
def test_step_41_counts_of_a_wrong_type(path: Path, option: str, value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        DiskBackedCache(path, User, **{option: value})
    assert str(caught.value) == f"{option} must be an int, got {type(value).__name__}"
    assert not path.exists()


@pytest.mark.parametrize("option", [*COUNTS, "file_mode"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "must not be negative, got -1"),
        (-(10**30), "must not be negative, got -1000000000000000000000000000000"),
        (2**63, "must be at most 9223372036854775807, got 9223372036854775808"),
        (2**64, "must be at most 9223372036854775807, got 18446744073709551616"),
        pytest.param(10**5000, "must be at most 9223372036854775807, got a number of 16610 bits", id="long"),
        pytest.param(-(10**5000), "must not be negative, got a number of 16610 bits", id="long, negative"),
    ],
)
def test_step_41_counts_out_of_range(path: Path, option: str, value: int, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        DiskBackedCache(path, User, **{option: value})
    assert str(caught.value) == f"{option} {message}"
    assert not path.exists()


@pytest.mark.parametrize("option", ["max_disk_items", "max_disk_size_bytes"])
def test_step_41_the_disk_holds_at_least_one(path: Path, option: str) -> None:
    with pytest.raises(ValueError, match=option):
        DiskBackedCache(path, User, **{option: 0})
    assert not path.exists()


def test_step_41_a_file_mode_is_permission_bits(path: Path) -> None:
    with pytest.raises(ValueError, match="file_mode"):
        DiskBackedCache(path, User, file_mode=0o10000)


@pytest.mark.parametrize("option", SECONDS)
@pytest.mark.parametrize("value", ["1", True, None, [1.0], 1j])
def test_step_41_seconds_of_a_wrong_type(path: Path, option: str, value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        DiskBackedCache(path, User, **{option: value})
    assert str(caught.value) == f"{option} must be a number of seconds, got {type(value).__name__}"


@pytest.mark.parametrize("option", SECONDS)
@pytest.mark.parametrize("value", [-1, -0.5, math.nan, -math.inf, 10**400, pytest.param(10**5000, id="long")])
def test_step_41_seconds_out_of_range(path: Path, option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        DiskBackedCache(path, User, **{option: value})
    assert not path.exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("memory_ttl_seconds", 0),
        ("disk_ttl_seconds", 0.0),
        ("touch_delay_seconds", 0),
        ("touch_delay_seconds", 3601),
        ("touch_delay_seconds", math.inf),
        ("busy_timeout_seconds", 86_401),
        ("busy_timeout_seconds", math.inf),
    ],
)
def test_step_41_seconds_at_the_border(path: Path, option: str, value: float) -> None:
    with pytest.raises(ValueError, match=option):
        DiskBackedCache(path, User, **{option: value})


@pytest.mark.parametrize(
    ("option", "words"), [("durability", "'normal', 'full', 'off'"), ("on_corrupt", "'restart', 'fail'")]
)
def test_step_41_words(path: Path, option: str, words: str) -> None:
    with pytest.raises(ValueError) as caught:
        DiskBackedCache(path, User, **{option: "whatever"})
    assert str(caught.value) == f"{option} must be one of {words}, got 'whatever'"
    with pytest.raises(TypeError) as caught2:
        DiskBackedCache(path, User, **{option: 1})
    assert str(caught2.value) == f"{option} must be a str, got int"


@pytest.mark.parametrize(
    "options",
    [
        {"max_memory_items": 0, "max_memory_size_bytes": 0, "max_item_size_bytes": 0},
        {"max_disk_items": 1, "max_disk_size_bytes": 1000},
        dict.fromkeys(COUNTS, 2**63 - 1),
        {"memory_ttl_seconds": math.inf, "disk_ttl_seconds": math.inf},
        {"memory_ttl_seconds": 1, "disk_ttl_seconds": 1},
        {"durability": "full", "on_corrupt": "fail"},
        {"durability": "off", "busy_timeout_seconds": 0, "touch_delay_seconds": 3600},
        {"file_mode": 0o644},
        {"compression": "zstd"},
    ],
)
def test_step_41_good_options(open_users: Open, options: dict[str, Any]) -> None:
    cache = open_users(**options)
    cache.put("k", ADA)
    assert cache.get("k") == ADA


def test_step_41_file_mode(open_users: Open, path: Path, tmp_path: Path) -> None:
    open_users()
    assert path.stat().st_mode & 0o777 == 0o600
    shared = tmp_path / "shared.db"
    open_users(shared, file_mode=0o640).put("k", ADA)
    assert {file.name: file.stat().st_mode & 0o777 for file in tmp_path.glob("shared.db*")} == dict.fromkeys(
        [file.name for file in tmp_path.glob("shared.db*")], 0o640
    )


@pytest.mark.parametrize("value", [5, None, b"cache.db", ["cache.db"], object()])
def test_step_41_path_of_a_wrong_type(value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        DiskBackedCache(value, User)
    assert str(caught.value) == f"db_path must be a str or os.PathLike, got {type(value).__name__}"


@pytest.mark.parametrize(
    ("value", "message"), [("", "not be empty"), ("a\0b", "U+0000"), ("a\ud800", "valid file name")]
)
def test_step_41_path_that_is_none(value: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        DiskBackedCache(value, User)
    assert str(caught.value).startswith("db_path must ")
    assert message in str(caught.value)


class Liquid(CacheableModel, frozen=False):
    schema_version: str = "1"


class Numbered(CacheableModel):
    schema_version: int = 1


class Long(CacheableModel):
    schema_version: str = "v" * 65


class Empty(CacheableModel):
    schema_version: str = ""


class Foreign(BaseModel):
    schema_version: str = "1"


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (Liquid, ValueError, "Model Liquid must be frozen"),
        (Numbered, ValueError, "Model Numbered: schema_version must be a str, got int"),
        (
            Long,
            ValueError,
            f"Model Long: schema_version must be 1 to 64 bytes of UTF-8 without U+0000, got '{'v' * 65}'",
        ),
        (Empty, ValueError, "Model Empty: schema_version must be 1 to 64 bytes of UTF-8 without U+0000, got ''"),
        (CacheableModel, ValueError, "Model CacheableModel must define a default schema_version"),
        (Foreign, TypeError, "model must be a subclass of CacheableModel, got Foreign"),
        (dict, TypeError, "model must be a subclass of CacheableModel, got dict"),
        (ADA, TypeError, "model must be a subclass of CacheableModel, got User"),
        (None, TypeError, "model must be a subclass of CacheableModel, got NoneType"),
    ],
)
def test_step_41_models(path: Path, model: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        DiskBackedCache(path, model)
    assert str(caught.value) == message
    assert not path.exists()


def test_step_41_the_longest_schema_version(path: Path) -> None:
    class Model(CacheableModel):
        schema_version: str = "ü" * 32

    with DiskBackedCache(path, Model) as cache:
        cache.put("k", Model())
    with DiskBackedCache(path, Model) as cache:
        assert cache.get("k") == Model()


def test_step_41_missing_and_unknown_arguments(path: Path) -> None:
    with pytest.raises(TypeError):
        DiskBackedCache(path)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="max_items"):
        DiskBackedCache(path, User, max_items=5)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        DiskBackedCache(path, User, 1, 2, 3, 4, 5.0, 6.0, 7, "full")  # type: ignore[misc]


def test_step_41_a_failed_constructor_leaves_nothing_behind(path: Path) -> None:
    cache: DiskBackedCache[User] = DiskBackedCache.__new__(DiskBackedCache)
    with pytest.raises(ValueError):
        cache.__init__(path, User, max_disk_items=0)  # type: ignore[misc]
    del cache


def test_step_41_a_cache_is_not_pickled(cache: DiskBackedCache[User]) -> None:
    for call in (lambda: pickle.dumps(cache), lambda: copy.copy(cache), lambda: copy.deepcopy(cache)):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            call()


def test_step_41_repr(cache: DiskBackedCache[User], path: Path) -> None:
    assert repr(cache) == f"<DiskBackedCache[User] at '{path}', open>"
    cache.close()
    assert repr(cache) == f"<DiskBackedCache[User] at '{path}', closed>"
    assert cache.db_path == str(path)
    assert cache.model is User


def test_step_41_str_subclasses_are_plain_keys(cache: DiskBackedCache[User]) -> None:
    class Odd(str):
        def __eq__(self, other: object) -> bool:
            return False

        def __hash__(self) -> int:
            return 1

    cache.put(Odd("k"), ADA)
    assert cache.get("k") is ADA
    assert cache.get(Odd("k")) == ADA
    assert cache.get_many([Odd("k")]) == {"k": ADA}
    cache.put_many({Odd("l"): ADA})
    assert cache.get("l") is ADA

    class Odder(str):
        def encode(self, *_: object) -> bytes:
            return b"another"

        def __len__(self) -> int:
            return 0

        def __contains__(self, other: object) -> bool:
            return True

    cache.put(Odder("m"), ADA)
    assert cache.exists(Odder("m")) and cache.exists("m")
    assert cache.tier(Odder("m")) == "memory"
    assert cache.delete_many([Odder("l")]) == 1
    assert cache.delete(Odder("m"))
    assert cache.get("m") is None


def test_step_41_keys_are_equal_when_their_text_is(cache: DiskBackedCache[User]) -> None:
    class AnyCase(str):
        def __eq__(self, other: object) -> bool:
            return isinstance(other, str) and self.lower() == other.lower()

        def __hash__(self) -> int:
            return hash(self.lower())

    cache.put("k", ADA)
    assert cache.get(AnyCase("K")) is None
    cache.put("K", BOB)
    assert cache.get("k") is cache.get(AnyCase("k")) is ADA
    assert cache.get("K") is cache.get(AnyCase("K")) is BOB
    assert cache.get(AnyCase("k"), timestamp=time.time()) is ADA


def test_step_41_errors_are_pickled(tmp_path: Path) -> None:
    for name in diskbackedcache.__all__:
        kind = getattr(diskbackedcache, name)
        if isinstance(kind, type) and issubclass(kind, CacheError):
            error = kind("what was wrong", 18)
            again = pickle.loads(pickle.dumps(error))
            assert (type(again), str(again), again.code, again.name) == (kind, "what was wrong", 18, "DBC_BUSY")


def test_step_41_a_value_that_does_not_serialise(path: Path) -> None:
    class Holder(CacheableModel):
        schema_version: str = "1"
        data: bytes = b""

    with DiskBackedCache(path, Holder) as cache:
        good = Holder(data=b"fine")
        cache.put("k", good)
        for call in (
            lambda: cache.put("k", Holder(data=b"\xff\xfe")),
            lambda: cache.put_many({"j": good, "k": Holder(data=b"\xff\xfe")}),
        ):
            with pytest.raises(ValueError):
                call()
        assert cache.get("k") is good
        assert cache.get_count() == 1


def test_step_41_a_value_that_does_not_decode_is_a_miss(open_users: Open, path: Path) -> None:
    cache = open_users()
    with DiskBackedCache(path, Order) as other:  # the same schema version, other fields
        other.put_many({"k": Order(number=1), "l": Order(number=2)})
        assert cache.get("k") is None
        assert cache.get_many(["l", "m"]) == {}
        stats = cache.get_stats()
        assert (stats.misses, stats.disk_hits, stats.discarded, stats.total_gets) == (3, 0, 2, 3)
        assert cache.get_count() == 0
        assert other.get("k") is None
    cache.put("k", ADA)
    assert cache.get("k") is ADA
