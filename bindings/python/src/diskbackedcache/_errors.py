"""The exceptions, and how a status of the library becomes one of them.

A bad argument is a ValueError or a TypeError, as everywhere in Python; all else that can go wrong is a CacheError. A
miss is no error.
"""

from __future__ import annotations

from ._native import ffi, last_error, lib


class CacheError(Exception):
    """The cache could not do what it was asked to. Nothing was changed, in neither tier.

    `code` is the number of the library's status and `name` its symbolic name; both are stable.
    """

    def __init__(self, message: str, code: int = lib.DBC_INTERNAL) -> None:
        super().__init__(message)
        self.code = code

    @property
    def name(self) -> str:
        """The symbolic name of the code, for instance "DBC_BUSY"."""
        text: bytes = ffi.string(lib.dbc_status_name(self.code))
        return text.decode()

    def __reduce__(self) -> tuple[type[CacheError], tuple[str, int]]:
        return type(self), (str(self), self.code)


class CacheClosedError(CacheError):
    """The cache was closed."""


class CacheBusyError(CacheError):
    """Others kept the file busy for longer than `busy_timeout_seconds`. Try again."""


class CacheIOError(CacheError):
    """The operating system refused: permissions, a directory in place of a file, a failing device."""


class CacheFullError(CacheError):
    """There is no space left on the device or within the quota."""


class CacheCorruptError(CacheError):
    """The file is damaged or no database, and the cache was opened with `on_corrupt="fail"`."""


class CacheVersionError(CacheError):
    """The file was written by a newer release in a format that this one does not know, or a process with another release
    has it open. It was left untouched."""


class CacheForeignError(CacheError):
    """The file is a sound SQLite database of somebody else. It was left untouched."""


_CLASSES: dict[int, type[CacheError]] = {
    lib.DBC_CLOSED: CacheClosedError,
    lib.DBC_BUSY: CacheBusyError,
    lib.DBC_IO: CacheIOError,
    lib.DBC_FULL: CacheFullError,
    lib.DBC_CORRUPT: CacheCorruptError,
    lib.DBC_VERSION: CacheVersionError,
    lib.DBC_FOREIGN: CacheForeignError,
}


def error(status: int) -> Exception:
    """The exception for the status that a call on this thread has just given."""
    message = last_error()
    if status == lib.DBC_INVALID_ARGUMENT:
        return ValueError(message)
    if status == lib.DBC_NO_MEMORY:
        return MemoryError(message)
    return _CLASSES.get(status, CacheError)(message, status)


def check(status: int) -> None:
    """Raises what belongs to the status, unless that is DBC_OK."""
    if status != lib.DBC_OK:
        raise error(status)


def check_number(answer: int) -> int:
    """Passes on what a dbcpy_ function gave that tells errors by negative numbers."""
    if answer < 0:
        raise error(-answer)
    return answer
