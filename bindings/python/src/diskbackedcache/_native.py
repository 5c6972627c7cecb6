"""The compiled library, checked to be the one this package was written for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from typing import Any, Final, Union

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


def _load_ask_module() -> Any:
    """What is in native/ask.h: a module of its own in the file of _dbc."""
    loader = ExtensionFileLoader("diskbackedcache._ask", _dbc.__file__)
    return loader.create_module(ModuleSpec(loader.name, loader, origin=_dbc.__file__))


# What a get says: a status, or the version and the bytes of a value.
Answer = Union[int, tuple[int, bytes]]  # evaluated, also by Python 3.9

_LAST_STATUS: Final = 4095  # of dbcpy_get and dbcpy_ask: larger answers are addresses


def _take(answer: int) -> Answer:
    if answer <= _LAST_STATUS:
        return answer
    value = ffi.cast("dbc_value *", answer)
    try:
        return lib.dbc_value_version(value), ffi.unpack(lib.dbcpy_bytes(value), lib.dbc_value_size(value))
    finally:
        lib.dbc_value_release(value)


def ask_through_cffi(question: bytes) -> Answer:
    """What a get of the dbcpy_question, as bytes, says now: see native/calls.h."""
    return _take(lib.dbcpy_ask(question))


def get_through_cffi(address: int, key: bytes, held_version: int, timestamp: float) -> Answer:
    """The same of a key, at that time, in the cache at that address."""
    return _take(lib.dbcpy_get(ffi.cast("dbc_cache *", address), key, len(key), held_version, timestamp))


_module: Final = _load_ask_module() if sys.implementation.name == "cpython" else None

ask: Final[Callable[[bytes], Answer]] = ask_through_cffi if _module is None else _module.ask
get: Final[Callable[[int, bytes, int, float], Answer]] = get_through_cffi if _module is None else _module.get
