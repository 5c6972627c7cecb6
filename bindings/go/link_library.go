//go:build !dbc_source

package dbc

// #cgo pkg-config: dbc
import "C"
