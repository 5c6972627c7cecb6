"""The compiled library, checked to be the one this package was written for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from typing import Any, Final

from . import _dbc
from ._dbc import ffi as ffi
from ._dbc import lib as lib

# What dbcpy_* functions take for "no timestamp given": see native/calls.h.
NOW: Final = float("nan")

LIBRARY_VERSION: Final[str] = ffi.string(lib.dbc_version_text()).decode()

# array typecodes of C's size_t and uint64_t, so that batches can be packed without copying.
SIZE_ARRAY: Final = "Q" if ffi.sizeof("size_t") == 8 else "I"
VERSION_ARRAY: Final = "Q"


def last_error() -> str:
    """The message of the last error on this thread."""
    message: bytes = ffi.string(lib.dbc_last_error())
    return message.decode("utf-8", "replace")


def as_pointer(address: int, kind: str) -> Any:
    """The C pointer that came as a number."""
    return ffi.cast(kind, address)


def _load_ask_module() -> Any:
    """What is in native/ask.h: a module of its own in the file of _dbc."""
    loader = ExtensionFileLoader("diskbackedcache._ask", _dbc.__file__)
    return loader.create_module(ModuleSpec(loader.name, loader, origin=_dbc.__file__))


def take_through_cffi(address: int) -> tuple[int, bytes]:
    """What is in the dbc_value that came as a number, which is released: its version and its bytes."""
    value = as_pointer(address, "dbc_value *")
    try:
        return lib.dbc_value_version(value), ffi.unpack(lib.dbcpy_bytes(value), lib.dbc_value_size(value))
    finally:
        lib.dbc_value_release(value)


_module: Final = _load_ask_module() if sys.implementation.name == "cpython" else None

# Takes a dbcpy_question, as bytes: see native/calls.h.
ask: Final[Callable[[bytes], int]] = lib.dbcpy_ask if _module is None else _module.ask

take: Final[Callable[[int], tuple[int, bytes]]] = take_through_cffi if _module is None else _module.take
