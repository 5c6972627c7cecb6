"""Y3: a get from disk, decoded."""

from measure import Run
from subjects import LRU, fill_diskcache, fill_ours, ours, with_diskcache
from workload import ITEMS, keys_of, records, uniform


def run(run: Run) -> None:
    values = records(1000)
    keys = keys_of(0, ITEMS)
    # Keys asked for evenly and room for 1 % of them in memory: all but 1 % are disk hits.
    cache = fill_ours(ours(run.directory / "disk.db", max_memory_items=ITEMS // 100), keys, values)
    default = fill_diskcache(with_diskcache(run.directory / "diskcache"), keys, values)
    lru = fill_diskcache(with_diskcache(run.directory / "diskcache-lru", LRU), keys, values)
    for repetition in run.repeat():
        asked = [keys[number] for number in uniform(ITEMS, run.scaled(20_000), repetition)]
        few = asked[: max(1, len(asked) // 4)]
        run.each_key("Y3 get", cache.get, asked)
        cache.flush()
        run.each_key("Y3 diskcache get", default.get, asked)
        run.each_key("Y3 diskcache get, LRU", lru.get, few)
    assert cache.get_stats().disk_hits > 0.95 * cache.get_stats().total_gets
    for each in (cache, default, lru):
        each.close()
