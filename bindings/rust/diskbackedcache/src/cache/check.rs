//! Looking for damage, and mending it.

use std::ffi::c_uint;

use diskbackedcache_sys as sys;

use super::Cache;
#[cfg(doc)]
use crate::builder::Builder;
use crate::error::{Result, check};

impl Cache {
    /// Looks at everything in both tiers, and changes nothing: the structure of the file, every item, the order of
    /// eviction, the counts, and that memory would answer with what the disk holds. Damage is a finding here, no error.
    ///
    /// Reads the whole file; reads and writes go on meanwhile, but [`close`](Cache::close) waits for it.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// let checked = cache.check()?;
    /// assert_eq!(checked.problems, 0, "{}", checked.report);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn check(&self) -> Result<Checked> {
        self.check_with(0)
    }

    /// [`check`](Cache::check), and mends what it finds while other writers wait: items that cannot be used are removed,
    /// the order, the counts and the indexes are made anew. What cannot be mended goes the way of
    /// [`on_corrupt`](Builder::on_corrupt). The answer is what was found before.
    ///
    /// # Errors
    /// See [`Cache`].
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
    /// assert_eq!(cache.repair()?.problems, 0);
    /// # Ok::<(), diskbackedcache::Error>(())
    /// ```
    pub fn repair(&self) -> Result<Checked> {
        self.check_with(sys::DBC_CHECK_REPAIR)
    }

    fn check_with(&self, flags: c_uint) -> Result<Checked> {
        let mut report = vec![0_u8; 64 * 1024];
        let mut problems = 0;
        // SAFETY: the handle is alive; the report has room for as many bytes as is said.
        check(unsafe {
            sys::dbc_check(self.handle(), flags, report.as_mut_ptr().cast(), report.len(), &raw mut problems)
        })?;
        let size = report.iter().position(|byte| *byte == 0).unwrap_or(report.len());
        Ok(Checked { problems, report: String::from_utf8_lossy(&report[..size]).into_owned() })
    }
}

/// What [`Cache::check`] and [`Cache::repair`] have found.
///
/// ```
/// let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
/// assert!(cache.check()?.report.is_empty());
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Checked {
    /// How many problems there are.
    pub problems: u64,
    /// A line for each of the first.
    pub report: String,
}
