"""Describes the extension module `diskbackedcache._dbc` to cffi; setup.py compiles it.

The declarations are taken from dbc.h itself, and those of the binding's own calls from native/*.h, so that nothing is
written down twice. What the C compiler then sees are the headers as they are: a declaration that was misread here does
not compile.
"""

import re
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent


def core_directory() -> Path:
    """Where `include` and `src` of the library are: in an sdist a copy beside this file, else the repository."""
    bundled = HERE / "core"
    return bundled if bundled.is_dir() else HERE.parent.parent


def declarations(header: str) -> str:
    """What cffi's parser needs of dbc.h: no comments, no preprocessor lines, no linkage, and statuses as plain ints."""
    numbers = re.findall(r"^#define (DBC_\w+) \d+u?\b", header, flags=re.MULTILINE)
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*$", "", text, flags=re.MULTILINE)
    text = re.sub(r'extern "C" \{', "", text)
    text = re.sub(r"^\}\s*$", "", text, flags=re.MULTILINE)
    text = text.replace("DBC_API ", "")
    # cffi converts an enum result through a slower path than an int; the numbers are the same.
    text = re.sub(r"^dbc_status (?=dbc_)", "int ", text, flags=re.MULTILINE)
    return text + "".join(f"#define {name} ...\n" for name in numbers)


def own_calls(name: str) -> str:
    """The prototypes of the static functions in a header of native/."""
    source = (HERE / "native" / name).read_text(encoding="utf-8")
    return "\n".join(
        f"{match};" for match in re.findall(r"^static ([^{;]*?\))\s*\{", source, flags=re.MULTILINE | re.DOTALL)
    )


ffi = FFI()
ffi.cdef(declarations((core_directory() / "include" / "dbc.h").read_text(encoding="utf-8")))
ffi.cdef("struct dbcpy_line { const char *text; size_t size; int level; ...; };")
ffi.cdef(own_calls("log.h"))
ffi.cdef(own_calls("calls.h"))
ffi.set_source(
    "diskbackedcache._dbc",
    '#include "calls.h"\n#include "log.h"\n#include "ask.h"',
    include_dirs=[str(core_directory() / "include"), str(HERE / "native")],
    # The library is inside the module; nothing of it shall be visible to others in the process.
    define_macros=[("DBC_STATIC", None)],
    libraries=["sqlite3"],
    language="c++",  # links with the C++ driver; this one source stays C
)
