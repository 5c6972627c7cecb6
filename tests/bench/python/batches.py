"""Y4 and Y5: put_many and get_many."""

import random

from measure import Run
from subjects import fill_diskcache, fill_ours, ours, with_diskcache
from workload import BATCH, ITEMS, keys_of, records, uniform

BATCHES = 10


def put_many(run: Run) -> None:
    values = records(BATCH)
    keys = keys_of(0, ITEMS)
    cache = fill_ours(ours(run.directory / "batches.db"), keys, values)
    default = fill_diskcache(with_diskcache(run.directory / "diskcache"), keys, values)

    def put_ours(batches):
        for batch in batches:
            cache.put_many(batch)

    def set_diskcache(batches):
        for batch in batches:
            with default.transact():
                for key, value in batch.items():
                    default.set(key, value)

    generator = random.Random(1)
    count = run.scaled(BATCHES)
    fresh_at = ITEMS
    for _ in run.repeat():
        fresh = [dict(zip(keys_of(fresh_at + i * BATCH, BATCH), values)) for i in range(count)]
        fresh_at += count * BATCH
        run.once("Y4 put_many, fresh", lambda: put_ours(fresh), count * BATCH)
        run.once("Y4 diskcache sets, fresh", lambda: set_diskcache(fresh), count * BATCH)
        again = [dict(zip(generator.sample(keys, BATCH), values)) for _ in range(count)]
        run.once("Y4 put_many, overwriting", lambda: put_ours(again), count * BATCH)
        run.once("Y4 diskcache sets, overwriting", lambda: set_diskcache(again), count * BATCH)
    cache.close()
    default.close()


def get_many(run: Run) -> None:
    values = records(BATCH)
    keys = keys_of(0, ITEMS)
    in_memory = fill_ours(ours(run.directory / "memory.db", max_memory_items=ITEMS), keys, values)
    on_disk = fill_ours(ours(run.directory / "disk.db", max_memory_items=BATCH), keys, values)
    on_disk.clear_memory()
    default = fill_diskcache(with_diskcache(run.directory / "diskcache"), keys, values)

    def get_ours(cache, batches):
        for batch in batches:
            cache.get_many(batch)

    count = run.scaled(BATCHES)
    for repetition in run.repeat():
        asked = [keys[number] for number in uniform(ITEMS, count * BATCH, repetition)]
        asked_batches = [asked[at : at + BATCH] for at in range(0, len(asked), BATCH)]
        run.once("Y5 get_many, in memory", lambda: get_ours(in_memory, asked_batches), len(asked))
        run.once("Y5 get_many, on disk", lambda: get_ours(on_disk, asked_batches), len(asked))
        run.each_key("Y5 diskcache get", default.get, asked)
    for each in (in_memory, on_disk, default):
        each.close()
