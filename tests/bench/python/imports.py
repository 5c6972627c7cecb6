"""Y7: what a program that starts pays, each time in a new process."""

import subprocess
import sys

from measure import Run

# Pydantic loads its parts when they are first used: its name alone is half an import. Whoever uses it uses BaseModel.
PYDANTIC = """
from time import perf_counter
start = perf_counter()
from pydantic import BaseModel
print(perf_counter() - start)
"""
PYDANTIC_NAME = """
from time import perf_counter
start = perf_counter()
import pydantic
print(perf_counter() - start)
"""
OURS = """
from time import perf_counter
start = perf_counter()
from diskbackedcache import CacheableModel, DiskBackedCache
imported = perf_counter()
class User(CacheableModel):
    schema_version: str = "1"
    name: str
began = perf_counter()
DiskBackedCache({path!r}, User).close()
print(perf_counter() - began + imported - start)
"""


def run(run: Run) -> None:
    def seconds(program: str) -> float:
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True, text=True)
        return float(done.stdout)

    ours = OURS.format(path=str(run.directory / "imports.db"))
    seconds(ours)  # creates the file, and reads everything from disk once
    for _ in run.repeat():
        for name, program in (
            ("Y7 import pydantic, its BaseModel", PYDANTIC),
            ("Y7 import pydantic, its name alone", PYDANTIC_NAME),
            ("Y7 import, open and close", ours),
        ):
            run.record(name, seconds(program) * 1e3, "ms")
