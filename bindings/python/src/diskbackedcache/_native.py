"""The compiled library, which is a part of this package, and what is called most."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from typing import Any, Final, Optional, Union

from . import _cffi_calls, _dbc
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


_native: Final[Any] = _load_ask_module() if sys.implementation.name == "cpython" else _cffi_calls

# What a get says: a status, or the version and the bytes of a value, and the question for later.
Answer = Union[int, tuple[int, bytes, bytes]]  # evaluated, also by Python 3.9
# What a put says: the status of an error, or the version and the question for later.
PutAnswer = Union[int, tuple[int, bytes]]
# Where get and put leave the versions that were dropped (see _objects.py); None: nobody asks for them.
Unheard = Optional[list[int]]

#: asks the question of an object that is held: is it current? -DBC_UNCHANGED: it is, and there is something to deliver()
ask: Final[Callable[[bytes], Answer]] = _native.ask
#: a get of a key, as bytes: the cache's address, the key, the version held, the timestamp
get: Final[Callable[[int, bytes, int, float, Unheard], Answer]] = _native.get
#: a put: the cache's address, the key, the value, the timestamp
put: Final[Callable[[int, bytes, bytes, float, Unheard], PutAnswer]] = _native.put
#: the questions of a batch: the cache's address, and all keys, their sizes and the versions, packed
questions: Final[Callable[[int, bytes, bytes, bytes], list[bytes]]] = _native.questions
#: the rows of a dbc_result at that address: the bytes of a value, True for "unchanged", None for a miss; None when all are
#: unchanged
rows: Final[Callable[[int], "list[bytes | bool | None] | None"]] = _native.rows
#: a key's UTF-8, or None for what is no key
encode: Final[Callable[[object], Optional[bytes]]] = _native.encode
#: gives the lines of log that calls of this thread have left to the logger: after every call that may log
deliver: Final[Callable[[logging.Logger], None]] = _native.deliver
