"""Y1: a get from memory, of the same object that was put."""

from functools import lru_cache

import cachetools
from measure import Run
from subjects import fill_diskcache, fill_ours, ours, with_diskcache
from workload import HOT_ITEMS, keys_of, records, uniform


def run(run: Run) -> None:
    values = records(HOT_ITEMS)
    keys = keys_of(0, HOT_ITEMS)
    cache = fill_ours(ours(run.directory / "memory.db"), keys, values)
    memory = cachetools.LRUCache(10_000)
    for key, value in zip(keys, values):
        memory[key] = value
    by_key = dict(zip(keys, values))
    function = lru_cache(10_000)(by_key.__getitem__)
    on_disk = fill_diskcache(with_diskcache(run.directory / "diskcache"), keys, values)

    hot = [keys[number] for number in uniform(HOT_ITEMS, run.scaled(200_000), 1)]
    few = hot[: run.scaled(10_000)]
    assert cache.get(keys[0]) is values[0] and on_disk.get(keys[0]) == values[0]
    for _ in run.repeat():
        run.each_key("Y1 get", cache.get, hot)
        run.each_key("Y1 cachetools get", memory.get, hot)
        run.each_key("Y1 lru_cache call", function, hot)
        run.each_key("Y1 dict get", by_key.get, hot)
        run.each_key("Y1 diskcache get", on_disk.get, few)
    cache.close()
    on_disk.close()
