"""C, Python, Rust and Go on one file at the same time: a worker of each obeys this test. README.md has the protocol."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from records import record_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIBRARY = Path(os.environ.get("DBC_LIBRARY", ROOT / "build/release/src/libdbc.so"))
LANGUAGES = ["c", "python", "rust", "go"]
WATCHDOG_SECONDS = 300  # against hangs, not a limit to be near

RECORDS: dict[str, dict[str, Any]] = {
    "plain": {"id": 1, "name": "Ada", "tags": ["x", "y"], "score": 1.5, "address": {"city": "London", "zip": "W1"}},
    "nothing": {"id": 0, "name": "", "tags": [], "score": None, "address": None},
    "whole score": {"id": 1, "name": "x", "tags": [""], "score": 3.0, "address": None},
    "largest": {"id": 2**63 - 1, "name": "x", "tags": [], "score": 1.7976931348623157e308, "address": None},
    "smallest": {"id": -(2**63), "name": "x", "tags": [], "score": 5e-324, "address": None},
    "odd number": {"id": 2**53 + 1, "name": "x", "tags": [], "score": 0.1, "address": None},
    "text": {
        "id": 2,
        "name": "Zo\u00eb \U0001f600 \u4e2d\u6587 <a href='x'>&amp;</a>",
        "tags": ['"quoted"', "back\\slash", "line\nbreak\ttab", "\u0001\u007f\u2028\ufeff", "null", "1"],
        "score": -0.0,
        "address": {"city": "\u00c5rhus", "zip": "8000"},
    },
    "long": {"id": 3, "name": "long " * 5000, "tags": ["t"] * 500, "score": 2.0, "address": None},
}


def program(language: str) -> list[str] | None:
    """The command of a worker, or None if it is not built."""
    candidates = {
        "c": [LIBRARY.parents[1] / "tests/interop/worker"],
        "python": [HERE / "worker.py"],
        "rust": [ROOT / "build/cargo/release/examples/interop", ROOT / "build/cargo/debug/examples/interop"],
        "go": [ROOT / "build/go/interop"],
    }[language]
    named = os.environ.get(f"DBC_WORKER_{language.upper()}")
    for path in [Path(named)] if named else candidates:
        if path.exists():
            return [sys.executable, str(path)] if path.suffix == ".py" else [str(path)]
    return None


def need(*languages: str) -> None:
    """Fails, or on a machine that is not the CI's skips, if a worker of these is missing."""
    missing = [language for language in languages if program(language) is None]
    if not missing:
        return
    reason = f"no worker for {', '.join(missing)} was built; tests/interop/README.md says how"
    if os.environ.get("CI") == "true" or {"c", "python"}.intersection(missing):
        pytest.fail(reason)
    pytest.skip(reason)


class WorkerError(Exception):
    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"{answer['error']}: {answer['message']}")
        self.name, self.message = answer["error"], answer["message"]


class Worker:
    def __init__(self, language: str) -> None:
        self.language = language
        command = program(language)
        assert command is not None
        paths = [str(LIBRARY.parent), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "LD_LIBRARY_PATH": ":".join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def ask(self, op: str, **members: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        watchdog = threading.Timer(WATCHDOG_SECONDS, self.process.kill)
        watchdog.start()
        try:
            self.process.stdin.write(json.dumps({"op": op, **members}) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        finally:
            watchdog.cancel()
        assert line, f"the {self.language} worker ended at {op}"
        answer: dict[str, Any] = json.loads(line)
        if answer["ok"] is not True:
            raise WorkerError(answer)
        return answer

    def open(self, path: Path, schema_version: str = "1.0.0", **options: Any) -> Worker:
        self.ask("open", path=str(path), schema_version=schema_version, options=options)
        return self

    def put(self, key: str, record: dict[str, Any]) -> None:
        self.ask("put", key=key, record=record)

    def get(self, key: str) -> dict[str, Any] | None:
        record: dict[str, Any] | None = self.ask("get", key=key)["record"]
        return record

    def stats(self) -> dict[str, int]:
        stats: dict[str, int] = self.ask("stats")["stats"]
        assert stats["total_gets"] == stats["memory_hits"] + stats["disk_hits"] + stats["misses"]
        return stats

    def resident_bytes(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def finish(self) -> None:
        """Ends it as a user would: nothing more to read."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            assert self.process.wait(WATCHDOG_SECONDS) == 0
            assert self.process.stdout.read() == ""
        finally:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def start() -> Iterator[Any]:
    """Starts workers, which end with the test."""
    with ExitStack() as stack:

        def start_(*languages: str) -> list[Worker]:
            need(*languages)
            workers = []
            for language in languages:
                workers.append(Worker(language))
                stack.callback(workers[-1].kill)
            return workers

        yield start_


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Worker]]:
    """A worker of each language there is, all with the same file open."""
    path = tmp_path_factory.mktemp("everyone") / "cache.db"
    with ExitStack() as stack:
        workers = {}
        for language in LANGUAGES:
            if program(language) is not None:
                workers[language] = Worker(language)
                stack.callback(workers[language].kill)
                workers[language].open(path)
        yield workers
        for worker in workers.values():
            worker.ask("close")
            worker.finish()


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_it_is(start: Any, language: str) -> None:
    (worker,) = start(language)
    answer = worker.ask("hello")
    header = (ROOT / "include" / "dbc.h").read_text()
    version = re.search(r'#define DBC_VERSION_TEXT "(.*)"', header)
    assert version is not None
    assert (answer["language"], answer["library"]) == (language, version[1])
    worker.finish()


@pytest.mark.parametrize("reader", LANGUAGES)
@pytest.mark.parametrize("writer", LANGUAGES)
def test_each_reads_what_each_wrote(everyone: dict[str, Worker], writer: str, reader: str) -> None:
    need(writer, reader)
    one, other = everyone[writer], everyone[reader]
    prefix = f"{writer} to {reader}: "
    keys = [prefix + name for name in RECORDS]

    for key, record in zip(keys, RECORDS.values()):
        one.put(key, record)
        assert other.get(key) == record
        assert other.get(key) == record  # from its memory now
        assert other.ask("tier", key=key)["tier"] == "memory"
    assert other.ask("get_many", keys=[*keys, prefix + "absent"])["records"] == [*RECORDS.values(), None]

    # What is in the reader's memory is replaced, one by one and as a batch, and deleted.
    turned = list(reversed(RECORDS.values()))
    for key, record in zip(keys, turned):
        one.put(key, record)
        assert other.get(key) == record
    one.ask("put_many", items=[[key, record] for key, record in zip(keys, RECORDS.values())])
    assert other.ask("get_many", keys=keys)["records"] == list(RECORDS.values())
    assert [other.get(key) for key in keys] == list(RECORDS.values())
    for key in keys:
        assert one.ask("delete", key=key)["removed"] is True
        assert other.get(key) is None
        assert other.ask("delete", key=key)["removed"] is False


@pytest.mark.parametrize("language", LANGUAGES)
def test_values_are_json_text(start: Any, path: Path, language: str) -> None:
    (worker,) = start(language)
    worker.open(path)
    for key, record in RECORDS.items():
        worker.put(key, record)
    worker.ask("put_many", items=[["batch", RECORDS["plain"]]])
    worker.ask("close")
    query = "SELECT count(*) FROM cache WHERE typeof(value) = 'text' AND json_type(value, '$.id') = 'integer'"
    done = subprocess.run(["sqlite3", str(path), query], capture_output=True, text=True, check=True)
    assert int(done.stdout) == len(RECORDS) + 1
    query = "SELECT json_extract(value, '$.name'), json_extract(value, '$.address.city') FROM cache WHERE key = 'batch'"
    done = subprocess.run(["sqlite3", str(path), query], capture_output=True, text=True, check=True)
    assert done.stdout == "Ada|London\n"


def start_loads(workers: list[Worker], folder: Path, slots: int, rounds: int) -> list[str]:
    """Starts a writer and a reader in each worker, and gives the keys of all slots."""
    keys = [f"load:{slot}" for slot in range(slots * len(workers))]
    board = folder / "board"
    board.write_bytes(bytes(8 * len(keys)))
    for index, worker in enumerate(workers):
        own = list(range(index, len(keys), len(workers)))
        worker.ask("start_load", board=str(board), keys=keys, own=own, rounds=rounds)
    return keys


@pytest.mark.parametrize("max_memory_items", [10_000, 5])
def test_no_one_reads_what_is_outdated(start: Any, path: Path, max_memory_items: int) -> None:
    """While writers and readers of every language run, nobody is answered with less than was acknowledged before.

    Once with all in memory, once with items that leave it and come back all the time.
    """
    rounds, slots = 300, 4
    workers = start(*(language for language in LANGUAGES if program(language)))
    for worker in workers:
        worker.open(path, busy_timeout_seconds=60, max_memory_items=max_memory_items)
    keys = start_loads(workers, path.parent, slots, rounds)

    # In between, a put through one is seen by a get through any other, at once.
    for number in range(1, 41):
        writer = workers[number % len(workers)]
        writer.put("relay", record_of("relay", number))
        for worker in workers:
            assert worker.get("relay") == record_of("relay", number), f"{writer.language} to {worker.language}"

    for worker in workers:
        answer = worker.ask("finish_load")
        assert answer["problems"] == [], worker.language
        assert answer["writes"] == rounds * slots
        assert answer["reads"] > 0
    for worker in workers:
        records = worker.ask("get_many", keys=keys)["records"]
        assert records == [record_of(key, rounds) for key in keys], worker.language
        assert [worker.get(key) for key in keys] == records
        stats = worker.stats()
        assert stats["current_disk_items"] == len(keys) + 1
        assert stats["current_memory_items"] == min(max_memory_items, len(keys) + 1)
        worker.ask("close")
        worker.finish()
    need(*LANGUAGES)  # without all of them less was shown than should be


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_is_killed_leaves_the_others_at_work(start: Any, path: Path, language: str) -> None:
    victim, witness = start(language, "c")
    for worker in (victim, witness):
        worker.open(path, busy_timeout_seconds=60)
    keys = start_loads([victim], path.parent, 4, 1_000_000)
    deadline = time.monotonic() + WATCHDOG_SECONDS
    while witness.ask("get_many", keys=keys)["records"].count(None) or not witness.get(keys[0])["id"] > 10:
        assert time.monotonic() < deadline
    victim.kill()
    witness.put("after", record_of("after", 1))
    for key in keys:
        record = witness.get(key)
        assert record == record_of(key, record["id"])
    board = memoryview((path.parent / "board").read_bytes()).cast("Q")
    for key, acknowledged in zip(keys, board):
        assert witness.get(key)["id"] >= acknowledged
    (again,) = start(language)
    again.open(path)
    assert again.get("after") == record_of("after", 1)
    for worker in (witness, again):
        worker.ask("close")
        worker.finish()


@pytest.mark.parametrize("language", LANGUAGES)
def test_members_that_a_record_does_not_have_are_ignored(start: Any, path: Path, language: str) -> None:
    writer, reader = start("c", language)
    for worker in (writer, reader):
        worker.open(path)
    record = RECORDS["plain"]
    writer.ask(
        "put_text", key="k", text=json.dumps({"added": [1, {}], **record, "later": None, "schema_version": "1.0.0"})
    )
    assert reader.get("k") == record
    assert reader.ask("get_many", keys=["k"])["records"] == [record]


UNDECODABLE = [
    "",
    "{",
    "no JSON at all",
    "[1, 2]",
    '{"id": "one", "name": "x", "tags": [], "score": null, "address": null}',
    '{"id": 1, "name": 5, "tags": [], "score": null, "address": null}',
    '{"id": 1, "name": "x", "tags": {}, "score": null, "address": null}',
    '{"id": 1, "name": "x", "tags": [], "score": null, "address": null} and more',
]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_value_that_does_not_decode_is_removed(start: Any, path: Path, language: str) -> None:
    writer, reader = start("c", language)
    for worker in (writer, reader):
        worker.open(path)
    writer.put("good", RECORDS["plain"])
    for number, text in enumerate(UNDECODABLE, start=1):
        for key in ("one", "many"):
            writer.ask("put_text", key=key, text=text)
        assert reader.get("one") is None, text
        assert reader.ask("get_many", keys=["many", "good"])["records"] == [None, RECORDS["plain"]], text
        stats = reader.stats()
        assert (stats["discarded"], stats["misses"], stats["current_disk_items"]) == (2 * number, 2 * number, 1), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_another_schema_version_is_never_read(start: Any, path: Path, language: str) -> None:
    writer, reader = start("c", language)
    writer.open(path, "1.0.0")
    writer.put("before", RECORDS["plain"])
    reader.open(path, "2.0.0")
    assert writer.get("before") is None
    writer.put("after", RECORDS["plain"])
    assert reader.get("after") is None
    assert reader.stats()["discarded"] >= 1
    reader.put("k", RECORDS["plain"])
    assert writer.get("k") is None


@pytest.mark.parametrize("language", LANGUAGES)
def test_errors_have_the_same_names(start: Any, path: Path, language: str) -> None:
    (worker,) = start(language)
    worker.open(path, max_disk_size_bytes=1000)
    worker.put("k", RECORDS["plain"])
    expected = [
        ("DBC_INVALID_ARGUMENT", "Key cannot be empty", lambda: worker.put("", RECORDS["plain"])),
        ("DBC_INVALID_ARGUMENT", "Key cannot be empty", lambda: worker.get("")),
        ("DBC_INVALID_ARGUMENT", "256", lambda: worker.get("k" * 257)),
        ("DBC_INVALID_ARGUMENT", "U+0000", lambda: worker.get("k\0")),
        ("DBC_INVALID_ARGUMENT", "max_disk_size_bytes (1000 bytes)", lambda: worker.put("k", RECORDS["long"])),
        ("DBC_INVALID_ARGUMENT", "", lambda: worker.ask("no such thing")),
        ("DBC_CLOSED", "closed", lambda: (worker.ask("close"), worker.get("k"))),
    ]
    for name, part, call in expected:
        with pytest.raises(WorkerError) as caught:
            call()
        assert caught.value.name == name
        assert part in caught.value.message != ""
    worker.open(path)
    assert worker.get("k") == RECORDS["plain"]
    assert worker.stats()["current_disk_items"] == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_million_gets_and_puts_leave_memory_flat(start: Any, path: Path, language: str) -> None:
    (worker,) = start(language)
    worker.open(path, durability="off")
    resident = []
    for _ in range(10):
        worker.ask("churn", rounds=330)  # 101 puts and 201 gets each
        resident.append(worker.resident_bytes())
    stats = worker.stats()
    assert stats["total_puts"] + stats["total_gets"] > 990_000
    # Every call leaking 16 bytes would make it more than 8 MiB.
    assert min(resident[-3:]) - min(resident[3:6]) < 2 * 1024 * 1024, resident
