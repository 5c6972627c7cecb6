//! The memory in which workers of all languages tell each other what they have done.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

/// Numbers that all processes share: a file, mapped.
pub(crate) struct Board {
    slots: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: it is memory that is mapped for as long as this lives, and atomic.
unsafe impl Send for Board {}
// SAFETY: as above.
unsafe impl Sync for Board {}

impl Board {
    pub(crate) fn open(path: &str, count: usize) -> io::Result<Board> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() < 8 * count as u64 {
            return Err(io::Error::other(format!("{path} has fewer than {count} slots")));
        }
        // SAFETY: a new mapping of an open file that is long enough; a page is aligned for numbers.
        let address = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(ptr::null_mut(), 8 * count, protection, libc::MAP_SHARED, file.as_raw_fd(), 0)
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Board { slots: NonNull::new(address.cast()).expect("no mapping is at 0"), count })
    }

    pub(crate) fn slot(&self, slot: usize) -> &AtomicU64 {
        assert!(slot < self.count);
        // SAFETY: within the mapping.
        unsafe { self.slots.add(slot).as_ref() }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // SAFETY: the mapping made in open(), which nobody borrows any more.
        unsafe { libc::munmap(self.slots.as_ptr().cast(), 8 * self.count) };
    }
}
