from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from diskbackedcache import DiskBackedCache
from hypothesis import settings
from models import Blob, User

HERE = Path(__file__).resolve().parent

# Times on a loaded machine say nothing, and nothing shall be left behind.
settings.register_profile("tests", deadline=None, database=None)
settings.load_profile("tests")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def open_users(path: Path) -> Iterator[Callable[..., DiskBackedCache[User]]]:
    """Opens caches of users, on one file unless told otherwise, and closes them in the end."""
    with ExitStack() as stack:

        def open_(db_path: Any = path, **options: Any) -> DiskBackedCache[User]:
            return stack.enter_context(DiskBackedCache(db_path, User, **options))

        yield open_


@pytest.fixture
def open_blobs(path: Path) -> Iterator[Callable[..., DiskBackedCache[Blob]]]:
    """The same for blobs."""
    with ExitStack() as stack:

        def open_(db_path: Any = path, **options: Any) -> DiskBackedCache[Blob]:
            return stack.enter_context(DiskBackedCache(db_path, Blob, **options))

        yield open_


@pytest.fixture
def cache(open_users: Callable[..., DiskBackedCache[User]]) -> DiskBackedCache[User]:
    return open_users()


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Runs Python code in a new process, which finds the shared models, and returns what it printed."""

    def run(code: str, *arguments: Any) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(HERE)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
