"""Which objects are cached, and which keys are asked for. Made before anything is measured."""

from __future__ import annotations

import random
import string
from bisect import bisect
from itertools import accumulate

from diskbackedcache import CacheableModel

ITEMS = 100_000
HOT_ITEMS = 1000
BATCH = 1000
SKEW = 0.99
VALUE_SIZE = 512

_LETTERS = string.ascii_letters + string.digits


class Record(CacheableModel):
    schema_version: str = "1"
    number: int
    name: str
    email: str
    active: bool
    score: float
    tags: tuple[str, ...]
    text: str


def key_of(number: int) -> str:
    """Numbers that follow each other give keys far apart, as the callers' keys are."""
    return f"key:{number * 0x9E3779B97F4A7C15 & (1 << 44) - 1:014d}"


def keys_of(first: int, count: int) -> list[str]:
    return [key_of(number) for number in range(first, first + count)]


def _record(generator: random.Random, text: str) -> Record:
    number = generator.randrange(100_000, 1_000_000)
    return Record(
        number=number,
        name=f"User {number}",
        email=f"user{number}@example.org",
        active=True,
        score=generator.randrange(1000) / 8 + 1000.0,
        tags=("cache", "memory", "disk"),
        text=text,
    )


def record(seed: int) -> Record:
    """One whose JSON has VALUE_SIZE bytes."""
    generator = random.Random(seed)
    state = generator.getstate()
    rest = VALUE_SIZE - len(_record(generator, "").model_dump_json())
    generator.setstate(state)
    made = _record(generator, "".join(generator.choices(_LETTERS, k=rest)))
    return made.model_copy(update={"text": made.text[: len(made.text) + VALUE_SIZE - len(made.model_dump_json())]})


def records(count: int) -> list[Record]:
    return [record(seed) for seed in range(count)]


def uniform(items: int, count: int, seed: int) -> list[int]:
    generator = random.Random(seed)
    return [generator.randrange(items) for _ in range(count)]


def zipf(items: int, count: int, seed: int) -> list[int]:
    generator = random.Random(seed)
    cumulative = list(accumulate(1 / rank**SKEW for rank in range(1, items + 1)))
    return [bisect(cumulative, generator.random() * cumulative[-1]) for _ in range(count)]
