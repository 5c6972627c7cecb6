"""The models and small helpers that the tests share, also with the processes that they start."""

from __future__ import annotations

from typing import Any

from diskbackedcache import CacheableModel, DiskBackedCache


class User(CacheableModel):
    schema_version: str = "1.0.0"
    name: str
    email: str


class Order(CacheableModel):
    schema_version: str = "1.0.0"
    number: int


class Blob(CacheableModel):
    """A model whose size is known: that of the body and OVERHEAD bytes."""

    schema_version: str = "1"
    body: str = ""


OVERHEAD = len('{"schema_version":"1","body":""}')

ADA = User(name="Ada", email="ada@example.org")
BOB = User(name="Bob", email="bob@example.org")


def blob(size: int, fill: str = "x") -> Blob:
    """A Blob that takes exactly so many bytes."""
    assert size >= OVERHEAD
    return Blob(body=fill * (size - OVERHEAD))


def blobs(path: Any, **options: Any) -> DiskBackedCache[Blob]:
    return DiskBackedCache(path, Blob, **options)


def users(path: Any, **options: Any) -> DiskBackedCache[User]:
    return DiskBackedCache(path, User, **options)
