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


def _load_ask() -> Callable[[bytes], int]:
    """The function of native/ask.h, which is a module of its own in the file of _dbc."""
    loader = ExtensionFileLoader("diskbackedcache._ask", _dbc.__file__)
    module: Any = loader.create_module(ModuleSpec(loader.name, loader, origin=_dbc.__file__))
    function: Callable[[bytes], int] = module.ask
    return function


# Takes a dbcpy_question, as bytes: see native/calls.h.
ask: Final[Callable[[bytes], int]] = _load_ask() if sys.implementation.name == "cpython" else lib.dbcpy_ask
