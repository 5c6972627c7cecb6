"""Series of samples, one a repetition, so that two of them can be compared repetition by repetition."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any


@dataclass
class Run:
    """What one benchmark is given, and what it leaves."""

    directory: Path
    repetitions: int
    scale: float
    series: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)

    def scaled(self, number: int) -> int:
        return max(1, int(number * self.scale))

    def repeat(self) -> Iterator[int]:
        for repetition in range(self.repetitions):
            gc.collect()
            gc.freeze()  # what was made before is no work for the collector during what is measured
            yield repetition

    def record(self, name: str, sample: float, unit: str = "us") -> None:
        self.series.setdefault(name, {"unit": unit, "samples": []})["samples"].append(sample)

    def each_key(self, name: str, call: Callable[[str], Any], keys: Sequence[str]) -> None:
        """Records the mean of call(key). The loop is the same for all who are compared."""
        start = perf_counter()
        for key in keys:
            call(key)
        self.record(name, (perf_counter() - start) * 1e6 / len(keys))

    def each_pair(self, name: str, call: Callable[[str, Any], Any], pairs: Sequence[tuple[str, Any]]) -> None:
        start = perf_counter()
        for key, value in pairs:
            call(key, value)
        self.record(name, (perf_counter() - start) * 1e6 / len(pairs))

    def once(self, name: str, call: Callable[[], Any], items: int = 1) -> None:
        start = perf_counter()
        call()
        self.record(name, (perf_counter() - start) * 1e6 / items)

    def document(self) -> str:
        return json.dumps({"series": self.series, "facts": self.facts, "unavailable": self.unavailable})


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
