"""Turns the keyword arguments of a cache into the library's options."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from typing import Any, Final

from ._errors import check
from ._native import ffi, lib

MAX_INTEGER: Final = 2**63 - 1  # the library's largest; smaller limits are the library's business

_INTEGERS: Final = {
    "max_memory_items": lib.DBC_MAX_MEMORY_ITEMS,
    "max_memory_size_bytes": lib.DBC_MAX_MEMORY_SIZE_BYTES,
    "max_disk_items": lib.DBC_MAX_DISK_ITEMS,
    "max_disk_size_bytes": lib.DBC_MAX_DISK_SIZE_BYTES,
    "max_item_size_bytes": lib.DBC_MAX_ITEM_SIZE_BYTES,
    "file_mode": lib.DBC_FILE_MODE,
    "write_behind_items": lib.DBC_WRITE_BEHIND_ITEMS,
    "write_behind_size_bytes": lib.DBC_WRITE_BEHIND_SIZE_BYTES,
}
_SECONDS: Final = {
    "memory_ttl_seconds": lib.DBC_MEMORY_TTL_SECONDS,
    "disk_ttl_seconds": lib.DBC_DISK_TTL_SECONDS,
    "busy_timeout_seconds": lib.DBC_BUSY_TIMEOUT_SECONDS,
    "touch_delay_seconds": lib.DBC_TOUCH_DELAY_SECONDS,
    "write_behind_delay_seconds": lib.DBC_WRITE_BEHIND_DELAY_SECONDS,
}
_WORDS: Final[dict[str, tuple[int, dict[str | None, int]]]] = {
    "durability": (
        lib.DBC_DURABILITY,
        {
            "normal": lib.DBC_DURABILITY_NORMAL,
            "full": lib.DBC_DURABILITY_FULL,
            "off": lib.DBC_DURABILITY_OFF,
        },
    ),
    "write_mode": (lib.DBC_WRITE_MODE, {"through": lib.DBC_WRITE_THROUGH, "behind": lib.DBC_WRITE_BEHIND}),
    "on_corrupt": (
        lib.DBC_ON_CORRUPT,
        {"restart": lib.DBC_ON_CORRUPT_RESTART, "fail": lib.DBC_ON_CORRUPT_FAIL},
    ),
    "compression": (
        lib.DBC_COMPRESSION,
        {None: lib.DBC_COMPRESSION_NONE, "zstd": lib.DBC_COMPRESSION_ZSTD},
    ),
}


def _shown(number: int) -> str:
    """The number for a message; Python refuses to write very long ones."""
    return str(number) if number.bit_length() <= 256 else f"a number of {number.bit_length()} bits"


def _integer(name: str, value: object) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an int, got {type(value).__name__}") from None
    if number < 0:
        raise ValueError(f"{name} must not be negative, got {_shown(number)}")
    if number > MAX_INTEGER:
        raise ValueError(f"{name} must be at most {MAX_INTEGER}, got {_shown(number)}")
    return number


def _seconds(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, got {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name} is out of range, got {_shown(value) if isinstance(value, int) else value!r}; use float('inf') for never") from None


def _word(name: str, value: object, words: dict[str | None, int]) -> int:
    if not isinstance(value, str) and not (value is None and None in words):
        raise TypeError(f"{name} must be a str{' or None' if None in words else ''}, got {type(value).__name__}")
    if value not in words:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, words))}, got {value!r}")
    return words[value]


def make_options(values: Mapping[str, object]) -> Any:
    """The owner of a dbc_options with everything in `values`. Raises TypeError or ValueError that names the option."""
    owner = ffi.gc(ffi.new("dbc_options **"), lib.dbcpy_options_free)
    if not lib.dbcpy_options_new(owner):
        raise MemoryError("No memory for the options of a cache")
    options = owner[0]
    for name, value in values.items():
        if name in _INTEGERS:
            check(lib.dbc_options_set_u64(options, _INTEGERS[name], _integer(name, value)))
        elif name in _SECONDS:
            check(lib.dbc_options_set_double(options, _SECONDS[name], _seconds(name, value)))
        else:
            option, words = _WORDS[name]
            check(lib.dbc_options_set_u64(options, option, _word(name, value, words)))
    return owner


def encode_path(db_path: str | os.PathLike[str]) -> bytes:
    """The path as the system's bytes. Raises TypeError or ValueError."""
    if not isinstance(db_path, (str, os.PathLike)):
        raise TypeError(f"db_path must be a str or os.PathLike, got {type(db_path).__name__}")
    try:
        path = os.fsencode(db_path)
    except UnicodeEncodeError:
        raise ValueError(f"db_path must be a valid file name, got {os.fspath(db_path)!r}") from None
    if not path:
        raise ValueError("db_path must not be empty")
    if b"\0" in path:
        raise ValueError("db_path must not contain U+0000")
    return path
