"""Caches every package record of this machine and shows what each tier costs.

    python demo.py [--cache FILE] [STATUS_FILE]

Reads dpkg's list of packages (/var/lib/dpkg/status, or a file of that format), makes a Pydantic object of each record,
puts them all into a cache, and then, in a new process, gets every one of them twice: from disk, and from memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

from diskbackedcache import CacheableModel, CacheError, DiskBackedCache

try:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table
except ImportError:
    sys.exit("The demo draws its table with rich: pip install rich")

STATUS_FILE = Path("/var/lib/dpkg/status")
BATCH = 100
ROUNDS = 20  # over all records, to time what takes less than a microsecond


class Package(CacheableModel):
    schema_version: str = "1"
    package: str
    version: Optional[str] = None
    architecture: Optional[str] = None
    status: Optional[str] = None
    section: Optional[str] = None
    priority: Optional[str] = None
    installed_size_kib: Optional[int] = None
    maintainer: Optional[str] = None
    source: Optional[str] = None
    homepage: Optional[str] = None
    depends: tuple[str, ...] = ()
    conffiles: tuple[str, ...] = ()
    summary: str = ""
    description: str = ""

    @property
    def key(self) -> str:
        return f"{self.package}:{self.architecture or 'any'}"


def read_records(text: str) -> Iterator[dict[str, str]]:
    """The records of a file in dpkg's format: "Field: value" lines, continued by indented ones; blank lines between."""
    for paragraph in text.split("\n\n"):
        record: dict[str, str] = {}
        field = ""
        for line in paragraph.splitlines():
            if line[:1] in (" ", "\t"):
                record[field] = f"{record.get(field, '')}\n{line[1:]}"
            elif ":" in line:
                field, _, value = line.partition(":")
                record[field] = value.strip()
        if "Package" in record:
            yield record


def parse(record: dict[str, str]) -> Package:
    summary, _, description = record.get("Description", "").partition("\n")
    size = record.get("Installed-Size", "")
    return Package(
        package=record["Package"],
        version=record.get("Version"),
        architecture=record.get("Architecture"),
        status=record.get("Status"),
        section=record.get("Section"),
        priority=record.get("Priority"),
        installed_size_kib=int(size) if size.isdigit() else None,
        maintainer=record.get("Maintainer"),
        source=record.get("Source"),
        homepage=record.get("Homepage"),
        depends=tuple(part.strip() for part in record.get("Depends", "").split(",") if part.strip()),
        conffiles=tuple(line.strip() for line in record.get("Conffiles", "").splitlines() if line.strip()),
        summary=summary,
        description=description.replace("\n.\n", "\n\n"),
    )


def microseconds_each(count: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / count * 1e6


def measure(cache_file: str) -> None:
    """In the new process: gets the keys that come on stdin as JSON, and prints what was seen as JSON."""
    keys: list[str] = json.load(sys.stdin)
    with DiskBackedCache(cache_file, Package, max_memory_items=len(keys)) as cache:

        def get_all() -> None:
            for key in keys:
                if cache.get(key) is None:
                    sys.exit(f"{key} is not in the cache")

        def get_all_often() -> None:
            for _ in range(ROUNDS):
                get_all()

        figures: dict[str, Any] = {
            "disk_hit": microseconds_each(len(keys), get_all),
            "memory_hit": microseconds_each(len(keys) * ROUNDS, get_all_often),
        }
        figures["stats"] = dict(cache.get_stats())
        figures["get_many"] = microseconds_each(len(keys), lambda: cache.get_many(keys))
    json.dump(figures, sys.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Caches every package record of this machine and shows what each tier costs."
    )
    parser.add_argument(
        "status_file", nargs="?", type=Path, default=STATUS_FILE, help="a file in the format of dpkg's status"
    )
    parser.add_argument("--cache", type=Path, help="keep the cache in this file, and find it there the next time")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        if arguments.measure:
            measure(str(arguments.cache))
        elif arguments.cache:
            run(arguments.status_file, arguments.cache)
        else:
            with tempfile.TemporaryDirectory(prefix="diskbackedcache-") as directory:
                run(arguments.status_file, Path(directory) / "packages.db")
    except CacheError as error:
        sys.exit(f"{error} ({error.name})")


def run(status_file: Path, cache_file: Path) -> None:
    console = Console()
    try:
        text = status_file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        sys.exit(
            f"{status_file} cannot be read: {error.strerror}.\n"
            "It is there on Debian and what descends from it. On another system give a file of that format,\n"
            "for instance an unpacked Packages index of a Debian archive:  demo.py Packages"
        )
    packages: list[Package] = []
    parsing = microseconds_each(1, lambda: packages.extend(map(parse, read_records(text))))
    if not packages:
        sys.exit(f"{status_file} has no package records in it.")

    with DiskBackedCache(cache_file, Package) as cache:
        found = len(cache)
        if found:
            console.print(f"The cache of an earlier run has {found:,} records; they are stored anew.")
        start = time.perf_counter()
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("storing", total=len(packages))
            for first in range(0, len(packages), BATCH):
                batch = packages[first : first + BATCH]
                cache.put_many({package.key: package for package in batch})
                progress.advance(task, len(batch))
        storing = (time.perf_counter() - start) * 1e6
        stored = cache.get_stats()

    keys = list(dict.fromkeys(package.key for package in packages))
    child = subprocess.run(
        [sys.executable, __file__, "--measure", "--cache", str(cache_file)],
        input=json.dumps(keys),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if child.returncode != 0:
        sys.exit(child.returncode)
    figures = json.loads(child.stdout)
    stats = figures["stats"]

    table = Table(title=f"{len(packages):,} records of {status_file}")
    table.add_column("step")
    table.add_column("µs per record", justify="right")
    table.add_column("what happened")
    table.add_row("parse and validate", f"{parsing / len(packages):.1f}", f"{len(text) / 1e6:.2f} MB of text")
    table.add_row("put_many", f"{storing / len(packages):.1f}", f"{stored.disk_bytes / 1e6:.2f} MB on disk")
    table.add_row("", "", f"evicted: {stored.memory_evictions:,} from memory, {stored.disk_evictions:,} from disk")
    table.add_section()
    table.add_row("get in a new process", f"{figures['disk_hit']:.1f}", f"{stats['disk_hits']:,} disk hits")
    table.add_row("get again", f"{figures['memory_hit']:.2f}", f"{stats['memory_hits']:,} memory hits, {ROUNDS} rounds")
    table.add_row("get_many", f"{figures['get_many']:.2f}", f"one call for all; {stats['misses']:,} misses in all")
    console.print(table)
    console.print(f"A record from memory costs 1/{parsing / len(packages) / figures['memory_hit']:.0f} of parsing it.")


if __name__ == "__main__":
    main()
