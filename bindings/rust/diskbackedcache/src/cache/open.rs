//! Opening and closing.

use std::path::Path;

use diskbackedcache_sys as sys;

use super::Cache;
use crate::builder::Builder;
#[cfg(doc)]
use crate::builder::WriteMode;
use crate::error::{Error, Result, check};
use crate::logging;

impl Cache {
    /// Opens a cache with default options; see [`Builder::open`].
    ///
    /// # Errors
    /// As [`Builder::open`].
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>, schema_version: &str) -> Result<Cache> {
        Builder::new().open(path, schema_version)
    }

    /// For opening one with options.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::builder().max_memory_items(100).open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Writes what is pending and closes the file. Who closes while another thread does waits for that one and is told the
    /// same; closing again later does nothing.
    ///
    /// Waits for calls that other threads are inside of; calls that begin later give [`Error::Closed`]. What was read
    /// stays readable. Dropping the cache closes it too; this is for those who want to know how that went, and for a cache
    /// in a `static`, which is never dropped.
    ///
    /// # Errors
    /// If what is pending could not be written: access times, and with [`WriteMode::Behind`] the puts that waited, are
    /// lost then (of puts a warning says how many), and the cache is closed all the same. Call [`flush`](Cache::flush)
    /// first to be told while there is time to try again. [`Error::InvalidArgument`] inside of a logger that a cache has
    /// called: the call that logs would wait for itself.
    ///
    /// ```
    /// use diskbackedcache::{Cache, Error};
    ///
    /// let cache = Cache::open(":memory:", "1.0.0")?;
    /// cache.close()?;
    /// assert!(matches!(cache.get("key"), Err(Error::Closed(_))));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        if logging::inside_logger() {
            let message = "a cache cannot be closed from within a logger that a cache has called";
            return Err(Error::InvalidArgument(message.to_owned()));
        }
        // SAFETY: the handle is alive, and may be closed while it is used.
        check(unsafe { sys::dbc_close(self.handle()) })
    }

    /// The file, as it was given.
    ///
    /// ```
    /// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// assert_eq!(cache.path().to_str(), Some(":memory:"));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        &self.path
    }
}
