"""A two-tier cache for Pydantic models: memory over one SQLite file.

from diskbackedcache import CacheableModel, DiskBackedCache

class User(CacheableModel):
    schema_version: str = "1.0.0"
    name: str

with DiskBackedCache("cache/users.db", User) as cache:
    cache.put("user:1", User(name="Ada"))
    cache.get("user:1")
"""

from ._cache import CheckResult, DiskBackedCache
from ._errors import (
    CacheBusyError,
    CacheClosedError,
    CacheCorruptError,
    CacheError,
    CacheForeignError,
    CacheFullError,
    CacheIOError,
    CacheVersionError,
)
from ._logging import TRACE
from ._model import CacheableModel
from ._native import LIBRARY_VERSION
from ._stats import CacheStats

__version__ = LIBRARY_VERSION

__all__ = [
    "TRACE",
    "CacheBusyError",
    "CacheClosedError",
    "CacheCorruptError",
    "CacheError",
    "CacheForeignError",
    "CacheFullError",
    "CacheIOError",
    "CacheStats",
    "CacheVersionError",
    "CacheableModel",
    "CheckResult",
    "DiskBackedCache",
]
