"""The shared library as the linker sees it."""

import re
import subprocess


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def declared_functions(root):
    text = re.sub(r"/\*.*?\*/", "", (root / "include" / "dbc.h").read_text(), flags=re.DOTALL)
    names = re.findall(r"^DBC_API\b[^;(]*?\b(\w+)\(", text, flags=re.MULTILINE)
    assert len(names) == len(set(names)) and len(names) > 40
    return set(names)


def exported(library):
    lines = output_of("nm", "-D", "--defined-only", str(library)).splitlines()
    symbols = [(line.split()[-2], line.split()[-1].split("@")[0]) for line in lines]
    return {name for kind, name in symbols if kind != "A"}  # A: the names of symbol versions themselves


def test_the_library_exports_what_the_header_declares_and_nothing_else(root, library):
    assert exported(library) == declared_functions(root)


def test_every_exported_name_has_the_prefix(library):
    assert [name for name in exported(library) if not name.startswith("dbc_")] == []


def test_soname_carries_the_abi_number(root, library):
    number = re.search(r"#define DBC_ABI_VERSION (\d+)", (root / "include" / "dbc.h").read_text())[1]
    dynamic = output_of("readelf", "-dW", str(library))
    assert f"Library soname: [libdbc.so.{number}]" in dynamic


def test_no_relocations_in_code(library):
    assert "TEXTREL" not in output_of("readelf", "-dW", str(library))


def test_dlclose_keeps_the_library(library):
    flags = [line for line in output_of("readelf", "-dW", str(library)).splitlines() if "(FLAGS_1)" in line]
    assert flags and "NODELETE" in flags[0]


def test_the_stack_is_not_executable(library):
    stack = [line for line in output_of("readelf", "-lW", str(library)).splitlines() if "GNU_STACK" in line]
    assert stack and "RWE" not in stack[0]


def test_no_thread_local_destructors(library):
    """They would run after an unload. __cxa_thread_atexit is how C++ asks for one."""
    assert "__cxa_thread_atexit" not in output_of("nm", "-D", "--undefined-only", str(library))
