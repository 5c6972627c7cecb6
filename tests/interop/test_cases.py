"""Runs the table of behaviours (cases.json; README.md says what it means) against the public Python binding."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from diskbackedcache import CacheableModel, CacheError, DiskBackedCache
from pydantic import create_model, model_serializer, model_validator
from records import keyword_options, plain, record_model

HERE = Path(__file__).resolve().parent
FEATURES = {"objects"}
TABLE = json.loads((HERE / "cases.json").read_text())
CASES = [case for case in TABLE["cases"] if FEATURES.issuperset(case.get("needs", []))]


class Integer(CacheableModel):
    """Without the feature "bytes" all values are decimal integers, which have the same size as JSON."""

    number: int

    @model_serializer
    def _to_number(self) -> int:
        return self.number

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, data: Any) -> Any:
        return {"number": data} if isinstance(data, int) else data


@cache
def integer_model(version: str) -> type[CacheableModel]:
    return create_model("Integer", __base__=Integer, schema_version=(str, version))


def text_of(text: Any) -> str:
    """A key or a value that is no record: a text, {"repeat", "times"} or {"hex"}."""
    if isinstance(text, str):
        return text
    if "hex" in text:
        return bytes.fromhex(text["hex"]).decode()
    return str(text["repeat"] * text["times"])


def status_of(error: Exception) -> str:
    return "DBC_INVALID_ARGUMENT" if isinstance(error, ValueError) else error.name  # type: ignore[attr-defined]


class Members(dict[str, Any]):
    """Whoever uses a member pops it; what is left over in the end nobody knew."""

    def check_none_left(self) -> None:
        assert not self, f"members this runner does not know: {self}"


class CaseRun:
    def __init__(self, case: dict[str, Any], folder: Path) -> None:
        self.case = case
        self.folder = folder
        self.typed = "objects" in case.get("needs", [])
        self.handles: dict[str, DiskBackedCache[Any]] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.objects: dict[str, Any] = {}

    def run(self) -> None:
        if self.case.get("opened", True):
            self.step({"op": "open"})
        for number, step in enumerate(self.case["steps"], start=1):
            try:
                self.step(step)
            except Exception as error:
                raise AssertionError(f"step {number}, {json.dumps(step)}: {error!r}") from error
        self.close()

    def close(self) -> None:
        for handle in self.handles.values():
            handle.close()

    # ---- Values.

    def model(self, handle: str) -> Any:
        version = text_of(self.settings[handle]["schema_version"])
        return record_model(version) if self.typed else integer_model(version)

    def value(self, given: Any, handle: str) -> Any:
        """What Python puts for a value of the table."""
        model = self.model(handle)
        if self.typed:
            return model(**given)
        assert str(int(text_of(given))) == text_of(given), "a value that needs the feature bytes"
        return model(number=int(text_of(given)))

    def given(self, value: Any) -> Any:
        """A value of Python's, as the table gives it."""
        if value is None:
            return None
        return plain(value) if self.typed else str(value.number)

    def wanted(self, value: Any) -> Any:
        return value if self.typed or value is None else text_of(value)

    # ---- Steps.

    def path(self, path: str) -> str:
        return path if path == ":memory:" else str(self.folder / path)

    def open(self, handle: str) -> None:
        settings = self.settings[handle]
        self.handles[handle] = DiskBackedCache(
            self.path(settings["path"]), self.model(handle), **keyword_options(settings["options"])
        )

    def step(self, given: dict[str, Any]) -> None:
        step = Members(given)
        expect = Members(step.pop("expect", {}))
        status = expect.pop("status", "DBC_OK")
        is_miss = status == "DBC_NOT_FOUND"
        message, part = expect.pop("error", None), expect.pop("error_part", "")
        operation: Callable[[Members, Members, bool], None] = getattr(self, "do_" + step.pop("op"))
        if status in ("DBC_OK", "DBC_NOT_FOUND"):
            assert message is None and part == ""
            operation(step, expect, is_miss)
        else:
            with pytest.raises((ValueError, CacheError)) as caught:
                operation(step, expect, is_miss)
            assert status_of(caught.value) == status
            assert message is None or str(caught.value) == message
            assert part in str(caught.value) != ""
        step.check_none_left()
        expect.check_none_left()

    def do_open(self, step: Members, expect: Members, is_miss: bool) -> None:
        handle = step.pop("handle", "a")
        assert handle not in self.handles
        defaults = {"path": "cache.db", "schema_version": "1", "options": {}}
        self.settings[handle] = {
            name: step.pop(name, self.case.get(name, default)) for name, default in defaults.items()
        }
        self.open(handle)

    def do_reopen(self, step: Members, expect: Members, is_miss: bool) -> None:
        handle = step.pop("handle", "a")
        self.handles.pop(handle).close()
        for name in ("schema_version", "options"):
            self.settings[handle][name] = step.pop(name, self.settings[handle][name])
        self.open(handle)

    def do_sql(self, step: Members, expect: Members, is_miss: bool) -> None:
        path = self.folder / step.pop("path", self.case.get("path", "cache.db"))
        done = subprocess.run(
            ["sqlite3", str(path), step.pop("sql")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, done.stdout
        assert done.stdout.rstrip("\n") == expect.pop("output", "")

    def do_write_file(self, step: Members, expect: Members, is_miss: bool) -> None:
        (self.folder / step.pop("path")).write_bytes(text_of(step.pop("value")).encode())

    def cache(self, step: Members) -> DiskBackedCache[Any]:
        return self.handles[step.pop("handle", "a")]

    def do_close(self, step: Members, expect: Members, is_miss: bool) -> None:
        self.cache(step).close()

    def do_put(self, step: Members, expect: Members, is_miss: bool) -> None:
        handle = step.get("handle", "a")
        step.pop("text", None)  # Python always stores text
        value, name = self.value(step.pop("value"), handle), step.pop("object", None)
        if name is not None:
            value = self.objects.setdefault(name, value)
        self.cache(step).put(text_of(step.pop("key")), value, self.at(step))

    def do_get(self, step: Members, expect: Members, is_miss: bool) -> None:
        value = self.cache(step).get(text_of(step.pop("key")), self.at(step))
        assert is_miss == (value is None)
        assert self.given(value) == self.wanted(expect.pop("value", None))
        if "same_object" in expect:
            assert value is self.objects[expect.pop("same_object")]
        if "other_object" in expect:
            assert value is not self.objects[expect.pop("other_object")]
        if "object" in step:
            self.objects[step.pop("object")] = value

    def do_delete(self, step: Members, expect: Members, is_miss: bool) -> None:
        assert self.cache(step).delete(text_of(step.pop("key"))) is not is_miss

    def do_exists(self, step: Members, expect: Members, is_miss: bool) -> None:
        assert self.cache(step).exists(text_of(step.pop("key")), self.at(step)) is not is_miss

    def do_tier(self, step: Members, expect: Members, is_miss: bool) -> None:
        tier = self.cache(step).tier(text_of(step.pop("key")), self.at(step))
        assert (tier or "none") == expect.pop("tier")

    def do_tiers(self, step: Members, expect: Members, is_miss: bool) -> None:
        cache, at = self.cache(step), self.at(step)
        for tier in ("memory", "disk", "none"):
            for key in expect.pop(tier, []):
                assert (cache.tier(text_of(key), at) or "none") == tier, f"tier of {key}"

    def do_put_many(self, step: Members, expect: Members, is_miss: bool) -> None:
        handle = step.get("handle", "a")
        step.pop("text", None)
        items = [(text_of(key), self.value(value, handle)) for key, value in step.pop("items")]
        self.cache(step).put_many(items, self.at(step))

    def do_get_many(self, step: Members, expect: Members, is_miss: bool) -> None:
        keys = [text_of(key) for key in step.pop("keys")]
        found = self.cache(step).get_many(keys, self.at(step))
        assert [self.given(found.get(key)) for key in keys] == [self.wanted(value) for value in expect.pop("values")]

    def do_delete_many(self, step: Members, expect: Members, is_miss: bool) -> None:
        assert self.cache(step).delete_many(map(text_of, step.pop("keys"))) == expect.pop("count")

    def do_clear(self, step: Members, expect: Members, is_miss: bool) -> None:
        self.cache(step).clear()

    def do_clear_memory(self, step: Members, expect: Members, is_miss: bool) -> None:
        self.cache(step).clear_memory()

    def do_flush(self, step: Members, expect: Members, is_miss: bool) -> None:
        self.cache(step).flush()

    def do_purge_expired(self, step: Members, expect: Members, is_miss: bool) -> None:
        assert self.cache(step).purge_expired(self.at(step)) == expect.pop("count")

    def do_count(self, step: Members, expect: Members, is_miss: bool) -> None:
        cache = self.cache(step)
        assert cache.get_count() == len(cache) == expect.pop("count")

    def do_total_size(self, step: Members, expect: Members, is_miss: bool) -> None:
        assert self.cache(step).get_total_size() == expect.pop("bytes")

    def do_stats(self, step: Members, expect: Members, is_miss: bool) -> None:
        stats, wanted = self.cache(step).get_stats(), expect.pop("stats", {})
        assert stats.total_gets == stats.memory_hits + stats.disk_hits + stats.misses
        assert {name: stats[name] for name in wanted} == wanted

    @staticmethod
    def at(step: Members) -> float | None:
        """The timestamp of a step, if it has one. "nan" and "inf" are what float() understands."""
        return float(step.pop("at")) if "at" in step else None


def test_the_table_is_well_formed() -> None:
    jsonschema.validate(TABLE, json.loads((HERE / "cases.schema.json").read_text()))
    names = [case["name"] for case in TABLE["cases"]]
    assert sorted(set(names)) == sorted(names)
    for case in TABLE["cases"]:
        for step in case["steps"]:
            expect = step.get("expect", {})
            fails = expect.get("status", "DBC_OK") not in ("DBC_OK", "DBC_NOT_FOUND", "DBC_UNCHANGED")
            assert fails == ("error" in expect or "error_part" in expect), f"{case['name']}: {step}"
    assert FEATURES <= {feature for case in CASES for feature in case.get("needs", [])}


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_case(case: dict[str, Any], tmp_path: Path) -> None:
    run = CaseRun(case, tmp_path)
    try:
        run.run()
    finally:
        run.close()
