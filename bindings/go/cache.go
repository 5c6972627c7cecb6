package dbc

// #include "calls.h"
import "C"

import (
	"iter"
	"runtime"
	"sync"
	"time"
)

// Cache is a cache of bytes. All methods may be called from any number of goroutines at once, Close included.
//
// Keys are UTF-8 of 1 to 256 characters without U+0000. Values may be empty; nil is an empty value.
type Cache struct {
	*base
}

// Open opens the cache in the SQLite file at path, and creates the file and missing parent directories.
// ":memory:" keeps the disk tier in RAM, for this cache alone. Beside the file live three more, path-wal,
// path-shm and path-dbc, which are never to be deleted while the cache is in use. Any number of caches in any
// number of processes may use one file.
//
// The schema version, 1 to 64 bytes of UTF-8, says which shape of value is stored: items that were stored under
// another one are removed, and never returned.
//
// Errors: [ErrInvalidArgument], [ErrIO], [ErrFull], [ErrBusy], [ErrCorrupt], [ErrVersion], [ErrForeign],
// [ErrNoMemory].
func Open(path, schemaVersion string, options ...Option) (*Cache, error) {
	opened, err := open(path, schemaVersion, newSettings(options))
	if err != nil {
		return nil, err
	}
	return &Cache{opened}, nil
}

// Most values fit into this much; what does not costs a second call into the library.
const scratchSize = 4096

var scratches = sync.Pool{New: func() any { return new([scratchSize]byte) }}

// Put stores an item in both tiers, then evicts until all limits hold, which may hit the item itself.
//
// Errors: [ErrInvalidArgument], also for a value larger than [WithMaxDiskSizeBytes] allows (what was stored
// before stays), [ErrClosed], [ErrBusy], [ErrIO], [ErrFull], [ErrCorrupt], [ErrNoMemory].
func (c *Cache) Put(key string, value []byte, options ...CallOption) error {
	_, err := c.put("put", key, value, flagsOf(options), options, nil)
	return err
}

// PutVersion is Put, and tells the version that the item has got; see [Item].
func (c *Cache) PutVersion(key string, value []byte, options ...CallOption) (uint64, error) {
	answer, err := c.put("put", key, value, flagsOf(options), options, nil)
	return uint64(answer.version), err
}

// Get gives a copy of the value, and whether there is one. That there is none is not an error. A value that is
// empty is not nil.
//
// A hit sets the item's timestamp; one on disk also brings the item into memory. An item that is expired or
// unusable is removed, and it is a miss.
//
// Errors: [ErrInvalidArgument], [ErrClosed], [ErrBusy], [ErrIO], [ErrFull], [ErrCorrupt], [ErrNoMemory].
func (c *Cache) Get(key string, options ...CallOption) (value []byte, ok bool, err error) {
	scratch := scratches.Get().(*[scratchSize]byte)
	defer scratches.Put(scratch)
	answer := c.fetch(key, 0, options, scratch[:], nil)
	if answer.status != C.DBC_OK {
		return nil, false, c.finish("get", &answer)
	}
	return takeValue(&answer, scratch[:], make([]byte, 0, int(answer.size))), true, nil
}

// AppendGet is Get, but appends the value to dst and gives the extended slice, or dst itself after a miss or an
// error. Where dst has room for the value, nothing is allocated.
func (c *Cache) AppendGet(dst []byte, key string, options ...CallOption) (extended []byte, ok bool, err error) {
	room := dst[len(dst):cap(dst)]
	answer := c.fetch(key, 0, options, room, nil)
	if answer.status != C.DBC_OK {
		return dst, false, c.finish("get", &answer)
	}
	if answer.pinned == nil {
		return dst[:len(dst)+int(answer.size)], true, nil
	}
	return takeValue(&answer, nil, dst), true, nil
}

// Item is a value with everything that is known of it.
type Item struct {
	// Found: the key is there. All other fields are zero when it is not.
	Found bool
	// Unchanged: the item has the version that the caller holds already, and Value is nil.
	Unchanged bool
	// Value is a copy of the value.
	Value []byte
	// Size is the size of the value in bytes; 0 when it is Unchanged.
	Size int
	// Version is the number of this state of the item: never 0, unique within the file, never used again, and
	// larger for a later put.
	Version uint64
	// Timestamp is the time of the last access, in seconds since the Unix epoch. See also Time. 0 from GetInto,
	// and when it is Unchanged.
	Timestamp float64
	// Tier is where the item was; told by GetItems only.
	Tier Tier
	// Text: the value was put as text; told by GetItem only.
	Text bool
}

// Time is the Timestamp as a time.
func (i Item) Time() time.Time { return toTime(i.Timestamp) }

// GetItem is Get, and tells more. It is also the conditional get: when the item still has the version held, no
// bytes are copied. 0 holds nothing.
func (c *Cache) GetItem(key string, held uint64, options ...CallOption) (Item, error) {
	answer := c.fetch(key, held, options, nil, nil)
	switch answer.status {
	case C.DBC_OK:
		item := Item{Found: true, Version: uint64(answer.version), Timestamp: float64(answer.timestamp),
			Size: int(answer.size), Text: answer.number != 0}
		item.Value = takeValue(&answer, nil, make([]byte, 0, item.Size))
		return item, nil
	case C.DBC_UNCHANGED:
		return Item{Found: true, Unchanged: true, Version: held}, nil
	default:
		return Item{}, c.finish("get", &answer)
	}
}

// GetInto is Get into a buffer of the caller's: the item's Value is the part of the buffer that holds it. When
// the buffer is too small, that is [ErrBufferTooSmall], which counts as a get all the same; the item then has
// Size and Version.
func (c *Cache) GetInto(key string, buffer []byte, options ...CallOption) (Item, error) {
	answer := C.dbcgo_get_into(c.base.get(), text(key), C.size_t(len(key)), timeOf(options), chars(buffer),
		C.size_t(len(buffer)))
	runtime.KeepAlive(c)
	item := Item{Size: int(answer.size), Version: uint64(answer.version)}
	if answer.status == C.DBC_OK {
		item.Value = buffer[:item.Size:item.Size]
	}
	item.Found = answer.status == C.DBC_OK || answer.status == C.DBC_BUFFER_TOO_SMALL
	return item, c.finish("get", &answer)
}

// PutMany stores all items or, after any error, none. They share one timestamp, and eviction runs once, after
// all are in. The error's message names the index of a wrong item in the order in which they were given.
//
// Errors: as [Cache.Put].
func (c *Cache) PutMany(items map[string][]byte, options ...CallOption) error {
	return c.PutSeq(func(yield func(string, []byte) bool) {
		for key, value := range items {
			if !yield(key, value) {
				return
			}
		}
	}, options...)
}

// PutSeq is PutMany for a sequence. Of a key that comes twice the later value stays.
func (c *Cache) PutSeq(items iter.Seq2[string, []byte], options ...CallOption) error {
	_, err := c.putSeq(items, options)
	return err
}

// PutSlice is PutMany for keys and values in two slices of one length. Of a key that comes twice the later
// value stays.
func (c *Cache) PutSlice(keys []string, values [][]byte, options ...CallOption) error {
	_, err := c.PutVersions(keys, values, options...)
	return err
}

// PutVersions is PutSlice, and tells the version that each item has got; see [Item].
func (c *Cache) PutVersions(keys []string, values [][]byte, options ...CallOption) ([]uint64, error) {
	items, err := pairs("put many", keys, values)
	if err != nil {
		return nil, err
	}
	return c.putSeq(items, options)
}

func (c *Cache) putSeq(items iter.Seq2[string, []byte], options []CallOption) ([]uint64, error) {
	var packed batch
	for key, value := range items {
		packed.add(key, value)
	}
	versions, err := c.putMany("put many", &packed, flagsOf(options), options)
	if err != nil {
		return nil, err
	}
	return versions, nil
}

// GetMany gives copies of the values that are there; missing keys are absent. It sets no timestamps and brings
// nothing into memory, so that a scan cannot flush the cache. What is on disk is read as of one moment. Every
// key counts as one get.
//
// Errors: as [Cache.Get].
func (c *Cache) GetMany(keys []string, options ...CallOption) (map[string][]byte, error) {
	values, err := c.GetSlice(keys, options...)
	if err != nil {
		return nil, err
	}
	return byKey(keys, values, func(value []byte) bool { return value != nil }), nil
}

// GetSlice is GetMany with a value for each key, in their order; nil where there is none. A value that is empty
// is not nil.
func (c *Cache) GetSlice(keys []string, options ...CallOption) ([][]byte, error) {
	answer, err := c.getMany(keys, nil, options)
	if err != nil {
		return nil, err
	}
	defer answer.free()
	values := make([][]byte, len(keys))
	for row, status := range answer.statuses {
		if status == C.DBC_OK {
			values[row] = answer.value(row)
		}
	}
	return values, nil
}

// GetSeq is GetMany as a sequence of what is there, in the order of the keys.
func (c *Cache) GetSeq(keys iter.Seq[string], options ...CallOption) (iter.Seq2[string, []byte], error) {
	var wanted []string
	for key := range keys {
		wanted = append(wanted, key)
	}
	values, err := c.GetSlice(wanted, options...)
	if err != nil {
		return nil, err
	}
	return present(wanted, values, func(value []byte) bool { return value != nil }), nil
}

// GetItems is GetMany with everything that is known of each item, in the order of the keys. held is nil, or has
// for each key the version that the caller holds already, or 0.
func (c *Cache) GetItems(keys []string, held []uint64, options ...CallOption) ([]Item, error) {
	if held != nil && len(held) != len(keys) {
		return nil, refused("get many", "keys and held must be equally many, got %d and %d", len(keys), len(held))
	}
	answer, err := c.getMany(keys, held, options)
	if err != nil {
		return nil, err
	}
	defer answer.free()
	items := make([]Item, len(keys))
	for row, status := range answer.statuses {
		if status == C.DBC_NOT_FOUND {
			continue
		}
		items[row] = Item{Found: true, Unchanged: status == C.DBC_UNCHANGED, Version: answer.versions[row],
			Timestamp: answer.timestamps[row], Tier: Tier(answer.tiers[row])}
		if status == C.DBC_OK {
			items[row].Value = answer.value(row)
			items[row].Size = len(items[row].Value)
		}
	}
	return items, nil
}

// byKey makes a map of the values that are there.
func byKey[V any](keys []string, values []V, there func(V) bool) map[string]V {
	found := make(map[string]V, len(keys))
	for i, value := range values {
		if there(value) {
			found[keys[i]] = value
		}
	}
	return found
}

// present iterates over the values that are there, in order.
func present[V any](keys []string, values []V, there func(V) bool) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for i, value := range values {
			if there(value) && !yield(keys[i], value) {
				return
			}
		}
	}
}
