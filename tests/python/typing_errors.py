"""What a type checker shall refuse, one error a line that says so. Never run; test_typing.py has it checked."""

from __future__ import annotations

from diskbackedcache import CacheableModel, DiskBackedCache
from pydantic import BaseModel


class User(CacheableModel):
    schema_version: str = "1.0.0"
    name: str


class Order(CacheableModel):
    schema_version: str = "1.0.0"


class Foreign(BaseModel):
    schema_version: str = "1.0.0"


cache = DiskBackedCache("cache.db", User)
cache.put("k", Order())  # error
cache.put(5, User(name="Ada"))  # error
cache.put_many({"k": Order()})  # error
cache.get("k").name  # error
cache.get(b"k")  # error
cache.get_many([5])  # error
cache.get_stats().nonsense  # error
cache.tier("k") == cache.tear("k")  # error
orders: DiskBackedCache[Order] = cache  # error
DiskBackedCache("cache.db", Foreign)  # error
DiskBackedCache("cache.db", User, durability="maybe")  # error
DiskBackedCache("cache.db", User, compression="zip")  # error
DiskBackedCache("cache.db", User, max_items=5)  # error
DiskBackedCache("cache.db")  # error
