"""What native/ask.h does, through cffi: for Pythons that are not CPython."""

from __future__ import annotations

import logging
from struct import Struct, iter_unpack
from typing import Any, Final

from ._dbc import ffi, lib

REPORT_SIZE: Final = 512  # how many versions are fetched at once
_MAX_KEY_LENGTH: Final = 256
_LAST_STATUS: Final = 4095  # of dbcpy_get and dbcpy_ask: larger answers are addresses
_QUESTION: Final = Struct("PNQ")  # dbcpy_question in native/calls.h: the handle, the key's size, the version held


def _question(address: int, key: bytes, version: int) -> bytes:
    return _QUESTION.pack(address, len(key), version) + key


def questions(address: int, keys: bytes, sizes: bytes, versions: bytes) -> list[bytes]:
    made: list[bytes] = []
    start = 0
    for (size,), (version,) in zip(iter_unpack("N", sizes), iter_unpack("Q", versions)):
        made.append(_question(address, keys[start : start + size], version))
        start += size
    return made


def fetch_dropped(handle: Any, buffer: Any, unheard: list[int]) -> None:
    """Appends what was dropped; 0 stands for "everything held must go". The buffer has room for REPORT_SIZE."""
    stored = REPORT_SIZE
    while stored == REPORT_SIZE:
        stored = lib.dbcpy_dropped(handle, buffer, REPORT_SIZE)
        if stored < 0:
            unheard.append(0)
            stored = -1 - stored
        if stored:
            unheard += ffi.unpack(buffer, stored)


def encode(key: object) -> bytes | None:
    if not isinstance(key, str) or not 1 <= len(key) <= _MAX_KEY_LENGTH or "\0" in key:
        return None
    try:
        return key.encode()
    except UnicodeEncodeError:
        return None


def _take(answer: int, address: int, key: bytes) -> int | tuple[int, bytes, bytes]:
    if answer <= _LAST_STATUS:
        return answer
    value = ffi.cast("dbc_value *", answer)
    try:
        version = lib.dbc_value_version(value)
        return version, ffi.unpack(lib.dbcpy_bytes(value), lib.dbc_value_size(value)), _question(address, key, version)
    finally:
        lib.dbc_value_release(value)


def ask(asked: bytes) -> int | tuple[int, bytes, bytes]:
    answer = lib.dbcpy_ask(asked)
    if answer == lib.DBC_UNCHANGED and lib.dbcpy_has_lines():
        return -answer  # type: ignore[no-any-return]
    address, _, _ = _QUESTION.unpack_from(asked)
    return _take(answer, address, asked[_QUESTION.size :])


def get(
    address: int, key: bytes, held_version: int, timestamp: float, unheard: list[int] | None
) -> int | tuple[int, bytes, bytes]:
    cache = ffi.cast("dbc_cache *", address)
    answer = lib.dbcpy_get(cache, key, len(key), held_version, timestamp)
    if answer > _LAST_STATUS and unheard is not None:
        fetch_dropped(cache, ffi.new("uint64_t[]", REPORT_SIZE), unheard)
    return _take(answer, address, key)


def put(
    address: int, key: bytes, value: bytes, timestamp: float, unheard: list[int] | None
) -> int | tuple[int, bytes]:
    cache = ffi.cast("dbc_cache *", address)
    version = lib.dbcpy_put(cache, key, len(key), value, len(value), timestamp)
    if version < 0:
        return -version  # type: ignore[no-any-return]
    if unheard is not None:
        fetch_dropped(cache, ffi.new("uint64_t[]", REPORT_SIZE), unheard)
    return version, _question(address, key, version)


def rows(address: int) -> list[bytes | bool | None] | None:
    result = ffi.cast("dbc_result *", address)
    count = lib.dbc_result_count(result)
    statuses, sizes = lib.dbc_result_statuses(result), lib.dbc_result_sizes(result)
    data = ffi.cast("char **", lib.dbc_result_data(result))
    if all(statuses[row] == lib.DBC_UNCHANGED for row in range(count)):
        return None
    return [
        ffi.unpack(data[row], sizes[row])
        if statuses[row] == lib.DBC_OK
        else (True if statuses[row] == lib.DBC_UNCHANGED else None)
        for row in range(count)
    ]


def deliver(logger: logging.Logger) -> None:
    if not lib.dbcpy_has_lines():
        return
    failure: Exception | None = None
    try:
        lib.dbcpy_begin_delivery()
        while (line := lib.dbcpy_take_line()) != ffi.NULL:
            level, text = line.level, ffi.unpack(line.text, line.size)
            lib.dbcpy_free_line(line)
            try:
                logger.log(level, text.decode("utf-8", "replace"))
            except Exception as e:
                failure = failure or e
    finally:
        lib.dbcpy_end_delivery()
    if failure is not None:
        raise failure
