"""Where the repository and the library under test are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def library():
    """The shared library: DBC_LIBRARY, or that of the default build folder."""
    path = Path(os.environ.get("DBC_LIBRARY", ROOT / "build" / "release" / "src" / "libdbc.so"))
    assert path.exists(), f"{path} is not there; make test builds it"
    return path
