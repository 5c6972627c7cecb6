"""Y2: a put, one transaction each."""

from measure import Run
from subjects import fill_diskcache, fill_ours, ours, with_diskcache
from workload import ITEMS, keys_of, records, zipf


def run(run: Run) -> None:
    values = records(1000)
    keys = keys_of(0, ITEMS)
    cache = ours(run.directory / "puts.db")
    fill_ours(cache, keys, values)
    default = with_diskcache(run.directory / "diskcache")
    fill_diskcache(default, keys, values)
    lru = with_diskcache(run.directory / "diskcache-lru", "least-recently-used")
    fill_diskcache(lru, keys, values)

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
