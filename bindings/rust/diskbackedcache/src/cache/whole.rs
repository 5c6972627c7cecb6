//! The cache as a whole.

use std::ptr;

use diskbackedcache_sys as sys;

use super::{Cache, time};
#[cfg(doc)]
use crate::builder::Builder;
use crate::error::{Result, check};
use crate::stats::{self, Stats};

impl Cache {
    /// Removes every item from both tiers. Counters of operations stay.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// cache.clear()?;
    /// assert_eq!(cache.count()?, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        // SAFETY: the handle is alive.
        check(unsafe { sys::dbc_clear(self.handle()) })
    }

    /// Empties the memory tier; the disk keeps everything.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// cache.clear_memory()?;
    /// assert_eq!(cache.tier("key")?, Some(diskbackedcache::Tier::Disk));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn clear_memory(&self) -> Result<()> {
        // SAFETY: the handle is alive.
        check(unsafe { sys::dbc_clear_memory(self.handle()) })
    }

    /// Writes pending access times to the file, so that other programs see them, and all that was put with
    /// [`WriteMode::Behind`](crate::WriteMode::Behind); also what could not be written in the background before.
    ///
    /// For a cache that is never dropped, such as one in a `static`, it is the way to lose nothing when the program ends.
    ///
    /// # Errors
    /// See [`Cache`]; what was not written is pending still.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.flush()?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        // SAFETY: the handle is alive.
        check(unsafe { sys::dbc_flush(self.handle()) })
    }

    /// Removes all items that are past the disk TTL, and returns how many there were. Those past the memory TTL leave
    /// memory.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_at("key", "value", 1000.0)?;
    /// assert_eq!(cache.purge_expired()?, 1);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn purge_expired(&self) -> Result<u64> {
        self.purge_expired_timed(None)
    }

    /// [`purge_expired`](Cache::purge_expired), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put_at("key", "value", 1000.0)?;
    /// assert_eq!(cache.purge_expired_at(1000.0)?, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn purge_expired_at(&self, timestamp: f64) -> Result<u64> {
        self.purge_expired_timed(Some(timestamp))
    }

    pub(crate) fn purge_expired_timed(&self, timestamp: Option<f64>) -> Result<u64> {
        let mut removed = 0;
        // SAFETY: the handle is alive; all pointers are to what lives during the call.
        check(unsafe { sys::dbc_purge_expired(self.handle(), time(&timestamp), &raw mut removed) })?;
        Ok(removed)
    }

    /// How many items there are on disk, where every item is. Not a scan.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// assert_eq!(cache.count()?, 1);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn count(&self) -> Result<u64> {
        let mut items = 0;
        // SAFETY: the handle is alive.
        check(unsafe { sys::dbc_count(self.handle(), &raw mut items) })?;
        Ok(items)
    }

    /// The sum of the sizes of all items, in bytes. Not a scan.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.put("key", "value")?;
    /// assert_eq!(cache.total_size()?, 5);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn total_size(&self) -> Result<u64> {
        let mut bytes = 0;
        // SAFETY: the handle is alive.
        check(unsafe { sys::dbc_total_size(self.handle(), &raw mut bytes) })?;
        Ok(bytes)
    }

    /// The counters of this cache and what the tiers hold, all of one moment.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// cache.get("absent")?;
    /// assert_eq!(cache.stats()?.misses, 1);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        let mut numbers = [0; stats::COUNT];
        // SAFETY: the handle is alive; the array has room for as many numbers as is said.
        check(unsafe { sys::dbc_stats(self.handle(), numbers.as_mut_ptr(), numbers.len(), ptr::null_mut()) })?;
        Ok(Stats::from_array(&numbers))
    }

    /// With [`memory_values`](Builder::memory_values) off: which versions left memory since this was last asked. For
    /// programs that keep what they have decoded, and have to let it go then.
    ///
    /// Fills the front of `versions`, oldest first, and returns how many those are; ask again while it fills all. The
    /// list is bounded: past 1 048 576 versions it is dropped, and [`Dropped::overflowed`] says once that everything
    /// held must go.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().memory_values(false).open(":memory:", "1.0.0")?;
    /// let version = cache.put("key", "value")?;
    /// cache.delete("key")?;
    /// let mut versions = [0; 100];
    /// let dropped = cache.dropped(&mut versions)?;
    /// assert_eq!(versions[..dropped.count], [version]);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn dropped(&self, versions: &mut [u64]) -> Result<Dropped> {
        let mut count = 0;
        let mut overflowed = 0;
        // SAFETY: the handle is alive; there is room for as many versions as is said.
        check(unsafe {
            sys::dbc_dropped(self.handle(), versions.as_mut_ptr(), versions.len(), &raw mut count, &raw mut overflowed)
        })?;
        Ok(Dropped { count, overflowed: overflowed != 0 })
    }
}

/// What [`Cache::dropped`] has found.
///
/// ```
/// let cache = diskbackedcache::Cache::builder().memory_values(false).open(":memory:", "1.0.0")?;
/// let dropped = cache.dropped(&mut [0; 100])?;
/// assert_eq!((dropped.count, dropped.overflowed), (0, false));
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Dropped {
    /// How many versions were stored.
    pub count: usize,
    /// The list had become too long and was dropped: everything held must go.
    pub overflowed: bool,
}
