//! The C ABI of [libdbc](https://github.com/libdbc/libdbc), as it is. The crate `diskbackedcache` is what programs use.
#![no_std]
#![allow(non_camel_case_types)]
// The comments are the C header's.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags, rustdoc::bare_urls)]

#[cfg(feature = "buildtime-bindgen")]
include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
#[cfg(not(feature = "buildtime-bindgen"))]
include!("bindings.rs");
