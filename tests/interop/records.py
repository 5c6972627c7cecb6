"""The record of the typed cases and of the workers, and options as the table gives them. README.md describes both."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Optional

from diskbackedcache import CacheableModel
from pydantic import BaseModel, ConfigDict, create_model


class Address(BaseModel):
    model_config = ConfigDict(frozen=True)

    city: str
    zip: str


@cache
def record_model(version: str) -> type[CacheableModel]:
    """The record's class under that schema version."""
    return create_model(
        "Record",
        __base__=CacheableModel,
        schema_version=(str, version),
        id=(int, ...),
        name=(str, ...),
        tags=(tuple[str, ...], ...),
        score=(Optional[float], ...),
        address=(Optional[Address], ...),
    )


def plain(record: CacheableModel | None) -> dict[str, Any] | None:
    """The record as JSON has it, without the member that only Python writes."""
    return None if record is None else record.model_dump(mode="json", exclude={"schema_version"})


def record_of(key: str, number: int) -> dict[str, Any]:
    """The record that a load writes under that number."""
    return {
        "id": number,
        "name": key,
        "tags": ["load", str(number)],
        "score": number / 2,
        "address": None if number % 2 else {"city": key, "zip": str(number)},
    }


def keyword_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments for a cache; times may be the words "inf" and "nan"."""
    return {name: float(value) if name.endswith("_seconds") else value for name, value in options.items()}
