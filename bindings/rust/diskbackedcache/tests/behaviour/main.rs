//! The behaviour of the binding: what each call does, and what bad input comes to.

mod batches;
mod bytes;
mod errors;
mod examples;
mod files;
mod growing;
mod threads;
mod typed;

use diskbackedcache::{Cache, Error};

/// A cache in RAM, with default options.
fn in_memory() -> Cache {
    Cache::open(":memory:", "1.0.0").unwrap()
}

/// The message of an error that must be one about an argument.
#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: diskbackedcache::Result<T>) -> String {
    match outcome {
        Err(Error::InvalidArgument(message)) => message,
        other => panic!("not refused: {other:?}"),
    }
}
