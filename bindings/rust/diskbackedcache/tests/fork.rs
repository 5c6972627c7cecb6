//! Parent and child both go on after a fork.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diskbackedcache::{Cache, TypedCache};

/// Runs `child` in a forked process, and says whether it went well there.
fn in_child(child: impl FnOnce()) -> bool {
    // SAFETY: the child uses this crate, whose library allows for forks, and the C library, whose allocator does; no
    // other thread of this program is inside of either. It ends without going back into the test harness.
    unsafe {
        match libc::fork() {
            0 => {
                let failed = catch_unwind(AssertUnwindSafe(child)).is_err();
                libc::_exit(i32::from(failed));
            }
            pid => {
                assert!(pid > 0);
                let mut status = 0;
                assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
                libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
            }
        }
    }
}

// One test alone in its program, so that no other thread is in the middle of something when it forks.
#[test]
fn parent_and_child_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = Cache::open(folder.path().join("bytes.db"), "1.0.0").unwrap();
    let typed = TypedCache::<String>::open(folder.path().join("typed.db"), "1.0.0").unwrap();
    bytes.put("key", "before").unwrap();
    typed.put("key", "before".to_owned()).unwrap();
    typed.put("left", "alone".to_owned()).unwrap();
    let value = bytes.get("key").unwrap().unwrap();

    assert!(in_child(|| {
        assert_eq!(&*value, b"before");
        assert_eq!(&*bytes.get("key").unwrap().unwrap(), b"before");
        assert_eq!(bytes.stats().unwrap().total_gets, 1);
        bytes.put("key", "child").unwrap();
        assert_eq!(*typed.get("key").unwrap().unwrap(), "before");
        typed.put("key", "child".to_owned()).unwrap();
        assert_eq!(*typed.get("key").unwrap().unwrap(), "child");
        assert_eq!(*typed.get("left").unwrap().unwrap(), "alone");
        assert_eq!(typed.stats().unwrap().total_gets, 3);
    }));
    assert_eq!(&*bytes.get("key").unwrap().unwrap(), b"child");
    assert_eq!(*typed.get("key").unwrap().unwrap(), "child");
    assert_eq!(*typed.get("left").unwrap().unwrap(), "alone");
    bytes.put("key", "parent").unwrap();
    typed.put("key", "parent".to_owned()).unwrap();
    assert_eq!(*typed.get("key").unwrap().unwrap(), "parent");
    // A child that fails is noticed.
    assert!(!in_child(|| panic!("on purpose")));
}
