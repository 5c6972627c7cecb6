"""One benchmark in a process of its own: main.py CASE DIRECTORY REPETITIONS SCALE. Prints one JSON object."""

import sys
from pathlib import Path

import batches
import disk_hits
import imports
import memory_hits
import peers
import processes
import puts
import sizes
from measure import Run

CASES = {
    "Y1": memory_hits.run,
    "Y2": puts.run,
    "Y3": disk_hits.run,
    "Y4": batches.put_many,
    "Y5": batches.get_many,
    "Y6": processes.run,
    "Y7": imports.run,
    "python-peers": peers.run,
    "sizes": sizes.run,
}

if __name__ == "__main__":
    case, directory, repetitions, scale = sys.argv[1:]
    run = Run(Path(directory), int(repetitions), float(scale))
    CASES[case](run)
    print(run.document())
