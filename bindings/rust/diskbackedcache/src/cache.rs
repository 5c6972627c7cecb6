//! The cache of bytes, which is the C API in Rust's clothes. Here is its handle, in the modules what it does.

// Apart, so that rustfmt leaves them in this order, in which the documentation shows what is in them.
mod open;

mod items;

mod batches;

mod whole;

mod check;

pub use check::Checked;
pub use items::Copied;
pub use whole::Dropped;

use std::ffi::{c_char, c_int, c_uint};
use std::fmt;
use std::path::PathBuf;
use std::ptr::{self, NonNull};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};

use diskbackedcache_sys as sys;

#[cfg(doc)]
use crate::builder::WriteMode;
#[cfg(doc)]
use crate::error::Error;
use crate::logging;
use crate::value::AsValue;

/// A cache of bytes in two tiers: memory, and one SQLite file that is the source of truth.
///
/// Keys are text of 1 to 256 characters without U+0000. Values are bytes, which may be none at all; see [`AsValue`].
///
/// Timestamps are seconds since the Unix epoch, and must be finite. Calls without one count as made now; those whose
/// names end in `_at` take one, and it counts as given, also when it is older than one given before. An item's
/// timestamp is the time of its last access: by it items expire, and by it the least recently used one is evicted when
/// a limit is exceeded.
///
/// Everything is called through `&self`, from any number of threads at once. Any number of caches in any number of
/// processes, in any language, may use one file. Dropping the cache closes it. A cache in a `static` is never dropped:
/// [`flush`](Cache::flush) or [`close`](Cache::close) it before the program ends, or the file lacks access times, and with
/// [`WriteMode::Behind`] the puts that wait.
///
/// # Errors
/// All calls give [`Error::Closed`] after [`close`](Cache::close), [`Error::InvalidArgument`] for a bad key, value or
/// timestamp, and what the file system gives them cause for: [`Busy`](Error::Busy), [`Io`](Error::Io),
/// [`Full`](Error::Full), [`Corrupt`](Error::Corrupt), [`NoMemory`](Error::NoMemory). After an error nothing has
/// changed, in neither tier.
///
/// ```
/// use diskbackedcache::Cache;
///
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("users.db");
/// let cache = Cache::open(&path, "1.0.0")?;
/// cache.put("user:1", "Ada")?;
/// assert_eq!(cache.get("user:1")?.unwrap().to_str(), Ok("Ada"));
/// drop(cache);
///
/// let cache = Cache::open(&path, "1.0.0")?;
/// assert_eq!(cache.get("user:1")?.unwrap().to_str(), Ok("Ada"));
/// # Ok::<(), diskbackedcache::Error>(())
/// ```
pub struct Cache {
    raw: NonNull<sys::dbc_cache>,
    path: PathBuf,
    /// The log level that the library was told last, and who may tell.
    told_level: AtomicI32,
    telling: Mutex<()>,
}

// SAFETY: dbc.h: "every function taking a dbc_cache may be called from any number of threads at once, dbc_close
// included". Nothing in it belongs to a thread; messages of errors do, and are fetched by the call that failed.
unsafe impl Send for Cache {}
// SAFETY: as above. dbc_free, the one exception, is called in drop(), when nobody else can be in a call.
unsafe impl Sync for Cache {}

/// NULL means now.
fn time(timestamp: &Option<f64>) -> *const f64 {
    timestamp.as_ref().map_or(ptr::null(), ptr::from_ref)
}

fn characters(key: &str) -> *const c_char {
    key.as_ptr().cast()
}

fn flags<V: AsValue>() -> c_uint {
    if V::IS_TEXT { sys::DBC_TEXT } else { 0 }
}

impl Cache {
    /// # Safety
    /// `raw` is an open handle that nobody else will free. `level` is the one it was opened with.
    pub(crate) unsafe fn from_raw(raw: NonNull<sys::dbc_cache>, path: PathBuf, level: c_int) -> Cache {
        Cache { raw, path, told_level: AtomicI32::new(level), telling: Mutex::new(()) }
    }

    /// The handle, for a call. On the way the library hears of a changed log level.
    fn handle(&self) -> *mut sys::dbc_cache {
        if self.told_level.load(Ordering::Relaxed) != logging::current_level() {
            self.tell_level();
        }
        self.raw.as_ptr()
    }

    #[cold]
    fn tell_level(&self) {
        // One at a time, so that what is told last is what was asked for last. Whoever finds another one here leaves it to
        // the next call: in a forked child that one may be a thread that is not there.
        let Ok(_telling) = self.telling.try_lock() else { return };
        let level = logging::current_level();
        // SAFETY: the handle is alive.
        if unsafe { sys::dbc_set_log_level(self.raw.as_ptr(), level) } == sys::DBC_OK {
            self.told_level.store(level, Ordering::Relaxed);
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // SAFETY: nobody else has the handle any more; values and results outlive it.
        unsafe { sys::dbc_free(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("path", &self.path).finish_non_exhaustive()
    }
}
