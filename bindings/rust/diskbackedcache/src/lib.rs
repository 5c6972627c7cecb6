//! A cache in two tiers: memory, and one SQLite file that threads, processes and languages share.
//!
//! Put an object, and get the very same `Arc` back from memory; restart, and it is still there; change its schema
//! version, and you never see a stale one. A value that another process has replaced or deleted is never returned,
//! though it is in your memory.
//!
//! - [`TypedCache`] holds objects of one type that `serde` can turn into JSON.
//! - [`Cache`] holds bytes.
//! - [`Builder`] opens either with options: limits, TTLs, durability.
//!
//! ```
//! use diskbackedcache::{Cache, TypedCache};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct User {
//!     name: String,
//!     email: String,
//! }
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("cache/users.db");
//! let users: TypedCache<User> = Cache::builder().max_memory_items(1_000).open_typed(&path, "1.0.0")?;
//! users.put("user:1", User { name: "Ada".into(), email: "ada@example.org".into() })?;
//! if let Some(user) = users.get("user:1")? {
//!     println!("{} <{}>", user.name, user.email);
//! }
//! println!("{:?}", users.stats()?);
//! # Ok::<(), diskbackedcache::Error>(())
//! ```
//!
//! # The end of a program
//! A cache is closed when it is dropped. One in a `static`, such as a [`LazyLock`](std::sync::LazyLock), never is, nor is
//! any when [`std::process::exit`] ends the program: access times of the last second do not reach the file then, and with
//! [`WriteMode::Behind`] the puts that still wait are lost. Call [`Cache::close`] or [`Cache::flush`] before.
//!
//! # Logging
//! Goes to the [`log`] crate, under the target `diskbackedcache`: every operation and its outcome at trace level,
//! opening, closing and the first eviction from disk at info, what was wrong with a file as a warning. What `log` does
//! not let through is not even made; [`log::set_max_level`] counts from the next call on. A logger may use the cache (of
//! which it then sees no messages), but not close it. A logger that panics is a logger that said nothing: the panic
//! hook tells of it, and the call goes on.
//!
//! # Forks
//! Rust's standard library does not fork, but what a program does through `libc` is allowed for: after a fork, parent
//! and child may both go on using a [`Cache`]. The child's first call opens the file anew, and its counters start at 0;
//! a cache at `":memory:"` starts empty in the child. For a [`TypedCache`] the same holds if no other thread was inside
//! of a call on it at the moment of the fork; otherwise one of its locks may be held for ever in the child, so drop it
//! (or forget it) and open another.
//!
//! # Linking
//! By default pkg-config is asked for an installed libdbc, and where there is none it is compiled from the source that
//! the crate brings; the environment variable `DBC_SYS`, set to `pkg-config` or `source`, decides. The source needs a
//! C++20 compiler and the headers of SQLite and xxHash.

mod batch;
mod builder;
mod cache;
mod error;
mod logging;
mod objects;
mod stats;
mod typed;
mod value;

pub use batch::{Entries, Entry, Rows};
pub use builder::{Builder, Compression, Durability, OnCorrupt, WriteMode};
pub use cache::{Cache, Checked, Copied, Dropped};
pub use error::{Error, Result};
pub use stats::Stats;
pub use typed::TypedCache;
pub use value::{Answer, AsValue, Tier, Value};

/// The version of the libdbc that is linked in.
///
/// ```
/// assert!(diskbackedcache::library_version().starts_with("0."));
/// ```
pub fn library_version() -> &'static str {
    // SAFETY: a terminated string in static storage.
    let text = unsafe { std::ffi::CStr::from_ptr(diskbackedcache_sys::dbc_version_text()) };
    text.to_str().unwrap_or_default()
}

/// What may grow is not to be taken for complete: a structure is not made, nor taken apart, field by field.
///
/// ```compile_fail,E0639
/// let copied = diskbackedcache::Copied { size: 0, version: 0 };
/// ```
///
/// ```compile_fail,E0639
/// let dropped = diskbackedcache::Dropped { count: 0, overflowed: false };
/// ```
///
/// ```compile_fail,E0639
/// let checked = diskbackedcache::Checked { problems: 0, report: String::new() };
/// ```
///
/// ```compile_fail,E0638
/// if let Err(diskbackedcache::Error::BufferTooSmall { needed, message }) = Ok::<(), diskbackedcache::Error>(()) {}
/// ```
///
/// ```compile_fail,E0638
/// if let Err(diskbackedcache::Error::Other { code, message }) = Ok::<(), diskbackedcache::Error>(()) {}
/// ```
#[cfg(doctest)]
struct Growing;

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
