"""Files that are damaged, foreign, newer, in odd places, or not to be had."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from diskbackedcache import (
    CacheBusyError,
    CacheCorruptError,
    CacheForeignError,
    CacheIOError,
    CacheVersionError,
    DiskBackedCache,
)
from models import ADA, BOB, User

Open = Callable[..., DiskBackedCache[User]]

GARBAGE = {
    "text": b"this is no database\n" * 100,
    "noise": bytes(range(256)) * 64,
    "cut off header": b"SQLite format 3\0" + b"\x10\0\1\1",
    "header and noise": b"SQLite format 3\0" + bytes(range(256)) * 64,
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_moved_aside(open_users: Open, path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(content)
    cache = open_users()
    cache.put("k", ADA)
    assert cache.get("k") is ADA
    aside = list(path.parent.glob("cache.db.corrupt-*"))
    assert [file.read_bytes() for file in aside] == [content]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(aside[0].name in message for message in warnings)


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_an_error_if_so_wanted(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CacheCorruptError) as caught:
        DiskBackedCache(path, User, on_corrupt="fail")
    assert caught.value.name == "DBC_CORRUPT"
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content
    assert [file for file in path.parent.iterdir() if "corrupt" in file.name] == []


def test_an_empty_file_is_a_new_cache(open_users: Open, path: Path) -> None:
    path.touch()
    cache = open_users(on_corrupt="fail")
    cache.put("k", ADA)
    assert cache.get("k") is ADA


def test_wrong_bytes_are_never_served(open_users: Open, path: Path) -> None:
    cache = open_users()
    cache.put_many({f"k{i}": User(name="needle" * 50, email=str(i)) for i in range(50)})
    cache.close()
    content = path.read_bytes()
    assert content.count(b"needle") >= 50 * 50
    path.write_bytes(content.replace(b"needleneedle", b"needleNEEDLE"))
    for file in path.parent.glob("cache.db-*"):
        file.unlink()
    cache = open_users()
    assert all(user.name == "needle" * 50 for user in cache.get_many([f"k{i}" for i in range(50)]).values())
    assert all(cache.get(f"k{i}") is None for i in range(50))
    assert cache.get_stats().discarded > 0 or cache.get_count() == 0


def make_foreign(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious (data)")
    connection.execute("INSERT INTO precious VALUES ('mine')")
    connection.commit()
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize("on_corrupt", ["restart", "fail"])
def test_a_foreign_database_is_left_untouched(path: Path, on_corrupt: str) -> None:
    content = make_foreign(path)
    with pytest.raises(CacheForeignError) as caught:
        DiskBackedCache(path, User, on_corrupt=on_corrupt)  # type: ignore[arg-type]
    assert caught.value.name == "DBC_FOREIGN"
    assert str(path) in str(caught.value)
    assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("on_corrupt", ["restart", "fail"])
def test_a_newer_format_is_left_untouched(open_users: Open, path: Path, on_corrupt: str) -> None:
    cache = open_users()
    cache.put("k", ADA)
    cache.close()
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version + 1}")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(CacheVersionError) as caught:
        open_users(on_corrupt=on_corrupt)
    assert caught.value.name == "DBC_VERSION"
    assert path.read_bytes() == content


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CacheIOError, match=str(tmp_path)) as caught:
        DiskBackedCache(tmp_path, User)
    assert caught.value.name == "DBC_IO"


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheIOError, match="file"):
        DiskBackedCache(tmp_path / "file" / "cache.db", User)
    with pytest.raises(CacheIOError):
        DiskBackedCache(tmp_path / "file" / "deeper" / "cache.db", User)


def test_a_place_that_takes_no_files() -> None:
    with pytest.raises(CacheIOError):
        DiskBackedCache("/proc/self/cache.db", User)


def run_as_nobody(action: str, directory: Path) -> str:
    """Runs Python code where permissions count, also when the tests are root's."""
    code = f"""if True:
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from models import ADA, User
        from diskbackedcache import CacheError, DiskBackedCache
        os.chdir({str(directory)!r})
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            {action}
        except CacheError as e:
            print(e.name)
        else:
            print("no error")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_directory_that_is_not_writable(tmp_path: Path) -> None:
    place = tmp_path / "closed"
    place.mkdir()
    place.chmod(0o555)
    try:
        assert run_as_nobody("DiskBackedCache('cache.db', User)", place) == "DBC_IO"
        assert run_as_nobody("DiskBackedCache('new/cache.db', User)", place) == "DBC_IO"
        assert list(place.iterdir()) == []
    finally:
        place.chmod(0o755)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    place = tmp_path / "open"
    place.mkdir()
    place.chmod(0o777)
    with DiskBackedCache(place / "cache.db", User) as cache:
        cache.put("k", ADA)
    for file in place.iterdir():
        file.chmod(0)
    assert run_as_nobody("DiskBackedCache('cache.db', User)", place) == "DBC_IO"
    for file in place.iterdir():
        file.chmod(0o600)
    with DiskBackedCache(place / "cache.db", User) as cache:
        assert cache.get("k") == ADA


@pytest.mark.parametrize("name", ["with space.db", "ünïcödé-𝄞.db", "quote'\".db", "100%?.db#x", "a=b&mode=ro.db"])
def test_odd_file_names(open_users: Open, tmp_path: Path, name: str) -> None:
    path = tmp_path / "some directory" / name
    cache = open_users(path)
    cache.put("k", ADA)
    cache.close()
    assert path.is_file()
    assert open_users(str(path)).get("k") == ADA


def test_a_relative_path_stays_the_same_file(open_users: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    cache = open_users("relative.db")
    monkeypatch.chdir(tmp_path / "elsewhere")
    cache.put("k", ADA)
    cache.clear_memory()
    assert cache.get("k") == ADA
    cache.close()
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert open_users(tmp_path / "relative.db").get("k") == ADA


def test_a_symbolic_link(open_users: Open, tmp_path: Path, path: Path) -> None:
    cache = open_users()
    cache.put("k", ADA)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    through = open_users(link)
    assert through.get("k") == ADA
    cache.put("k", BOB)
    assert through.get("k") == BOB


def test_a_locked_file_is_busy(open_users: Open, path: Path) -> None:
    cache = open_users(busy_timeout_seconds=0.05)
    cache.put("k", ADA)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(CacheBusyError) as caught:
        cache.put("k", BOB)
    assert caught.value.name == "DBC_BUSY"
    assert caught.value.code == 18
    assert cache.get("k") is ADA  # reading goes on
    cache.clear_memory()
    assert cache.get("k") == ADA
    connection.execute("ROLLBACK")
    connection.close()
    cache.put("k", BOB)


def test_a_full_device(open_users: Open, tmp_path: Path) -> None:
    code = """if True:
        import resource, signal, sys
        from models import User, users
        from diskbackedcache import CacheFullError, CacheIOError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with users(sys.argv[1]) as cache:
            cache.put("first", User(name="n", email="e"))
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
            stored = 0
            try:
                for stored in range(1000):
                    cache.put(f"k{stored}", User(name="x" * 10_000, email=""))
            except (CacheFullError, CacheIOError) as e:
                assert stored > 3, stored
                assert cache.get("first") is not None
                assert cache.get(f"k{stored - 1}") is not None
                assert cache.get(f"k{stored}") is None
            else:
                raise AssertionError("no error")
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            cache.put("last", User(name="n", email="e"))
            print(stored)
    """
    path = tmp_path / "full.db"
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    cache = open_users(path)
    assert cache.exists("first")
    assert cache.exists("last")
    assert all(cache.exists(f"k{i}") for i in range(int(done.stdout)))


def test_a_copied_file_is_a_cache(open_users: Open, path: Path, tmp_path: Path) -> None:
    cache = open_users()
    cache.put("k", ADA)
    cache.close()
    shutil.copyfile(path, tmp_path / "copy.db")
    assert open_users(tmp_path / "copy.db").get("k") == ADA
