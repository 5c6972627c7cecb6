"""Brings the library's messages to Python's logging, and the level of the logger to the library.

The library drops what is below its level before it makes the message, so logging that is off costs nothing. It has to
hear of every change of the level, then. Asking the logger in each call would cost more than a memory hit; but `logging`
itself tells: on any change that may matter (setLevel of this or the root logger, disable(), a new configuration) it
clears the cache of answers that every logger keeps for isEnabledFor(). The cache put in there passes the new level on
when it is cleared.
"""

from __future__ import annotations

import _thread
import logging
import sys
import threading
import traceback
import weakref
from types import TracebackType
from typing import Any, Final

from ._native import ffi, lib

TRACE: Final[int] = lib.DBC_LOG_TRACE
logging.addLevelName(TRACE, "TRACE")

logger: Final = logging.getLogger("diskbackedcache")

# The levels that the library knows, in order.
_LEVELS: Final[tuple[int, ...]] = (
    lib.DBC_LOG_TRACE,
    lib.DBC_LOG_DEBUG,
    lib.DBC_LOG_INFO,
    lib.DBC_LOG_WARNING,
    lib.DBC_LOG_ERROR,
)

_OFF: Final[int] = lib.DBC_LOG_OFF

# The handles of all open caches, by id. Weak, so a handle that is asked for its level here cannot be freed meanwhile.
_handles: Final[dict[int, weakref.ref[Any]]] = {}

_here = threading.local()  # .busy: this thread is inside of a log handler


def current_level() -> int:
    """The library's level for what the logger now lets through."""
    if not _follows_changes:
        return TRACE  # everything comes up, and the logger drops it
    level = max(logger.getEffectiveLevel(), logger.manager.disable + 1)
    return next((known for known in _LEVELS if known >= level), _OFF)


class _TellingCache(dict[int, bool]):
    """The cache of isEnabledFor() answers, which passes the level on whenever it is cleared."""

    def clear(self) -> None:
        super().clear()
        # logging's own lock is held here. dbc_set_log_level never logs, so nothing can wait for it in turn.
        level = current_level()
        for reference in list(_handles.values()):
            handle = reference()
            if handle is not None:
                lib.dbc_set_log_level(handle, level)


def follow_level(handle: Any) -> None:
    """From now on the cache's level is the logger's, for as long as the handle lives."""
    key = id(handle)
    _handles[key] = weakref.ref(handle, lambda _: _handles.pop(key, None))
    told = -1
    while told != (level := current_level()):  # again, should it change just between asking and telling
        lib.dbc_set_log_level(handle, level)
        told = level


def inside_handler() -> bool:
    """Is this thread inside of a log handler that the library has called?"""
    return getattr(_here, "busy", False)


def _on_error(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    """Deals with what a handler has raised, which cannot be raised through the library."""
    if issubclass(kind, KeyboardInterrupt):
        # A thread of its own asks for the interrupt again, a moment later. Asked for from here, it would come at once. (Where
        # SIGINT is ignored, so is this.)
        _thread.start_new_thread(_thread.interrupt_main, ())
    elif logging.raiseExceptions and sys.stderr:  # as logging does with errors in handlers
        sys.stderr.write("--- Logging error ---\n")
        traceback.print_exception(kind, value, trace, file=sys.stderr)


def say(level: int, message: str, *arguments: object) -> None:
    """Logs a message of this package's own, as those of the library: not for a handler that uses the cache."""
    if inside_handler():
        return
    try:
        _here.busy = True
        logger.log(level, message, *arguments)
    finally:
        _here.busy = False


@ffi.def_extern(onerror=_on_error)  # type: ignore[untyped-decorator]
def dbcpy_log(_context: Any, level: int, message: Any, size: int) -> None:
    # A handler that uses the cache makes messages of its own; handling those too would never end.
    if inside_handler():
        return
    try:
        _here.busy = True
        logger.log(level, ffi.unpack(message, size).decode("utf-8", "replace"))
    finally:
        _here.busy = False


def set_log(options: Any) -> None:
    """Gives the options the callback and the present level."""
    lib.dbc_options_set_log(options, lib.dbcpy_log, ffi.NULL, ffi.NULL)
    lib.dbc_options_set_u64(options, lib.DBC_LOG_LEVEL, current_level())


_follows_changes: Final = isinstance(getattr(logger, "_cache", None), dict)
if _follows_changes:
    logger._cache = _TellingCache()  # type: ignore[attr-defined]
