package dbc

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	shardCount = 64   // a power of two
	remembered = 4096 // how many versions of recent reports, at least
	reportSize = 256  // versions fetched at a time
)

// objects are the values that a typed cache holds in memory.
//
// The library decides who is in memory, in which order they leave, and whether what is there is current; here
// are only the objects that go with its decisions, each with the version that the library knows it by. A get
// passes the version that is held and hears "unchanged", or gets the bytes of another one. What leaves the
// library's memory tier is reported as a list of versions and let go here.
//
// Reports come late: between the library's answer and store, another goroutine may have fetched the report that
// the version is dropped again. So the versions of recent reports are remembered with the number of their
// report, and a store that began before that report does nothing. A version can be dropped and brought back to
// memory several times; reports from before the call began do not count. Only so many are remembered; a store
// that began earlier than memory reaches back does nothing either. That is always safe: an object that is not
// held costs one read from disk.
//
// Invariant: every object held has its key under its version in keys. Lock order: mutex, then a shard's.
type objects[T any] struct {
	fetch  func(versions []uint64) (count int, overflowed bool) // the library's reports
	seed   maphash.Seed
	shards [shardCount]shard[T]

	reports atomic.Uint64 // how many there were

	mutex     sync.Mutex // guards everything below, and all changes of shards
	keys      map[uint64]string
	recent    map[uint64]uint64 // version -> the report that dropped it
	older     map[uint64]uint64 // the same, one generation earlier
	forgotten uint64            // the last report of which something may no longer be remembered
	room      int               // how many versions a generation is for
}

type shard[T any] struct {
	sync.RWMutex
	held map[string]object[T]
	_    [32]byte // shards do not share cache lines
}

type object[T any] struct {
	version uint64
	value   *T
}

func newObjects[T any](fetch func([]uint64) (int, bool)) *objects[T] {
	made := &objects[T]{fetch: fetch, seed: maphash.MakeSeed(), room: remembered}
	made.keys = map[uint64]string{}
	made.recent = map[uint64]uint64{}
	for i := range made.shards {
		made.shards[i].held = map[string]object[T]{}
	}
	return made
}

func (o *objects[T]) shard(key string) *shard[T] {
	return &o.shards[maphash.String(o.seed, key)&(shardCount-1)]
}

// lookup gives the object held under the key, with version 0 if there is none.
func (o *objects[T]) lookup(key string) object[T] {
	shard := o.shard(key)
	shard.RLock()
	found := shard.held[key]
	shard.RUnlock()
	return found
}

// begin is called before a call whose answer shall be stored, for so many items; end when they are stored. A
// batch's own reports may be as long as itself, and have to be remembered until it is through.
func (o *objects[T]) begin(count int) (since uint64) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.room += count
	return o.reports.Load()
}

func (o *objects[T]) end(count int) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.room -= count
}

// store holds an object for a version that the library gave in a call which began at report number since. It
// gives the object that stands for this version from now on: the one already held, if there is one.
func (o *objects[T]) store(key string, version uint64, value *T, since uint64) *T {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	shard := o.shard(key)
	shard.Lock()
	defer shard.Unlock()
	present, ok := shard.held[key]
	if ok {
		if present.version == version {
			return present.value
		}
		if present.version > version {
			return value
		}
		delete(shard.held, key)
		delete(o.keys, present.version)
	}
	if since >= o.forgotten && o.recent[version] <= since && o.older[version] <= since {
		key = strings.Clone(key) // which may be a part of something much larger
		shard.held[key] = object[T]{version, value}
		o.keys[version] = key
	}
	return value
}

// forget lets an object go that the library no longer knows.
func (o *objects[T]) forget(key string, version uint64) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.remove(key, version) {
		delete(o.keys, version)
	}
}

// remove takes an object out of its shard, if it has that version. The mutex is held.
func (o *objects[T]) remove(key string, version uint64) bool {
	shard := o.shard(key)
	shard.Lock()
	defer shard.Unlock()
	if shard.held[key].version != version {
		return false
	}
	delete(shard.held, key)
	return true
}

var reportBuffers = sync.Pool{New: func() any { return new([reportSize]uint64) }}

// letGo fetches the reports, and lets go what they name.
func (o *objects[T]) letGo() {
	buffer := reportBuffers.Get().(*[reportSize]uint64)
	defer reportBuffers.Put(buffer)
	for {
		count, overflowed := o.fetch(buffer[:])
		if !o.drop(buffer[:count], overflowed) {
			return
		}
	}
}

// drop lets go what a report names, and tells whether there may be more. overflowed: anything may have been dropped.
func (o *objects[T]) drop(versions []uint64, overflowed bool) (more bool) {
	if len(versions) == 0 && !overflowed {
		return false
	}
	o.mutex.Lock()
	defer o.mutex.Unlock()
	report := o.reports.Add(1)
	if overflowed {
		o.removeAll()
	}
	for _, version := range versions {
		o.recent[version] = report
		if key, ok := o.keys[version]; ok {
			delete(o.keys, version)
			o.remove(key, version)
		}
	}
	if len(o.recent) > o.room {
		for _, dropped := range o.older {
			o.forgotten = max(o.forgotten, dropped)
		}
		o.older = o.recent
		o.recent = map[uint64]uint64{}
	}
	return overflowed || len(versions) == reportSize
}

// letAllGo lets everything go, also what calls that are still on their way would store.
func (o *objects[T]) letAllGo() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.reports.Add(1)
	o.removeAll()
}

func (o *objects[T]) removeAll() {
	o.forgotten = o.reports.Load()
	o.keys = map[uint64]string{}
	for i := range o.shards {
		shard := &o.shards[i]
		shard.Lock()
		shard.held = map[string]object[T]{}
		shard.Unlock()
	}
}
