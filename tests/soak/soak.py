#!/usr/bin/env python3
"""The long runs: first the soak tests with SOAK_SCALE times their length, then workers of several languages on one file for
SOAK_SECONDS, which are killed and forked meanwhile; then everything is checked.

    tests/soak/soak.py BUILD_FOLDER
"""

import json
import mmap
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
from run_tests import GO, ROOT, RUST, go_lacks, go_settings, rust_lacks, rust_settings

HERE = Path(__file__).resolve().parent
KEYS, COUNTS_AT, KEYS_AT = 1600, 64, 512  # board.h
NAMES = ("gets", "puts", "misses", "forks", "clears")
PER_LANGUAGE = 2  # the first of each is never killed: its memory and descriptors must not grow


def long_tests(build, scale):
    failed = []
    environment = dict(os.environ, SOAK_SCALE=str(scale))
    for program in sorted((build / "tests" / "soak").glob("*_test")):
        print(f"== {program.name}, {scale} times as long", flush=True)
        done = subprocess.run([program, "--gtest_brief=1"], env=environment, timeout=3600)
        if done.returncode != 0:
            failed.append(program.name)
    return failed


def worker_commands(build):
    """Of each language what starts a worker, built first; without the languages that this machine has no toolchain for."""
    commands = {"C": [build / "tests" / "soak" / "soak_worker"], "Python": [sys.executable, HERE / "soak_worker.py"]}

    def compile(language, lacks, settings, folder, command, program):
        if what := lacks:
            print(f"   SKIPPED: workers in {language}, which need {what}", file=sys.stderr, flush=True)
            if os.environ.get("CI") == "true":
                raise SystemExit(f"missing, but CI=true wants everything tested: {what}")
            return
        subprocess.run(command, cwd=folder, env={**os.environ, **{k: str(v) for k, v in settings.items()}}, check=True)
        library = f"LD_LIBRARY_PATH={settings['LD_LIBRARY_PATH']}"
        commands[language] = ["env", library, program]

    cargo = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "diskbackedcache", "--example", "soak"]
    compile("Rust", rust_lacks(), rust_settings(build), RUST, cargo, ROOT / "build/cargo/release/examples/soak")
    program = ROOT / "build" / "go" / "soak"
    compile("Go", go_lacks(), go_settings(build), GO, ["go", "build", "-o", program, "./cmd/soak"], program)
    return commands


def use_of(process):
    """(descriptors, KiB of memory) of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{process}/fd")), memory


class Mixed:
    def __init__(self, commands, folder):
        self.languages = [language for language in commands for _ in range(PER_LANGUAGE)]  # of each worker
        self.veterans = set(range(0, len(self.languages), PER_LANGUAGE))
        self.commands = commands
        self.path = folder / "cache.db"
        self.board_path = folder / "board"
        self.board_path.write_bytes(bytes(8 * (KEYS_AT + 2 * KEYS)))
        with open(self.board_path, "r+b") as file:
            self.board = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        self.workers = {}
        self.kills = 0
        self.problems = []

    def start(self, number):
        program = self.commands[self.languages[number]]
        self.workers[number] = subprocess.Popen([*program, self.path, self.board_path, str(number)])

    def kill_one(self):
        number = random.choice(sorted(set(self.workers) - self.veterans))
        self.workers[number].kill()
        self.workers[number].wait()
        self.kills += 1
        self.start(number)

    def totals(self, language=None):
        workers = [n for n, its in enumerate(self.languages) if language in (None, its)]
        return {name: sum(self.board[COUNTS_AT + 8 * n + i] for n in workers) for i, name in enumerate(NAMES)}

    def progress(self, passed, seconds):
        wal = self.path.with_name("cache.db-wal")
        size = wal.stat().st_size >> 20 if wal.exists() else 0
        counts = "  ".join(f"{name} {count:,}" for name, count in self.totals().items())
        line = f"{passed:4.0f}/{seconds:.0f} s  {counts}  kills {self.kills}  problems {len(self.problems)}  WAL {size} MiB"
        print("\r" + line if sys.stdout.isatty() else line, end="" if sys.stdout.isatty() else "\n", flush=True)

    def run(self, seconds):
        print(f"== {PER_LANGUAGE} workers in each of {', '.join(self.commands)} for {seconds:.0f} s", flush=True)
        for number in range(len(self.languages)):
            self.start(number)
        began = told = time.monotonic()
        early = {}
        while (passed := time.monotonic() - began) < seconds and not self.problems:
            time.sleep(random.uniform(0.2, 1.5))
            self.kill_one()
            for number, worker in self.workers.items():
                if worker.poll() is not None:
                    self.problems.append(f"worker {number} ended with {worker.returncode}")
            if not early and passed > seconds / 4:
                early = {number: use_of(self.workers[number].pid) for number in self.veterans}
            if time.monotonic() - told >= (1 if sys.stdout.isatty() else 10):
                told = time.monotonic()
                self.progress(passed, seconds)
        late = {n: use_of(self.workers[n].pid) for n in self.veterans if self.workers[n].poll() is None}
        self.board[0] = 1
        for number, worker in self.workers.items():
            try:
                if worker.wait(120) != 0:
                    self.problems.append(f"worker {number} ended with {worker.returncode}")
            except subprocess.TimeoutExpired:
                self.problems.append(f"worker {number} does not end")
                worker.send_signal(signal.SIGABRT)
        self.progress(time.monotonic() - began, seconds)
        print()
        for number in early.keys() & late.keys():
            # A reader's connection has two descriptors, and there are as many as threads have ever read at one moment.
            allowances = (8, 32 << 10)
            for what, before, after, allowed in zip(("descriptors", "KiB"), early[number], late[number], allowances):
                print(f"   worker {number} ({self.languages[number]}): {what} {before} early, {after} late")
                if after > before + allowed:
                    self.problems.append(f"worker {number}: {what} grew from {before} to {after}")

    def check(self):
        """Now that nobody uses the file."""
        # The library first, in a process of its own: no lock is left, the counts are those of what there is.
        code = """if True:
            import json, sys
            sys.path.insert(0, sys.argv[2])
            from soak_worker import Numbered
            from diskbackedcache import DiskBackedCache
            with DiskBackedCache(sys.argv[1], Numbered, busy_timeout_seconds=0, on_corrupt="fail") as cache:
                damage = cache.check()
                found = {key: cache.get(f"soak:{key}") for key in range(1600)}
                print(json.dumps([damage.problems and damage.report, cache.get_count(), cache.get_total_size(),
                                  {key: value.number for key, value in found.items() if value}]))
        """
        done = subprocess.run(
            [sys.executable, "-c", code, self.path, HERE], stdout=subprocess.PIPE, text=True, timeout=300
        )
        if done.returncode != 0:
            self.problems.append("the file cannot be used any more")
            return
        damage, items, size, found = json.loads(done.stdout)
        if damage:
            self.problems.append(f"a check finds: {damage}")
        for key, number in found.items():
            done_before, begun = self.board[KEYS_AT + 2 * int(key) + 1], self.board[KEYS_AT + 2 * int(key)]
            if not done_before <= number <= begun or number % 8 == 0:
                self.problems.append(f"key {key} has {number}, after {done_before}")
        connection = sqlite3.connect(self.path)
        if (integrity := connection.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            self.problems.append(integrity)
        scan = connection.execute("SELECT count(*), CAST(total(size) AS INTEGER) FROM cache").fetchone()
        if scan != (items, size):
            self.problems.append(f"the library counts {items} items and {size} bytes, there are {scan}")
        if aside := list(self.path.parent.glob("*.corrupt*")):
            self.problems.append(f"moved aside: {aside}")
        for language in self.commands:
            totals = self.totals(language)
            print(f"   {language}: " + ", ".join(f"{count:,} {name}" for name, count in totals.items()))
            for name in NAMES:
                # Clears are rare; programs in Rust and Go must not fork.
                if totals[name] == 0 and name != "clears" and (name != "forks" or language in ("C", "Python")):
                    self.problems.append(f"no {name} in {language}: that was no test")


def main():
    build = Path(sys.argv[1]).resolve()
    seconds = float(os.environ.get("SOAK_SECONDS", "600"))
    commands = worker_commands(build)
    failed = long_tests(build, float(os.environ.get("SOAK_SCALE", "20")))
    with tempfile.TemporaryDirectory(prefix="dbc-soak-") as folder:
        mixed = Mixed(commands, Path(folder))
        mixed.run(seconds)
        mixed.check()
    for problem in mixed.problems:
        print("   problem:", problem)
    failed += ["the mixed run"] if mixed.problems else []
    print("failed: " + ", ".join(failed) if failed else "all well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
