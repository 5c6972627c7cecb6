"""include/dbc.h compiles without a warning in every standard it promises, twice in one file, and says what is pinned."""

import re
import subprocess

import pytest

STANDARDS = {"c99": "cc", "c11": "cc", "c++17": "c++", "c++20": "c++"}
USE = """
int main(void) {
  dbc_cache *cache = 0;
  (void)cache;
  return dbc_abi_version() == DBC_ABI_VERSION ? 0 : 1;
}
"""

# Numbers that programs have compiled in. A line here is never changed or taken out; new ones are added at the end.
PINNED = {
    "DBC_OK": 0,
    "DBC_NOT_FOUND": 1,
    "DBC_UNCHANGED": 2,
    "DBC_INVALID_ARGUMENT": 16,
    "DBC_CLOSED": 17,
    "DBC_BUSY": 18,
    "DBC_IO": 19,
    "DBC_FULL": 20,
    "DBC_CORRUPT": 21,
    "DBC_VERSION": 22,
    "DBC_FOREIGN": 23,
    "DBC_NO_MEMORY": 24,
    "DBC_BUFFER_TOO_SMALL": 25,
    "DBC_INTERNAL": 26,
    "DBC_MAX_MEMORY_ITEMS": 1,
    "DBC_MAX_MEMORY_SIZE_BYTES": 2,
    "DBC_MAX_DISK_ITEMS": 3,
    "DBC_MAX_DISK_SIZE_BYTES": 4,
    "DBC_MEMORY_TTL_SECONDS": 5,
    "DBC_DISK_TTL_SECONDS": 6,
    "DBC_MAX_ITEM_SIZE_BYTES": 7,
    "DBC_MEMORY_VALUES": 8,
    "DBC_DURABILITY": 9,
    "DBC_BUSY_TIMEOUT_SECONDS": 10,
    "DBC_LOG_LEVEL": 11,
    "DBC_ON_CORRUPT": 12,
    "DBC_TOUCH_DELAY_SECONDS": 13,
    "DBC_FILE_MODE": 14,
    "DBC_WRITE_MODE": 15,
    "DBC_WRITE_BEHIND_ITEMS": 16,
    "DBC_WRITE_BEHIND_SIZE_BYTES": 17,
    "DBC_WRITE_BEHIND_DELAY_SECONDS": 18,
    "DBC_COMPRESSION": 19,
    "DBC_WRITE_THROUGH": 0,
    "DBC_WRITE_BEHIND": 1,
    "DBC_COMPRESSION_NONE": 0,
    "DBC_COMPRESSION_ZSTD": 1,
    "DBC_DURABILITY_NORMAL": 0,
    "DBC_DURABILITY_FULL": 1,
    "DBC_DURABILITY_OFF": 2,
    "DBC_ON_CORRUPT_RESTART": 0,
    "DBC_ON_CORRUPT_FAIL": 1,
    "DBC_LOG_TRACE": 5,
    "DBC_LOG_DEBUG": 10,
    "DBC_LOG_INFO": 20,
    "DBC_LOG_WARNING": 30,
    "DBC_LOG_ERROR": 40,
    "DBC_LOG_OFF": 100,
    "DBC_TEXT": 1,
    "DBC_CHECK_REPAIR": 1,
    "DBC_TIER_NONE": 0,
    "DBC_TIER_MEMORY": 1,
    "DBC_TIER_DISK": 2,
    "DBC_STAT_MEMORY_HITS": 0,
    "DBC_STAT_DISK_HITS": 1,
    "DBC_STAT_MISSES": 2,
    "DBC_STAT_MEMORY_EVICTIONS": 3,
    "DBC_STAT_DISK_EVICTIONS": 4,
    "DBC_STAT_TOTAL_PUTS": 5,
    "DBC_STAT_TOTAL_GETS": 6,
    "DBC_STAT_TOTAL_DELETES": 7,
    "DBC_STAT_CURRENT_MEMORY_ITEMS": 8,
    "DBC_STAT_CURRENT_DISK_ITEMS": 9,
    "DBC_STAT_MEMORY_BYTES": 10,
    "DBC_STAT_DISK_BYTES": 11,
    "DBC_STAT_MEMORY_EXPIRED": 12,
    "DBC_STAT_DISK_EXPIRED": 13,
    "DBC_STAT_DISCARDED": 14,
}
# These move with what is added, so they are no promise.
MOVING = {"DBC_STAT_COUNT"}
CONSTANT = re.compile(r"^\s*(?:typedef enum \w+ \{ )?(DBC_\w+) = \d+|, (DBC_\w+) = \d+", re.MULTILINE)


def compile_and_run(tmp_path, root, standard, source, run=True):
    compiler = STANDARDS[standard]
    file = tmp_path / ("use.c" if compiler == "cc" else "use.cc")
    file.write_text(source)
    flags = [f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{root / 'include'}"]
    output = ["-o", str(tmp_path / "use")] if run else ["-c", "-o", str(tmp_path / "use.o")]
    done = subprocess.run([compiler, *flags, str(file), *output], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if run:
        done = subprocess.run([str(tmp_path / "use")], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("standard", STANDARDS)
def test_header_compiles_twice_without_warnings(tmp_path, root, standard):
    compile_and_run(tmp_path, root, standard, '#include "dbc.h"\n#include "dbc.h"\n' + USE, run=False)


@pytest.mark.parametrize("standard", STANDARDS)
def test_values_are_pinned(tmp_path, root, standard):
    checks = "".join(
        f'  if ((int){name} != {value}) return printf("{name} is %d\\n", (int){name}), 1;\n'
        for name, value in PINNED.items()
    )
    source = '#include "dbc.h"\n#include <stdio.h>\nint main(void) {\n' + checks + "  return 0;\n}\n"
    compile_and_run(tmp_path, root, standard, source)


def test_every_value_is_in_the_table(root):
    text = (root / "include" / "dbc.h").read_text()
    declared = {first or second for first, second in CONSTANT.findall(text)}
    assert "DBC_DURABILITY_FULL" in declared and "DBC_TIER_DISK" in declared
    assert declared - MOVING - set(PINNED) == set()
    assert set(PINNED) - {"DBC_TEXT", "DBC_CHECK_REPAIR"} - declared == set()


def test_versions_agree(root):
    text = (root / "include" / "dbc.h").read_text()
    parts = [re.search(rf"#define DBC_VERSION_{part} (\d+)", text)[1] for part in ("MAJOR", "MINOR", "PATCH")]
    version = ".".join(parts)
    assert f'#define DBC_VERSION_TEXT "{version}"' in text
    assert f"version: '{version}'" in (root / "meson.build").read_text()
    assert f'version = "{version}"' in (root / "bindings" / "python" / "pyproject.toml").read_text()


def test_header_needs_only_the_two_standard_headers(root):
    text = (root / "include" / "dbc.h").read_text()
    assert re.findall(r"#include (.*)", text) == ["<stddef.h>", "<stdint.h>"]
