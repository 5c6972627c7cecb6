"""Y2: a put, one transaction each."""

from measure import Run
from subjects import LRU, fill_diskcache, fill_ours, ours, with_diskcache
from workload import ITEMS, keys_of, records, zipf


def run(run: Run) -> None:
    values = records(1000)
    keys = keys_of(0, ITEMS)
    cache = fill_ours(ours(run.directory / "puts.db"), keys, values)
    default = fill_diskcache(with_diskcache(run.directory / "diskcache"), keys, values)
    lru = fill_diskcache(with_diskcache(run.directory / "diskcache-lru", LRU), keys, values)

    calls = run.scaled(5000)
    fresh_at = ITEMS
    for repetition in run.repeat():
        overwrites = [(keys[number], values[number % 1000]) for number in zipf(ITEMS, calls, repetition)]
        run.each_pair("Y2 put", cache.put, overwrites)
        run.each_pair("Y2 diskcache set", default.set, overwrites)
        run.each_pair("Y2 diskcache set, LRU", lru.set, overwrites)
        fresh = [(key, values[index % 1000]) for index, key in enumerate(keys_of(fresh_at, calls // 2))]
        fresh_at += len(fresh)
        run.each_pair("Y2 put, fresh", cache.put, fresh)
        run.each_pair("Y2 diskcache set, fresh", default.set, fresh)
    for each in (cache, default, lru):
        each.close()
