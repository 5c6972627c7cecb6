package dbc

// #include "calls.h"
import "C"

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync"
)

// Typed is a cache of values of one type, stored as JSON by encoding/json. All methods may be called from any
// number of goroutines at once, Close included.
//
// Memory answers with the same pointer that was put or decoded before, without decoding anything. So do not
// change what it points to: everyone has it, and the disk would not hear of it.
//
// The JSON is plain: programs in other languages with the same fields and the same schema version read it, and
// the sqlite3 shell shows it. What a value's MarshalJSON returns or panics with passes through, and then
// nothing was changed.
type Typed[T any] struct {
	*base
	objects *objects[T] // nil: there is no memory tier
}

// OpenTyped opens a cache for values of type T; see [Open]. Give another schema version whenever T changes in
// such a way that what was stored before should not be used any more.
func OpenTyped[T any](path, schemaVersion string, options ...Option) (*Typed[T], error) {
	return openTyped[T](path, schemaVersion, newSettings(options))
}

func openTyped[T any](path, schemaVersion string, s *settings) (*Typed[T], error) {
	if s.memoryItems != 0 {
		// Memory holds objects here, not bytes there.
		s.setNumber("memory_values", 0)
	}
	opened, err := open(path, schemaVersion, s)
	if err != nil {
		return nil, err
	}
	made := &Typed[T]{base: opened}
	if s.memoryItems != 0 {
		made.objects = newObjects[T](opened.dropped)
		opened.holder = made.objects
	}
	return made, nil
}

// Put stores a value in both tiers, then evicts until all limits hold, which may hit the value itself. Its size
// is that of its JSON.
//
// Errors: as [Cache.Put], and [ErrInvalidArgument] with encoding/json's error as cause for a value that has no
// JSON, or whose JSON is null.
func (t *Typed[T]) Put(key string, value *T, options ...CallOption) error {
	encoder := takeEncoder()
	defer encoder.giveBack()
	data, err := encoder.encode("put", key, value)
	if err != nil {
		return err
	}
	if t.objects == nil {
		_, err := t.put("put", key, data, C.DBC_TEXT, options, nil)
		return err
	}
	dropped := reportBuffers.Get().(*[reportSize]uint64)
	defer reportBuffers.Put(dropped)
	since := t.objects.reports.Load()
	answer, err := t.put("put", key, data, C.DBC_TEXT, options, dropped[:])
	if err != nil {
		return err
	}
	t.letGo(&answer, dropped)
	t.objects.store(key, uint64(answer.version), value, since)
	return nil
}

// Get gives the value, and whether there is one. That there is none is not an error.
//
// A hit sets the item's timestamp; one on disk also brings the item into memory. An item that is expired, or
// does not decode, is removed, and it is a miss; the log says why at [slog.LevelDebug].
//
// Errors: as [Cache.Get].
func (t *Typed[T]) Get(key string, options ...CallOption) (value *T, ok bool, err error) {
	if t.objects == nil {
		return t.getUnheld(key, options)
	}
	held := t.objects.lookup(key)
	if held.version == 0 {
		return t.getUnheld(key, options)
	}
	since := t.objects.reports.Load()
	answer := t.fetch(key, held.version, options, nil, nil)
	switch answer.status {
	case C.DBC_UNCHANGED:
		return held.value, true, nil
	case C.DBC_OK:
		data := takeValue(&answer, nil, nil)
		t.objects.letGo()
		return t.decoded(key, uint64(answer.version), data, since)
	case C.DBC_NOT_FOUND:
		t.objects.forget(key, held.version)
		return nil, false, nil
	default:
		return nil, false, t.finish("get", &answer)
	}
}

// getBuffers are where a get that holds nothing takes its answer.
type getBuffers struct {
	value   [scratchSize]byte
	dropped [reportSize]uint64
}

var getBufferPool = sync.Pool{New: func() any { return new(getBuffers) }}

func (t *Typed[T]) getUnheld(key string, options []CallOption) (*T, bool, error) {
	buffers := getBufferPool.Get().(*getBuffers)
	defer getBufferPool.Put(buffers)
	var since uint64
	var dropped []uint64
	if t.objects != nil {
		since = t.objects.reports.Load()
		dropped = buffers.dropped[:]
	}
	answer := t.fetch(key, 0, options, buffers.value[:], dropped)
	if answer.status != C.DBC_OK {
		return nil, false, t.finish("get", &answer)
	}
	data := buffers.value[:]
	if answer.pinned != nil {
		data = takeValue(&answer, nil, nil)
	} else {
		data = data[:answer.size]
	}
	if t.objects != nil {
		t.letGo(&answer, &buffers.dropped)
	}
	return t.decoded(key, uint64(answer.version), data, since)
}

// letGo lets go what a call has reported along with its answer.
func (t *Typed[T]) letGo(answer *C.dbcgo_answer, dropped *[reportSize]uint64) {
	if t.objects.drop(dropped[:answer.dropped], answer.overflowed != 0) {
		t.objects.letGo()
	}
}

// decoded makes the answer of a get from a value's bytes.
func (t *Typed[T]) decoded(key string, version uint64, data []byte, since uint64) (*T, bool, error) {
	value, err := decode[T](data)
	if err != nil {
		return nil, false, t.discard(key, version, err)
	}
	if t.objects != nil {
		value = t.objects.store(key, version, value, since)
	}
	return value, true, nil
}

func (t *Typed[T]) discard(key string, version uint64, reason error) error {
	err := t.base.discard(key, version, false)
	if errors.Is(err, ErrClosed) {
		return err
	}
	t.lettingGo()
	if t.log != nil {
		t.log.tell(C.DBC_LOG_DEBUG, fmt.Sprintf("get(key=%q): value does not decode: %v", key, reason))
		if err != nil {
			// A miss all the same: a reader is not to fail because writers queue.
			t.log.tell(C.DBC_LOG_WARNING, fmt.Sprintf("get(key=%q): the item, which does not decode, stays: %v", key, err))
		}
		runtime.KeepAlive(t.base)
	}
	return nil
}

// PutMany stores all values or, after any error, none. They share one timestamp, and eviction runs once, after
// all are in.
//
// Errors: as [Typed.Put].
func (t *Typed[T]) PutMany(items map[string]*T, options ...CallOption) error {
	return t.PutSeq(func(yield func(string, *T) bool) {
		for key, value := range items {
			if !yield(key, value) {
				return
			}
		}
	}, options...)
}

// PutSlice is PutMany for keys and values in two slices of one length. Of a key that comes twice the later
// value stays.
func (t *Typed[T]) PutSlice(keys []string, values []*T, options ...CallOption) error {
	items, err := pairs("put many", keys, values)
	if err != nil {
		return err
	}
	return t.PutSeq(items, options...)
}

// PutSeq is PutMany for a sequence. Of a key that comes twice the later value stays.
func (t *Typed[T]) PutSeq(items iter.Seq2[string, *T], options ...CallOption) error {
	var packed batch
	var keys []string
	var values []*T
	encoder := takeEncoder()
	defer encoder.giveBack()
	for key, value := range items {
		data, err := encoder.encode("put many", key, value)
		if err != nil {
			return err
		}
		packed.add(key, data)
		keys = append(keys, key)
		values = append(values, value)
	}
	if t.objects == nil {
		_, err := t.putMany("put many", &packed, C.DBC_TEXT, options)
		return err
	}
	since := t.objects.begin(len(keys))
	defer t.objects.end(len(keys))
	versions, err := t.putMany("put many", &packed, C.DBC_TEXT, options)
	if err != nil {
		return err
	}
	t.objects.letGo()
	for i, key := range keys {
		t.objects.store(key, versions[i], values[i], since)
	}
	return nil
}

// GetMany gives the values that are there; missing keys are absent. It sets no timestamps and brings nothing
// into memory, so that a scan cannot flush the cache. What is on disk is read as of one moment. Every key
// counts as one get.
//
// Errors: as [Cache.Get].
func (t *Typed[T]) GetMany(keys []string, options ...CallOption) (map[string]*T, error) {
	values, err := t.GetSlice(keys, options...)
	if err != nil {
		return nil, err
	}
	return byKey(keys, values, func(value *T) bool { return value != nil }), nil
}

// GetSeq is GetMany as a sequence of what is there, in the order of the keys.
func (t *Typed[T]) GetSeq(keys iter.Seq[string], options ...CallOption) (iter.Seq2[string, *T], error) {
	var wanted []string
	for key := range keys {
		wanted = append(wanted, key)
	}
	values, err := t.GetSlice(wanted, options...)
	if err != nil {
		return nil, err
	}
	return present(wanted, values, func(value *T) bool { return value != nil }), nil
}

// GetSlice is GetMany with a value for each key, in their order; nil where there is none.
func (t *Typed[T]) GetSlice(keys []string, options ...CallOption) ([]*T, error) {
	held := make([]object[T], len(keys))
	var versions []uint64
	if t.objects != nil {
		versions = make([]uint64, len(keys))
		for i, key := range keys {
			held[i] = t.objects.lookup(key)
			versions[i] = held[i].version
		}
	}
	answer, err := t.getMany(keys, versions, options)
	if err != nil {
		return nil, err
	}
	defer answer.free()
	values := make([]*T, len(keys))
	for row, status := range answer.statuses {
		switch status {
		case C.DBC_UNCHANGED:
			values[row] = held[row].value
		case C.DBC_NOT_FOUND:
			if held[row].version != 0 {
				t.objects.forget(keys[row], held[row].version)
			}
		default:
			value, err := decode[T](answer.value(row))
			if err == nil {
				values[row] = value
			} else if err := t.discard(keys[row], answer.versions[row], err); err != nil {
				return nil, err
			}
		}
	}
	return values, nil
}

// Close writes what is pending, such as access times, and closes the file; see [Cache.Close].
func (t *Typed[T]) Close() error { return t.base.Close() }

// One huge value shall not keep its memory for good.
const maxPooledBuffer = 1 << 16

// encoder makes JSON in a buffer that is used again.
type encoder struct {
	buffer bytes.Buffer
	json   *json.Encoder
}

var encoders = sync.Pool{New: func() any {
	made := &encoder{}
	made.json = json.NewEncoder(&made.buffer)
	// As other languages write it, and as people read it.
	made.json.SetEscapeHTML(false)
	return made
}}

func takeEncoder() *encoder { return encoders.Get().(*encoder) }

func (e *encoder) giveBack() {
	if e.buffer.Cap() <= maxPooledBuffer {
		encoders.Put(e)
	}
}

// encode gives the JSON of a value, until the next call.
func (e *encoder) encode(op, key string, value any) ([]byte, error) {
	e.buffer.Reset()
	if err := e.json.Encode(value); err != nil {
		return nil, &Error{Op: op, Code: ErrInvalidArgument, Cause: err,
			Message: fmt.Sprintf("the value of %q cannot be encoded: %v", key, err)}
	}
	data := bytes.TrimSuffix(e.buffer.Bytes(), []byte("\n"))
	if bytes.Equal(data, []byte("null")) {
		return nil, refused(op, "the value of %q is null in JSON, which is no value", key)
	}
	return data, nil
}

// decode gives the value, which is nil only with an error.
func decode[T any](data []byte) (*T, error) {
	var value *T
	if err := json.Unmarshal(data, &value); err != nil {
		return nil, err
	}
	if value == nil {
		return nil, fmt.Errorf("it is null")
	}
	return value, nil
}
