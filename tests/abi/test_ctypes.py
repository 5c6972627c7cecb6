"""A client in a language that knows only the shared library and the words of the header."""

import ctypes
import subprocess
import sys

CLIENT = """
import ctypes, sys
dbc = ctypes.CDLL(sys.argv[1])
dbc.dbc_value_data.restype, dbc.dbc_value_data.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
dbc.dbc_value_size.restype, dbc.dbc_value_size.argtypes = ctypes.c_size_t, [ctypes.c_void_p]
dbc.dbc_last_error.restype = ctypes.c_char_p
cache, value, size_t = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t
assert dbc.dbc_open(b"cache.db", b"1.0.0", None, ctypes.byref(cache)) == 0, dbc.dbc_last_error()
assert dbc.dbc_put(cache, b"user:1", size_t(6), b"Ada", size_t(3), 0, None, None) == 0, dbc.dbc_last_error()
assert dbc.dbc_get(cache, b"user:1", size_t(6), None, ctypes.byref(value)) == 0, dbc.dbc_last_error()
print(ctypes.string_at(dbc.dbc_value_data(value), dbc.dbc_value_size(value)).decode())
dbc.dbc_value_release(value), dbc.dbc_free(cache)
"""


def test_ten_lines_of_ctypes(library, tmp_path):
    done = subprocess.run([sys.executable, "-c", CLIENT, str(library)], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "Ada\n"), done.stderr


def test_header_and_library_agree_on_the_versions(root, library):
    dbc = ctypes.CDLL(str(library))
    dbc.dbc_version_text.restype = ctypes.c_char_p
    header = (root / "include" / "dbc.h").read_text()
    assert f'#define DBC_VERSION_TEXT "{dbc.dbc_version_text().decode()}"' in header
    assert f"#define DBC_ABI_VERSION {dbc.dbc_abi_version()}\n" in header
