//go:build dbc_source

package dbc

//go:generate go run ./internal/coresources

// The core's sources are compiled with this package: each core_*.cc includes one of them. Without -O2 here, so that
// CGO_CXXFLAGS decides (go's default is -O2 -g).

// #cgo CPPFLAGS: -I${SRCDIR}/../../include -I${SRCDIR}/../../src -DDBC_STATIC -DNDEBUG
// #cgo CXXFLAGS: -std=c++20 -fvisibility=hidden -fvisibility-inlines-hidden -pthread
// #cgo LDFLAGS: -pthread
// #cgo pkg-config: sqlite3 libxxhash
import "C"
