"""The worker for Python: obeys requests on standard input, one JSON object a line. README.md has the protocol."""

from __future__ import annotations

import gc
import json
import mmap
import sys
import threading
from collections.abc import Callable
from typing import Any

import diskbackedcache
from diskbackedcache import CacheableModel, CacheError, DiskBackedCache
from records import keyword_options, plain, record_model, record_of

MOST_PROBLEMS = 10


class Load:
    """A writer and a reader on one cache."""

    def __init__(self, cache: DiskBackedCache[Any], model: type[CacheableModel], request: dict[str, Any]) -> None:
        self.cache = cache
        self.model = model
        self.keys: list[str] = request["keys"]
        self.own: list[int] = request["own"]
        self.rounds: int = request["rounds"]
        with open(request["board"], "r+b") as file:
            self.board = memoryview(mmap.mmap(file.fileno(), 8 * len(self.keys))).cast("Q")
        self.writes = self.reads = 0
        self.problems: list[str] = []
        self.finishing = threading.Event()
        self.threads = [threading.Thread(target=self.guarded, args=(work,)) for work in (self.write, self.read)]
        for thread in self.threads:
            thread.start()

    def finish(self) -> dict[str, Any]:
        writer, reader = self.threads
        writer.join()
        self.finishing.set()
        reader.join()
        return {"writes": self.writes, "reads": self.reads, "problems": self.problems[:MOST_PROBLEMS]}

    def guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # told, whatever it is
            self.problems.insert(0, repr(error))

    def record(self, slot: int, number: int) -> CacheableModel:
        return self.model(**record_of(self.keys[slot], number))

    def write(self) -> None:
        for number in range(1, self.rounds + 1):
            if number % 10 == 0:
                self.cache.put_many({self.keys[slot]: self.record(slot, number) for slot in self.own})
                for slot in self.own:
                    self.board[slot] = number
            else:
                for slot in self.own:
                    self.cache.put(self.keys[slot], self.record(slot, number))
                    self.board[slot] = number
            self.writes += len(self.own)

    def read(self) -> None:
        seen = [0] * len(self.keys)
        while not self.finishing.is_set():
            for slot, key in enumerate(self.keys):
                before = self.board[slot]
                record = plain(self.cache.get(key))
                self.reads += 1
                number = 0 if record is None else record["id"]
                good = number >= before and number >= seen[slot]
                if not good or (record is not None and record != record_of(key, number)):
                    self.problems.append(f"{key}: after {before} and having seen {seen[slot]} there was {record}")
                seen[slot] = max(number, seen[slot])


class Worker:
    cache: DiskBackedCache[Any]
    model: type[CacheableModel]
    load: Load

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        operation: Callable[..., dict[str, Any] | None] = getattr(self, "do_" + request["op"])
        return operation(request) or {}

    def do_hello(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"language": "python", "library": diskbackedcache.__version__}

    def do_open(self, request: dict[str, Any]) -> None:
        self.model = record_model(request["schema_version"])
        self.cache = DiskBackedCache(request["path"], self.model, **keyword_options(request.get("options", {})))

    def do_put(self, request: dict[str, Any]) -> None:
        self.cache.put(request["key"], self.model(**request["record"]))

    def do_get(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"record": plain(self.cache.get(request["key"]))}

    def do_put_many(self, request: dict[str, Any]) -> None:
        self.cache.put_many([(key, self.model(**record)) for key, record in request["items"]])

    def do_get_many(self, request: dict[str, Any]) -> dict[str, Any]:
        found = self.cache.get_many(request["keys"])
        return {"records": [plain(found.get(key)) for key in request["keys"]]}

    def do_delete(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"removed": self.cache.delete(request["key"])}

    def do_tier(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"tier": self.cache.tier(request["key"]) or "none"}

    def do_stats(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"stats": dict(self.cache.get_stats())}

    def do_start_load(self, request: dict[str, Any]) -> None:
        self.load = Load(self.cache, self.model, request)

    def do_finish_load(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.load.finish()

    def do_churn(self, request: dict[str, Any]) -> None:
        keys = [f"churn:{i}" for i in range(100)]
        for number in range(1, request["rounds"] + 1):
            self.cache.put_many({key: self.model(**record_of(key, number)) for key in keys})
            for key in keys:
                self.cache.get(key)
            self.cache.get_many(keys)
            self.cache.put(keys[0], self.model(**record_of(keys[0], number)))
            self.cache.get("churn:absent")
            self.cache.delete("churn:absent")
        gc.collect()

    def do_close(self, request: dict[str, Any]) -> None:
        self.cache.close()


def main() -> None:
    worker = Worker()
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"ok": True, **worker.answer(json.loads(line))}
        except CacheError as error:
            answer = {"ok": False, "error": error.name, "message": str(error)}
        except Exception as error:
            answer = {"ok": False, "error": "DBC_INVALID_ARGUMENT", "message": repr(error)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
