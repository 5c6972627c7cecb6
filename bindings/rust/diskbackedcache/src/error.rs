//! What can go wrong.

use std::ffi::{CStr, c_int};
use std::fmt;

use diskbackedcache_sys as sys;

/// Why a call could not do what it was asked to. Nothing was changed then, in neither tier. A miss is no error.
///
/// Every error has the message that says what was wrong, and the stable [code](Error::code) of the C library, which is
/// the same in all languages.
///
/// ```
/// use diskbackedcache::{Cache, Error};
///
/// let cache = Cache::open(":memory:", "1.0.0")?;
/// match cache.put("", "no key") {
///     Err(Error::InvalidArgument(message)) => assert_eq!(message, "Key cannot be empty"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An argument is out of its range. The message names it and the limit.
    InvalidArgument(String),
    /// The cache was closed.
    Closed(String),
    /// Others kept the file busy for longer than `busy_timeout_seconds`. Try again.
    Busy(String),
    /// The operating system refused: permissions, a directory in place of a file, a failing device.
    Io(String),
    /// There is no space left on the device or within the quota.
    Full(String),
    /// The file is damaged or no database, and the cache was opened with [`OnCorrupt::Fail`](crate::OnCorrupt::Fail).
    Corrupt(String),
    /// A newer release wrote the file, in a format that this one does not know, or a process with another release has it
    /// open. It was left untouched.
    Version(String),
    /// The file is a sound SQLite database of somebody else. It was left untouched.
    Foreign(String),
    /// An allocation failed inside the library.
    NoMemory(String),
    /// The buffer given to [`Cache::get_into`](crate::Cache::get_into) is too small. Nothing was copied; it counted as a
    /// get.
    #[non_exhaustive]
    BufferTooSmall {
        /// The size of the value.
        needed: usize,
        /// What the library says about it.
        message: String,
    },
    /// A defect in the library; please report the message.
    Internal(String),
    /// Serde could not turn a value into JSON. Its [code](Error::code) is that of an invalid argument.
    Serialize(serde_json::Error),
    /// A status that a newer library gave and this release does not know.
    #[non_exhaustive]
    Other {
        /// The library's number for it.
        code: u32,
        /// What the library says about it.
        message: String,
    },
}

/// What all calls that can fail return.
///
/// ```
/// fn greeting() -> diskbackedcache::Result<usize> {
///     let cache = diskbackedcache::Cache::open(":memory:", "1.0.0")?;
///     cache.put("greeting", "hello")?;
///     Ok(cache.get("greeting")?.map_or(0, |value| value.len()))
/// }
/// assert_eq!(greeting().unwrap(), 5);
/// ```
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The number of the library's status: stable, and the same in all languages.
    ///
    /// ```
    /// use diskbackedcache::Cache;
    ///
    /// let cache = Cache::open(":memory:", "1.0.0").unwrap();
    /// cache.close().unwrap();
    /// assert_eq!(cache.get("key").unwrap_err().code(), 17);
    /// ```
    pub fn code(&self) -> u32 {
        match self {
            Error::InvalidArgument(_) | Error::Serialize(_) => sys::DBC_INVALID_ARGUMENT,
            Error::Closed(_) => sys::DBC_CLOSED,
            Error::Busy(_) => sys::DBC_BUSY,
            Error::Io(_) => sys::DBC_IO,
            Error::Full(_) => sys::DBC_FULL,
            Error::Corrupt(_) => sys::DBC_CORRUPT,
            Error::Version(_) => sys::DBC_VERSION,
            Error::Foreign(_) => sys::DBC_FOREIGN,
            Error::NoMemory(_) => sys::DBC_NO_MEMORY,
            Error::BufferTooSmall { .. } => sys::DBC_BUFFER_TOO_SMALL,
            Error::Internal(_) => sys::DBC_INTERNAL,
            Error::Other { code, .. } => *code,
        }
    }

    /// The symbolic name of the code.
    ///
    /// ```
    /// # let cache = diskbackedcache::Cache::open(":memory:", "1.0.0").unwrap();
    /// # cache.close().unwrap();
    /// assert_eq!(cache.get("key").unwrap_err().name(), "DBC_CLOSED");
    /// ```
    pub fn name(&self) -> &'static str {
        // SAFETY: takes any number and returns a terminated string in static storage.
        let name = unsafe { CStr::from_ptr(sys::dbc_status_name(self.code() as c_int)) };
        name.to_str().unwrap_or("DBC_UNKNOWN")
    }

    /// The error for a status that a call on this very thread has just given.
    pub(crate) fn last(status: sys::dbc_status) -> Error {
        // SAFETY: a terminated string, valid until the next failing call on this thread; it is copied before.
        let message = unsafe { CStr::from_ptr(sys::dbc_last_error()) }.to_string_lossy().into_owned();
        match status {
            sys::DBC_INVALID_ARGUMENT => Error::InvalidArgument(message),
            sys::DBC_CLOSED => Error::Closed(message),
            sys::DBC_BUSY => Error::Busy(message),
            sys::DBC_IO => Error::Io(message),
            sys::DBC_FULL => Error::Full(message),
            sys::DBC_CORRUPT => Error::Corrupt(message),
            sys::DBC_VERSION => Error::Version(message),
            sys::DBC_FOREIGN => Error::Foreign(message),
            sys::DBC_NO_MEMORY => Error::NoMemory(message),
            sys::DBC_INTERNAL => Error::Internal(message),
            code => Error::Other { code, message },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidArgument(message)
            | Error::Closed(message)
            | Error::Busy(message)
            | Error::Io(message)
            | Error::Full(message)
            | Error::Corrupt(message)
            | Error::Version(message)
            | Error::Foreign(message)
            | Error::NoMemory(message)
            | Error::Internal(message)
            | Error::BufferTooSmall { message, .. }
            | Error::Other { message, .. } => f.write_str(message),
            Error::Serialize(_) => f.write_str("the value cannot be serialized as JSON"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Serialize(error) => Some(error),
            _ => None,
        }
    }
}

/// Answers pass, errors become an [`Error`].
pub(crate) fn check(status: sys::dbc_status) -> Result<()> {
    match status {
        sys::DBC_OK => Ok(()),
        error => Err(Error::last(error)),
    }
}

/// The same for calls that may say "not there".
pub(crate) fn check_found(status: sys::dbc_status) -> Result<bool> {
    match status {
        sys::DBC_OK => Ok(true),
        sys::DBC_NOT_FOUND => Ok(false),
        error => Err(Error::last(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_from_the_future() {
        let error = Error::Other { code: 4711, message: "from the future".to_owned() };
        let told = (error.code(), error.name(), error.to_string());
        assert_eq!(told, (4711, "DBC_UNKNOWN", "from the future".to_owned()));
    }
}
