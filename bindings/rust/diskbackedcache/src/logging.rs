//! Brings the library's messages to the `log` crate, and the level of that to the library.
//!
//! The library drops what is below its level before it makes the message, so logging that is off costs nothing. It is
//! told of a changed `log::max_level()` by the next call on the cache.

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice;

use diskbackedcache_sys as sys;
use log::{Level, LevelFilter};

/// The target of all records.
const TARGET: &str = "diskbackedcache";

thread_local! {
    static INSIDE_LOGGER: Cell<bool> = const { Cell::new(false) };
}

/// Is this thread inside of a logger that a cache has called?
pub(crate) fn inside_logger() -> bool {
    INSIDE_LOGGER.get()
}

/// The library's number for what `log` lets through now.
pub(crate) fn current_level() -> c_int {
    let level: sys::dbc_log_level = match log::max_level().min(log::STATIC_MAX_LEVEL) {
        LevelFilter::Off => sys::DBC_LOG_OFF,
        LevelFilter::Error => sys::DBC_LOG_ERROR,
        LevelFilter::Warn => sys::DBC_LOG_WARNING,
        LevelFilter::Info => sys::DBC_LOG_INFO,
        LevelFilter::Debug => sys::DBC_LOG_DEBUG,
        LevelFilter::Trace => sys::DBC_LOG_TRACE,
    };
    level as c_int
}

fn level_of(number: c_int) -> Level {
    match number as sys::dbc_log_level {
        ..sys::DBC_LOG_DEBUG => Level::Trace,
        sys::DBC_LOG_DEBUG..sys::DBC_LOG_INFO => Level::Debug,
        sys::DBC_LOG_INFO..sys::DBC_LOG_WARNING => Level::Info,
        sys::DBC_LOG_WARNING..sys::DBC_LOG_ERROR => Level::Warn,
        sys::DBC_LOG_ERROR.. => Level::Error,
    }
}

/// The `dbc_log_callback`.
///
/// # Safety
/// `message` points to `size` bytes, which live during the call.
pub(crate) unsafe extern "C" fn deliver(_context: *mut c_void, level: c_int, message: *const c_char, size: usize) {
    // SAFETY: as the caller promises.
    let message = unsafe { slice::from_raw_parts(message.cast::<u8>(), size) };
    tell(level_of(level), format_args!("{}", String::from_utf8_lossy(message)));
}

/// Tells the logger, unless this thread is inside of it.
pub(crate) fn tell(level: Level, message: fmt::Arguments<'_>) {
    // A logger that uses a cache makes messages of its own; handling those too would never end.
    if INSIDE_LOGGER.replace(true) {
        return;
    }
    // A panic must not cross the library. The panic hook has told of it, and the call that logged goes on.
    let outcome = catch_unwind(AssertUnwindSafe(|| log::log!(target: TARGET, level, "{message}")));
    if let Err(payload) = outcome {
        // What was thrown may panic once more when it is dropped.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(payload);
        }
    }
    INSIDE_LOGGER.set(false);
}
