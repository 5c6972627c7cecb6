//go:build dbc_source && !dbc_nozstd

package dbc

// #cgo CPPFLAGS: -DDBC_WITH_ZSTD
// #cgo pkg-config: libzstd
import "C"
