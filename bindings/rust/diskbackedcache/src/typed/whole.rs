//! The cache as a whole.

use super::TypedCache;
#[cfg(doc)]
use crate::cache::Cache;
use crate::cache::Checked;
use crate::error::Result;
use crate::stats::Stats;

impl<T> TypedCache<T> {
    /// Removes every item from both tiers. Counters of operations stay.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.clear()?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn clear(&self) -> Result<()> {
        self.cache.clear()?;
        self.let_all_go();
        Ok(())
    }

    /// Empties the memory tier; the disk keeps everything.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.clear_memory()?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn clear_memory(&self) -> Result<()> {
        self.cache.clear_memory()?;
        self.let_all_go();
        Ok(())
    }

    fn let_all_go(&self) {
        if let Some(objects) = &self.objects {
            objects.let_all_go();
            objects.let_go(&self.cache);
        }
    }

    /// Writes pending access times to the file; see [`Cache::flush`].
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.flush()?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.cache.flush()
    }

    /// Removes all items that are past the disk TTL, and returns how many there were. Those past the memory TTL leave
    /// memory.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.purge_expired()?, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn purge_expired(&self) -> Result<u64> {
        self.purge_expired_timed(None)
    }

    /// [`purge_expired`](TypedCache::purge_expired), at a time.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.purge_expired_at(1000.0)?, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn purge_expired_at(&self, timestamp: f64) -> Result<u64> {
        self.purge_expired_timed(Some(timestamp))
    }

    fn purge_expired_timed(&self, timestamp: Option<f64>) -> Result<u64> {
        let removed = self.cache.purge_expired_timed(timestamp)?;
        self.let_go();
        Ok(removed)
    }

    /// How many items there are on disk, where every item is. Not a scan.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.count()?, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn count(&self) -> Result<u64> {
        self.cache.count()
    }

    /// The sum of the sizes of all items as JSON, in bytes. Not a scan.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.put("user:1", "Ada".to_owned())?;
    /// assert_eq!(names.total_size()?, r#""Ada""#.len() as u64);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn total_size(&self) -> Result<u64> {
        self.cache.total_size()
    }

    /// The counters of this cache and what the tiers hold, all of one moment.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.get("user:1")?;
    /// assert_eq!(names.stats()?.misses, 1);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn stats(&self) -> Result<Stats> {
        self.cache.stats()
    }

    /// Looks at everything in both tiers, and changes nothing; see [`Cache::check`]. Whether values decode is not tried.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.check()?.problems, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn check(&self) -> Result<Checked> {
        self.cache.check()
    }

    /// [`check`](TypedCache::check), and mends what it finds; see [`Cache::repair`].
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.repair()?.problems, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn repair(&self) -> Result<Checked> {
        let checked = self.cache.repair()?;
        self.let_go();
        Ok(checked)
    }
}
