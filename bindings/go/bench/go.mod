module github.com/libdbc/libdbc/bindings/go/bench

go 1.25.0

require (
	github.com/dgraph-io/ristretto/v2 v2.4.2
	github.com/libdbc/libdbc/bindings/go v0.0.0
	github.com/maypok86/otter/v2 v2.4.0
	go.etcd.io/bbolt v1.5.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dustin/go-humanize v1.0.1 // indirect
	golang.org/x/sys v0.45.0 // indirect
)

replace github.com/libdbc/libdbc/bindings/go => ../
