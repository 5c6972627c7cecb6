"""What is in the package, and that it can be built from what it says it is built from."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import diskbackedcache
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BINDING = REPOSITORY / "bindings" / "python"


def test_versions_agree() -> None:
    header = (REPOSITORY / "include" / "dbc.h").read_text(encoding="utf-8")
    match = re.search(r'#define DBC_VERSION_TEXT "(.*)"', header)
    assert match
    assert diskbackedcache.__version__ == match[1] == importlib.metadata.version("diskbackedcache")


def test_everything_in_all_is_there() -> None:
    assert all(hasattr(diskbackedcache, name) for name in diskbackedcache.__all__)
    assert diskbackedcache.__all__ == sorted(diskbackedcache.__all__, key=lambda name: (not name.isupper(), name))


def test_public_methods_are_documented() -> None:
    cache = diskbackedcache.DiskBackedCache
    public = [name for name in vars(cache) if not name.startswith("_")]
    assert len(public) >= 20
    assert [name for name in public if not getattr(cache, name).__doc__] == []


def test_the_library_is_inside_the_module() -> None:
    from diskbackedcache import _dbc

    module = Path(_dbc.__file__)
    assert ".abi3." in module.name
    needed = subprocess.run(["ldd", str(module)], capture_output=True, text=True, check=True).stdout
    assert "sqlite3" in needed
    assert "dbc.so" not in needed.replace(module.name, "")
    names = subprocess.run(
        ["nm", "-D", "--defined-only", str(module)], capture_output=True, text=True, check=True
    ).stdout
    exported = {line.split()[-1] for line in names.splitlines()}
    assert "PyInit__dbc" in exported
    assert [name for name in exported if name.startswith(("dbc_", "_ZN3dbc"))] == []


def test_every_declaration_is_known() -> None:
    from diskbackedcache._dbc import lib

    header = (REPOSITORY / "include" / "dbc.h").read_text(encoding="utf-8")
    functions = set(re.findall(r"^DBC_API [^;]*?\b(dbc_\w+)\(", header, re.MULTILINE))
    constants = set(re.findall(r"^  (DBC_\w+) = \d+", header, re.MULTILINE))
    assert len(functions) > 40
    assert len(constants) > 40
    assert sorted(name for name in functions | constants if not hasattr(lib, name)) == []
    assert (lib.DBC_TEXT, lib.DBC_ABI_VERSION) == (1, lib.dbc_abi_version())


BUILT_WHEN_USED = """
from diskbackedcache import CacheableModel

assert "defer_build" not in CacheableModel.model_config
assert not CacheableModel.__pydantic_complete__  # what an import need not wait for

class User(CacheableModel):
    schema_version: str = "1"
    score: float = 0.0

assert User.__pydantic_complete__
assert User.model_validate_json(User(score=float("inf")).model_dump_json()).score == float("inf")
try:
    User().score = 1.0
    raise SystemExit("it is not frozen")
except ValueError:
    pass
assert CacheableModel().model_dump_json() == "{}"
assert CacheableModel.__pydantic_complete__
"""


def test_the_base_of_all_models_is_built_when_it_is_used() -> None:
    subprocess.run([sys.executable, "-c", BUILT_WHEN_USED], check=True)


@pytest.mark.parametrize("free_threaded", [0, 1])
def test_a_wheel_is_for_all_versions_but_of_a_free_threaded_python(free_threaded: int) -> None:
    code = f"""if True:
        import runpy, setuptools, sysconfig
        known = sysconfig.get_config_var
        sysconfig.get_config_var = lambda name: {free_threaded} if name == "Py_GIL_DISABLED" else known(name)
        setuptools.setup = lambda **arguments: print(arguments["options"].get("bdist_wheel"))
        runpy.run_path("setup.py")
    """
    done = subprocess.run([sys.executable, "-B", "-c", code], cwd=BINDING, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ("None" if free_threaded else "{'py_limited_api': 'cp39'}")


@pytest.fixture
def sdist(tmp_path: Path) -> Path:
    """An unpacked sdist, made from a copy of what it needs."""
    copy = tmp_path / "repository"
    for name in ("include", "src", "bindings/python"):
        shutil.copytree(
            REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__")
        )
    subprocess.run(
        [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(tmp_path)],
        cwd=copy / "bindings" / "python",
        check=True,
        capture_output=True,
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path)
    return tmp_path / archive.name[: -len(".tar.gz")]


def test_an_sdist_has_all_sources(sdist: Path) -> None:
    for folder in ("src", "include"):
        ours = {
            path.relative_to(REPOSITORY / folder)
            for path in (REPOSITORY / folder).rglob("*")
            if path.suffix in (".cc", ".h")
        }
        assert ours == {
            path.relative_to(sdist / "core" / folder) for path in (sdist / "core" / folder).rglob("*") if path.is_file()
        }
    for name in ("pyproject.toml", "setup.py", "dbc_ffi.py", "native/ask.h", "native/calls.h", "native/log.h", "src/diskbackedcache/py.typed"):
        assert (sdist / name).is_file()
    listed = subprocess.run(
        [sys.executable, "-B", "-c", "import dbc_ffi; print(dbc_ffi.core_directory())"],
        cwd=sdist,
        capture_output=True,
        text=True,
        check=True,
    )
    assert listed.stdout.strip() == str(sdist / "core")
