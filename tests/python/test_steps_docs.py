"""Steps 42 and 43: the examples and the documents do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
EXAMPLES = REPOSITORY / "bindings" / "python" / "examples"

RECORDS = """\
Package: alpha
Status: install ok installed
Architecture: amd64
Version: 1.0-1
Installed-Size: 120
Maintainer: Zoë <zoe@example.org>
Depends: libc6 (>= 2.34), beta | gamma
Description: the first one
 It has a long description,
 .
 in two paragraphs.

Package: beta
Architecture: all
Status: deinstall ok config-files
Conffiles:
 /etc/beta.conf 0123
 /etc/beta.d/more 4567
"""


def run(*arguments: object, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, cwd=directory, timeout=300
    )


@pytest.fixture
def status_file(tmp_path: Path) -> Path:
    file = tmp_path / "status"
    file.write_text(RECORDS, encoding="utf-8")
    return file


def test_step_42_users_runs_twice(tmp_path: Path) -> None:
    first = run(EXAMPLES / "users.py", directory=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "found from an earlier run: None" in first.stdout
    second = run(EXAMPLES / "users.py", directory=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "found from an earlier run: schema_version='1.0.0' name='Ada'" in second.stdout
    assert "items: 99, bytes: " in second.stdout
    assert (tmp_path / "cache" / "users.db").exists()


def test_step_42_demo(tmp_path: Path, status_file: Path) -> None:
    for _ in range(2):
        done = run(EXAMPLES / "demo.py", status_file, directory=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert "2 records of" in done.stdout
        assert "2 disk hits" in done.stdout
        assert "40 memory hits" in done.stdout
        assert "\x1b" not in done.stdout  # no terminal, no decoration
    assert list(tmp_path.iterdir()) == [status_file]


def test_step_42_demo_on_a_cache_of_an_earlier_run(tmp_path: Path, status_file: Path) -> None:
    cache = tmp_path / "kept" / "packages.db"
    first = run(EXAMPLES / "demo.py", "--cache", cache, status_file, directory=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "earlier run" not in first.stdout
    second = run(EXAMPLES / "demo.py", "--cache", cache, status_file, directory=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "The cache of an earlier run has 2 records" in second.stdout


def test_step_42_demo_reads_the_records(tmp_path: Path, status_file: Path) -> None:
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(EXAMPLES)!r})
        from demo import parse, read_records
        alpha, beta = map(parse, read_records(open({str(status_file)!r}, encoding="utf-8").read()))
        assert (alpha.key, beta.key) == ("alpha:amd64", "beta:all")
        assert alpha.depends == ("libc6 (>= 2.34)", "beta | gamma"), alpha.depends
        assert alpha.installed_size_kib == 120
        assert alpha.maintainer == "Zo\\u00eb <zoe@example.org>"
        assert alpha.summary == "the first one"
        assert alpha.description == "It has a long description,\\n\\nin two paragraphs.", repr(alpha.description)
        assert beta.version is None
        assert beta.conffiles == ("/etc/beta.conf 0123", "/etc/beta.d/more 4567"), beta.conffiles
    """
    done = run("-B", "-c", code, directory=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read: No such file or directory"), ("", "has no package records in it")]
)
def test_step_42_demo_without_records(tmp_path: Path, content: str | None, message: str) -> None:
    file = tmp_path / "nothing"
    if content is not None:
        file.write_text(content)
    done = run(EXAMPLES / "demo.py", file, directory=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_step_43_readme_names_the_commands() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for command in ("make demo", "make test", "pip install ./bindings/python"):
        assert command in readme


@pytest.mark.parametrize("name", ["README.md", "docs/python.md", "bindings/python/README.md"])
def test_step_43_python_in_the_documents_runs(tmp_path: Path, name: str) -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```", (REPOSITORY / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert blocks
    # The blocks of one document build on each other.
    done = run("-c", "\n\n".join(blocks), directory=tmp_path)
    assert done.returncode == 0, done.stderr
