// Package bench measures what calls of the Go binding cost, beside the caches and stores that are used in their
// place. It is a module of its own, so that those are no dependencies of the binding. `go run ./report` prints
// a table.
package bench

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/dgraph-io/ristretto/v2"
	dbc "github.com/libdbc/libdbc/bindings/go"
	"github.com/maypok86/otter/v2"
	"go.etcd.io/bbolt"
)

const (
	items     = 10_000
	valueSize = 512
	batchSize = 1000
)

// object is a value of about 512 bytes in JSON.
type object struct {
	ID   int    `json:"id"`
	Text string `json:"text"`
}

var (
	keys    = make([]string, items)
	values  = make([][]byte, items)
	objects = make([]*object, items)
)

func init() {
	for i := range keys {
		keys[i] = fmt.Sprintf("key:%08d", i)
		values[i] = make([]byte, valueSize)
		text := make([]byte, valueSize-22)
		for j := range text {
			text[j] = byte('a' + (i+j)%26)
		}
		objects[i] = &object{i, string(text)}
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func openBytes(b *testing.B, options ...dbc.Option) *dbc.Cache {
	cache, err := dbc.Open(filepath.Join(b.TempDir(), "cache.db"), "1", options...)
	must(b, err)
	b.Cleanup(func() { must(b, cache.Close()) })
	return cache
}

func openObjects(b *testing.B, options ...dbc.Option) *dbc.Typed[object] {
	cache, err := dbc.OpenTyped[object](filepath.Join(b.TempDir(), "cache.db"), "1", options...)
	must(b, err)
	b.Cleanup(func() { must(b, cache.Close()) })
	return cache
}

func openOtter(*testing.B) *otter.Cache[string, *object] {
	return otter.Must(&otter.Options[string, *object]{MaximumSize: items})
}

func openRistretto(b *testing.B) *ristretto.Cache[string, *object] {
	cache, err := ristretto.NewCache(&ristretto.Config[string, *object]{
		NumCounters: 10 * items, MaxCost: 2 * items, BufferItems: 64, IgnoreInternalCost: true,
	})
	must(b, err)
	b.Cleanup(cache.Close)
	return cache
}

var bucket = []byte("cache")

// openBolt: with sync, every commit waits for the device, as with DurabilityFull; without, as with
// DurabilityNormal, but a power loss may damage the file.
func openBolt(b *testing.B, sync bool) *bbolt.DB {
	store, err := bbolt.Open(filepath.Join(b.TempDir(), "bolt.db"), 0o600, &bbolt.Options{NoSync: !sync})
	must(b, err)
	must(b, store.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	}))
	b.Cleanup(func() { must(b, store.Close()) })
	return store
}

// lockedMap is the floor: a map behind a lock, which limits and expires nothing.
type lockedMap struct {
	sync.RWMutex
	objects map[string]*object
}

func (m *lockedMap) get(key string) *object {
	m.RLock()
	defer m.RUnlock()
	return m.objects[key]
}
