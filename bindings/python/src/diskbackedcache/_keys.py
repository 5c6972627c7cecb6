"""Checks keys and timestamps, and brings them into the form that the library takes."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from ._native import NOW, SIZE_ARRAY

MAX_KEY_LENGTH: Final = 256


def encode_key(key: str) -> bytes:
    """The key's UTF-8. Raises TypeError or ValueError."""
    if not isinstance(key, str):
        raise TypeError(f"Key must be a string, got {type(key).__name__}")
    key = exact_str(key)
    if not key:
        raise ValueError("Key cannot be empty")
    if len(key) > MAX_KEY_LENGTH:
        raise ValueError(f"Key length {len(key)} exceeds maximum of {MAX_KEY_LENGTH} characters")
    if "\0" in key:
        raise ValueError("Key must not contain U+0000")
    try:
        return key.encode()
    except UnicodeEncodeError as e:
        raise ValueError(f"Key must be valid Unicode text, but has a lone surrogate at position {e.start}") from None


def exact_str(key: str) -> str:
    """The key as a plain str: a subclass might compare or hash in its own way."""
    return key if type(key) is str else str.__str__(key)


def exact_strs(keys: list[str]) -> list[str]:
    """The same for a batch; what is no str at all stays, to be refused later."""
    if set(map(type, keys)) <= {str}:
        return keys
    return [exact_str(key) if isinstance(key, str) else key for key in keys]


def key_list(keys: Iterable[str]) -> list[str]:
    """The keys of a batch. A single str is an iterable of str too, but never what was meant."""
    if isinstance(keys, (str, bytes)):
        raise TypeError(f"keys must be an iterable of strings, got a single {type(keys).__name__}")
    if not isinstance(keys, Iterable):
        raise TypeError(f"keys must be an iterable of strings, got {type(keys).__name__}")
    return exact_strs(list(keys))


def pack_keys(keys: Sequence[str]) -> tuple[bytes, array[int]]:
    """All keys in one block, and the size of each in bytes. Raises what encode_key raises for the first bad one."""
    if keys:
        # Plain ASCII, nearly always, needs no look at single keys: every check runs over the whole batch at C's speed.
        try:
            block = "".join(keys)
            lengths = array(SIZE_ARRAY, map(len, keys))
        except TypeError:
            pass
        else:
            if block.isascii() and "\0" not in block and min(lengths) > 0 and max(lengths) <= MAX_KEY_LENGTH:
                return block.encode(), lengths
    encoded = [encode_key(key) for key in keys]
    return b"".join(encoded), array(SIZE_ARRAY, map(len, encoded))


def check_timestamp(timestamp: float | None) -> float:
    """The timestamp as dbcpy_ functions take it: None becomes NOW. Raises TypeError or ValueError."""
    if timestamp is None:
        return NOW
    if isinstance(timestamp, bool) or not isinstance(timestamp, (int, float)):
        raise TypeError(f"timestamp must be a number of seconds, got {type(timestamp).__name__}")
    try:
        seconds = float(timestamp)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise ValueError(f"timestamp must be finite, got {seconds}")
    return seconds
