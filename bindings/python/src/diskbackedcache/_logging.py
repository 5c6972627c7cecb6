"""Brings the library's messages to Python's logging, and the level of the logger to the library.

The library drops what is below its level before it makes the message, so logging that is off costs nothing. It has to
hear of every change of the level, then. Asking the logger in each call would cost more than a memory hit; but `logging`
itself tells: on any change that may matter (setLevel of this or the root logger, disable(), a new configuration) it
clears the cache of answers that every logger keeps for isEnabledFor(). The cache put in there passes the new level on
when it is cleared.

In the middle of a call no Python runs. What the call has to say is kept (native/log.h), and given to the logger, on the
same thread, at the end of the method that has made the call.
"""

from __future__ import annotations

import logging
import weakref
from typing import Any, Final

from ._errors import check
from ._native import lib

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

# The owners of all open caches' handles, by id. Weak, so a handle that is told its level here cannot be freed meanwhile.
_owners: Final[dict[int, weakref.ref[Any]]] = {}


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
        # logging's own lock is held here, so this is no moment to deliver what it might say: that waits for the next call.
        level = current_level()
        for reference in list(_owners.values()):
            owner = reference()
            if owner is not None:
                lib.dbc_set_log_level(owner[0], level)


def follow_level(owner: Any) -> None:
    """From now on the cache's level is the logger's, for as long as the owner of the handle lives."""
    key = id(owner)
    _owners[key] = weakref.ref(owner, lambda _: _owners.pop(key, None))
    told = -1
    while told != (level := current_level()):  # again, should it change just between asking and telling
        lib.dbc_set_log_level(owner[0], level)
        told = level


def say(level: int, message: str) -> None:
    """Logs a message of this package's own, as those of the library: at the end of the method."""
    if logger.isEnabledFor(level):
        text = message.encode("utf-8", "backslashreplace")
        lib.dbcpy_say(level, text, len(text))


def set_log(options: Any) -> None:
    """Has the messages of the cache kept, from the present level on."""
    check(lib.dbcpy_set_log(options))
    check(lib.dbc_options_set_u64(options, lib.DBC_LOG_LEVEL, current_level()))


_follows_changes: Final = isinstance(getattr(logger, "_cache", None), dict)
if _follows_changes:
    logger._cache = _TellingCache()  # type: ignore[attr-defined]
