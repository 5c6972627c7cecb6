"""A worker of the soak run, in Python: soak_worker.py FILE BOARD NUMBER. board.h says what is on the board."""

import mmap
import os
import random
import signal
import sys
import threading
import time

from diskbackedcache import CacheableModel, DiskBackedCache

KEYS, WORKERS, COUNTS_AT, KEYS_AT = 1600, 8, 64, 512
GETS, PUTS, MISSES, FORKS, CLEARS = range(5)


class Numbered(CacheableModel):
    schema_version: str = "1"
    number: int
    padding: str = ""


class Worker:
    def __init__(self, path, board, worker):
        self.worker = worker
        with open(board, "r+b") as file:
            self.board = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        self.cache = DiskBackedCache(
            path,
            Numbered,
            max_disk_items=1200,
            max_memory_items=600,
            max_disk_size_bytes=4 << 20,
            disk_ttl_seconds=5,
            memory_ttl_seconds=2,
            touch_delay_seconds=0.1,
            busy_timeout_seconds=60,
        )
        self.failed = False

    def stopped(self):
        return self.failed or self.board[0] != 0

    def count(self, what):
        self.board[COUNTS_AT + 8 * self.worker + what] += 1

    def read(self):
        key = random.randrange(KEYS)
        done = self.board[KEYS_AT + 2 * key + 1]
        found = self.cache.get(f"soak:{key}")
        self.count(GETS)
        if found is None:
            self.count(MISSES)
            return
        begun = self.board[KEYS_AT + 2 * key]
        assert done <= found.number <= begun and found.number % 8 != 0, (key, done, found.number, begun)

    def write(self):
        key = random.randrange(KEYS // WORKERS) * WORKERS + self.worker
        number = self.board[KEYS_AT + 2 * key] + 1
        self.board[KEYS_AT + 2 * key] = number
        if number % 8 == 0:
            self.cache.delete(f"soak:{key}")
        else:
            self.cache.put(f"soak:{key}", Numbered(number=number, padding="x" * random.randrange(300)))
        self.board[KEYS_AT + 2 * key + 1] = number
        self.count(PUTS)
        time.sleep(0.0005)

    def forever(self, work):
        try:
            while not self.stopped():
                work()
        except BaseException as error:
            print(f"soak: worker {self.worker}: {error!r}", file=sys.stderr, flush=True)
            self.failed = True

    def fork(self):
        time.sleep(random.random())
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(120)
                for number in range(1, 8):
                    self.read()
                    self.cache.put(f"child:{os.getpid()}", Numbered(number=number))
                if random.randrange(3) == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                status = 0
            except BaseException as error:
                print(f"soak: a child of worker {self.worker}: {error!r}", file=sys.stderr, flush=True)
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert status in (0, signal.SIGKILL), status
        self.count(FORKS)

    def run(self):
        threads = [threading.Thread(target=self.forever, args=(work,)) for work in (self.write, self.read)]
        for thread in threads:
            thread.start()
        self.forever(self.fork)
        for thread in threads:
            thread.join()
        if not self.failed:
            self.cache.close()
        return int(self.failed)


if __name__ == "__main__":
    sys.exit(Worker(sys.argv[1], sys.argv[2], int(sys.argv[3])).run())
