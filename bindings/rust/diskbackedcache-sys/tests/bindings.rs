//! The declarations are those of the header, and the library that is linked in is one they fit.

use std::ffi::CStr;
use std::ptr;

use diskbackedcache_sys as sys;

/// With the feature, what is compiled was generated just now; without it, what is committed.
#[cfg(feature = "buildtime-bindgen")]
#[test]
fn committed_and_generated_declarations_agree() {
    let generated = include_str!(concat!(env!("OUT_DIR"), "/bindings.rs"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bindings.rs");
    if std::env::var_os("DBC_SYS_UPDATE").is_some() {
        std::fs::write(path, generated).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        committed == generated,
        "src/bindings.rs is not what bindgen makes of dbc.h; with DBC_SYS_UPDATE=1 this test writes it anew"
    );
}

#[test]
fn the_library_has_the_abi_of_the_declarations() {
    // SAFETY: neither has preconditions; the text is terminated and static.
    let (abi, version) = unsafe { (sys::dbc_abi_version(), CStr::from_ptr(sys::dbc_version_text())) };
    assert_eq!(abi.unsigned_abs(), sys::DBC_ABI_VERSION);
    assert!(!version.is_empty());
}

/// The version of this crate is "x.y.z+dbc." and the version of the header.
#[test]
fn the_crate_is_named_after_the_library() {
    let declared = CStr::from_bytes_with_nul(sys::DBC_VERSION_TEXT).unwrap().to_str().unwrap();
    let (_, library) = env!("CARGO_PKG_VERSION").split_once("+dbc.").expect("+dbc. in the version");
    assert_eq!(library, declared);
}

#[test]
fn the_c_api_works_as_it_is() {
    let mut cache = ptr::null_mut();
    let mut value = ptr::null_mut();
    // SAFETY: as dbc.h demands: terminated strings, sizes as given, and every handle given back once.
    unsafe {
        assert_eq!(sys::dbc_open(c":memory:".as_ptr(), c"1".as_ptr(), ptr::null(), &raw mut cache), sys::DBC_OK);
        let (key, text) = (c"key".as_ptr(), c"value".as_ptr());
        assert_eq!(
            sys::dbc_put(cache, key, 3, text.cast(), 5, sys::DBC_TEXT, ptr::null(), ptr::null_mut()),
            sys::DBC_OK
        );
        assert_eq!(sys::dbc_get(cache, key, 3, ptr::null(), &raw mut value), sys::DBC_OK);
        assert_eq!(sys::dbc_value_size(value), 5);
        sys::dbc_value_release(value);
        assert_eq!(sys::dbc_get(cache, key, 0, ptr::null(), &raw mut value), sys::DBC_INVALID_ARGUMENT);
        assert_eq!(CStr::from_ptr(sys::dbc_last_error()), c"Key cannot be empty");
        sys::dbc_free(cache);
    }
}
