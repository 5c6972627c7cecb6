"""Who may include whom in src/: each folder only what stands below it."""

import re
import subprocess

ALLOWED = {
    "base": {"base"},
    "share": {"base", "share"},
    "memory": {"base", "memory"},
    "disk": {"base", "share", "disk"},
    "cache": {"base", "share", "memory", "disk", "cache"},
    "api": {"base", "share", "memory", "disk", "cache", "api"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def includes(root):
    """(file, folder, included) for every #include line in src/."""
    for path in sorted((root / "src").rglob("*")):
        if path.suffix in {".h", ".cc"}:
            file = path.relative_to(root / "src")
            for quote, name in INCLUDE.findall(path.read_text()):
                yield str(file), file.parts[0], quote, name


def test_there_is_something_to_check(root):
    folders = {folder for _, folder, _, _ in includes(root)}
    assert folders == set(ALLOWED)


def test_folders_include_only_what_stands_below(root):
    wrong = []
    for file, folder, quote, name in includes(root):
        if quote == '"' and name != "dbc.h" and name.split("/")[0] not in ALLOWED[folder]:
            wrong.append(f"{file} includes {name}")
    assert wrong == []


def test_own_headers_are_named_from_src(root):
    wrong = [
        f"{file}: {name}"
        for file, _, quote, name in includes(root)
        if quote == '"' and name != "dbc.h" and not (root / "src" / name).exists()
    ]
    assert wrong == []


def test_only_the_disk_tier_knows_sqlite(root):
    wrong = [file for file, folder, _, name in includes(root) if "sqlite3" in name and folder != "disk"]
    assert wrong == []
    calls = [
        str(path.relative_to(root))
        for path in (root / "src").rglob("*.*")
        if path.suffix in {".h", ".cc"}
        and path.parent.name != "disk"
        and re.search(r"\bsqlite3_\w+\s*\(", path.read_text())
    ]
    assert calls == []


def test_only_the_boundary_knows_the_c_header(root):
    wrong = [file for file, folder, _, name in includes(root) if name.endswith("dbc.h") and folder != "api"]
    assert wrong == []


def test_every_header_compiles_alone(root):
    for path in sorted((root / "src").rglob("*.h")):
        done = subprocess.run(
            [
                "c++",
                "-std=c++20",
                "-fsyntax-only",
                "-Wall",
                "-Wextra",
                f"-I{root / 'src'}",
                f"-I{root / 'include'}",
                "-include",
                str(path),
                "-x",
                "c++",
                "/dev/null",
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{path.name}:\n{done.stderr}"


def test_every_source_file_is_built(root):
    """A file that meson does not know would be tested by nobody."""
    listed = (root / "src" / "meson.build").read_text()
    missing = [
        str(path.relative_to(root / "src"))
        for path in (root / "src").rglob("*.cc")
        if str(path.relative_to(root / "src")) not in listed
    ]
    assert missing == []
