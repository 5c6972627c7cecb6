"""The package and its users under mypy --strict and pyright."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import diskbackedcache

HERE = Path(__file__).resolve().parent
PACKAGE = Path(diskbackedcache.__file__).parent
REPOSITORY = HERE.parent.parent
ERRORS = HERE / "typing_errors.py"


def run(*arguments: str, directory: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=directory, timeout=300
    )
    return done.returncode, done.stdout + done.stderr


def mypy(directory: Path, *arguments: str) -> tuple[int, str]:
    config = directory / "mypy.ini"
    config.write_text("[mypy]\nstrict = True\n")
    return run(
        "mypy", "--config-file", str(config), "--cache-dir", str(directory / "cache"), *arguments, directory=directory
    )


def pyright(directory: Path, source: Path) -> tuple[int, str]:
    """On a copy, with the settings of the package's own pyproject.toml."""
    if source.is_dir():
        shutil.copytree(source, directory / source.name)
    else:
        shutil.copy(source, directory)
    text = (REPOSITORY / "bindings" / "python" / "pyproject.toml").read_text(encoding="utf-8")
    settings = text.split("[tool.pyright]\n")[1].split("\n[")[0]
    settings = re.sub(r"^include = .*$", f'include = ["{source.name}"]', settings, flags=re.MULTILINE)
    (directory / "pyproject.toml").write_text("[tool.pyright]\n" + settings, encoding="utf-8")
    return run("pyright", "--project", str(directory), "--pythonpath", sys.executable, directory=directory)


def expected_lines() -> set[int]:
    return {number for number, line in enumerate(ERRORS.read_text().splitlines(), 1) if line.endswith("# error")}


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()


def test_mypy_accepts_the_package(tmp_path: Path) -> None:
    status, output = mypy(tmp_path, "-p", "diskbackedcache")
    assert status == 0, output


def test_mypy_accepts_users(tmp_path: Path) -> None:
    status, output = mypy(tmp_path, str(HERE / "typing_sample.py"))
    assert status == 0, output


def test_mypy_refuses_mistakes(tmp_path: Path) -> None:
    status, output = mypy(tmp_path, str(ERRORS))
    assert status == 1, output
    assert {int(line) for line in re.findall(r"typing_errors\.py:(\d+): error", output)} == expected_lines(), output


def test_pyright_accepts_the_package(tmp_path: Path) -> None:
    status, output = pyright(tmp_path, REPOSITORY / "bindings" / "python" / "src")
    assert status == 0, output


def test_pyright_accepts_users(tmp_path: Path) -> None:
    status, output = pyright(tmp_path, HERE / "typing_sample.py")
    assert status == 0, output


def test_pyright_refuses_mistakes(tmp_path: Path) -> None:
    status, output = pyright(tmp_path, ERRORS)
    assert status == 1, output
    assert {int(line) for line in re.findall(r"typing_errors\.py:(\d+):\d+ - error", output)} == expected_lines(), (
        output
    )
