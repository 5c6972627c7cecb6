//! Opening and closing.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::TypedCache;
use crate::builder::Builder;
#[cfg(doc)]
use crate::cache::Cache;
use crate::error::Result;
use crate::logging;

impl<T: Serialize + DeserializeOwned> TypedCache<T> {
    /// Opens a cache with default options; for others see [`Builder::open_typed`].
    ///
    /// # Errors
    /// As [`Builder::open`].
    ///
    /// ```
    /// let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>, schema_version: &str) -> Result<TypedCache<T>> {
        Builder::new().open_typed(path, schema_version)
    }
}

impl<T> TypedCache<T> {
    /// Writes what is pending and closes the file; see [`Cache::close`].
    ///
    /// # Errors
    /// As [`Cache::close`].
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// names.close()?;
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn close(&self) -> Result<()> {
        if logging::inside_logger() {
            return self.cache.close(); // which refuses
        }
        let closed = self.cache.close();
        if let Some(objects) = &self.objects {
            objects.let_all_go();
        }
        closed
    }

    /// The file, as it was given.
    ///
    /// ```
    /// # let names = diskbackedcache::TypedCache::<String>::open(":memory:", "1.0.0")?;
    /// assert_eq!(names.path().to_str(), Some(":memory:"));
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        self.cache.path()
    }
}
