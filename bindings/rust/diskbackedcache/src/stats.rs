//! Statistics.

use diskbackedcache_sys as sys;

/// A snapshot of the counters of a cache and of what the tiers hold, all of one moment.
///
/// Counters belong to the handle and start at 0. `total_gets == memory_hits + disk_hits + misses`, always.
///
/// ```
/// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
/// cache.put("key", "value")?;
/// cache.get("key")?;
/// cache.get("absent")?;
/// let stats = cache.stats()?;
/// assert_eq!((stats.memory_hits, stats.disk_hits, stats.misses, stats.total_gets), (1, 0, 1, 2));
/// assert_eq!((stats.current_disk_items, stats.disk_bytes), (1, 5));
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Gets that the memory tier answered.
    pub memory_hits: u64,
    /// Gets that the disk tier answered.
    pub disk_hits: u64,
    /// Gets that found nothing, or nothing of use.
    pub misses: u64,
    /// Items that left memory because of a limit.
    pub memory_evictions: u64,
    /// Items that were removed because of a limit of the disk tier.
    pub disk_evictions: u64,
    /// Items that were put, those of batches included.
    pub total_puts: u64,
    /// Keys that were asked for.
    pub total_gets: u64,
    /// Keys that were to be deleted.
    pub total_deletes: u64,
    /// Items in memory.
    pub current_memory_items: u64,
    /// Items on disk, where every item is.
    pub current_disk_items: u64,
    /// The sum of the sizes of the items in memory.
    pub memory_bytes: u64,
    /// The sum of the sizes of all items.
    pub disk_bytes: u64,
    /// Items that left memory because of the memory TTL.
    pub memory_expired: u64,
    /// Items that were removed because of the disk TTL.
    pub disk_expired: u64,
    /// Items that were removed because they were of no use: other schema version, checksum, decoder.
    pub discarded: u64,
}

pub(crate) const COUNT: usize = sys::DBC_STAT_COUNT as usize;

impl Stats {
    /// From the array that the library fills.
    pub(crate) fn from_array(numbers: &[u64; COUNT]) -> Stats {
        let at = |position: sys::dbc_stat| numbers[position as usize];
        Stats {
            memory_hits: at(sys::DBC_STAT_MEMORY_HITS),
            disk_hits: at(sys::DBC_STAT_DISK_HITS),
            misses: at(sys::DBC_STAT_MISSES),
            memory_evictions: at(sys::DBC_STAT_MEMORY_EVICTIONS),
            disk_evictions: at(sys::DBC_STAT_DISK_EVICTIONS),
            total_puts: at(sys::DBC_STAT_TOTAL_PUTS),
            total_gets: at(sys::DBC_STAT_TOTAL_GETS),
            total_deletes: at(sys::DBC_STAT_TOTAL_DELETES),
            current_memory_items: at(sys::DBC_STAT_CURRENT_MEMORY_ITEMS),
            current_disk_items: at(sys::DBC_STAT_CURRENT_DISK_ITEMS),
            memory_bytes: at(sys::DBC_STAT_MEMORY_BYTES),
            disk_bytes: at(sys::DBC_STAT_DISK_BYTES),
            memory_expired: at(sys::DBC_STAT_MEMORY_EXPIRED),
            disk_expired: at(sys::DBC_STAT_DISK_EXPIRED),
            discarded: at(sys::DBC_STAT_DISCARDED),
        }
    }
}
