package dbc

// #include "calls.h"
//
// // No Go pointer outlives these calls, and nothing in them calls back. (Others may, also dbcgo_dropped: like every call
// // but those on values it can find that a damaged file was replaced, and log that.)
// #cgo noescape dbcgo_get_silent
// #cgo nocallback dbcgo_get_silent
// #cgo nocallback dbc_value_release
// #cgo nocallback dbc_result_free
import "C"

import (
	"context"
	"log/slog"
	"math"
	"runtime"
	"runtime/cgo"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"
)

// A CallOption is something that a single call may be told: see [At], [AtSeconds] and [AsText].
type CallOption struct {
	seconds float64
	timed   bool
	text    bool
}

// At makes a call count as made at that time, also when that is earlier than the times of other calls. Without
// it, a call counts as made now, by the library's clock. The time becomes a number of seconds in floating
// point, exact to less than a microsecond.
func At(moment time.Time) CallOption {
	return AtSeconds(float64(moment.Unix()) + float64(moment.Nanosecond())/1e9)
}

// AtSeconds is At for a time in seconds since the Unix epoch, which must be finite.
func AtSeconds(seconds float64) CallOption { return CallOption{seconds: seconds, timed: true} }

// AsText declares the bytes that are put to be UTF-8 text, which the sqlite3 shell then shows as text. It
// matters to the puts of a [Cache] only; a [Typed] always stores text.
func AsText() CallOption { return CallOption{text: true} }

// toTime converts a timestamp of the library's.
func toTime(seconds float64) time.Time {
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9))
}

// timeOf gives the last time among the options.
func timeOf(options []CallOption) C.dbcgo_time {
	var given C.dbcgo_time
	for _, option := range options {
		if option.timed {
			given = C.dbcgo_time{seconds: C.double(option.seconds), given: 1}
		}
	}
	return given
}

func flagsOf(options []CallOption) C.uint32_t {
	for _, option := range options {
		if option.text {
			return C.DBC_TEXT
		}
	}
	return 0
}

// A Tier is where an item would be found.
type Tier int

const (
	TierNone   Tier = C.DBC_TIER_NONE   // nowhere
	TierMemory Tier = C.DBC_TIER_MEMORY // in memory, and on disk, as everything is
	TierDisk   Tier = C.DBC_TIER_DISK   // on disk only
)

// String gives "none", "memory" or "disk".
func (t Tier) String() string { return nameOf(t, "none", "memory", "disk") }

// nameOf gives the name of a number of the library's: those that all languages share, or the number itself when it has
// none here.
func nameOf[N ~int](number N, names ...string) string {
	if number < 0 || int(number) >= len(names) {
		return strconv.Itoa(int(number))
	}
	return names[number]
}

// objectHolder is told when objects may have left memory; see objects.go.
type objectHolder interface {
	letGo()    // those that the library reports as dropped
	letAllGo() // all
}

// base is an open cache of the library, and what [Cache] and [Typed] have in common.
//
// The handle is freed when nothing refers to the base any more, and no earlier: a call may begin while another
// goroutine closes the cache, and then hears from the library that it is closed. Closing gives everything else
// back. So every call keeps the base alive until it is through.
type base struct {
	pointer *C.dbc_cache
	closed  *atomic.Bool
	log     *logSink // nil: the library does not call back
	holder  objectHolder
}

func open(path, schemaVersion string, s *settings) (*base, error) {
	switch {
	case s.wrong != nil:
		return nil, s.wrong
	case strings.IndexByte(path, 0) >= 0:
		return nil, refused("open", "path must not contain U+0000")
	case strings.IndexByte(schemaVersion, 0) >= 0:
		return nil, refused("open", "schema_version must not contain U+0000")
	}
	opened := &base{}
	var log C.uintptr_t
	level := C.int32_t(C.DBC_LOG_OFF)
	if s.logger != nil {
		level = libraryLevel(func(level slog.Level) bool { return s.logger.Enabled(context.Background(), level) })
		opened.log = &logSink{}
		opened.log.logger.Store(s.logger)
		opened.log.level.Store(int32(level))
		opened.log.handle = cgo.NewHandle(opened.log) // the library gives it back, see dbcgoLogDone
		log = C.uintptr_t(opened.log.handle)
	}
	pathBytes := append([]byte(path), 0)
	versionBytes := append([]byte(schemaVersion), 0)
	answer := C.dbcgo_open(chars(pathBytes), chars(versionBytes),
		C.size_t(len(s.numbers)), pointer(s.numberOptions), pointer(s.numbers),
		C.size_t(len(s.doubles)), pointer(s.doubleOptions), pointer(s.doubles), log, level, &opened.pointer)
	if isError(&answer) {
		return nil, failed("open", &answer)
	}
	opened.closed = new(atomic.Bool)
	runtime.AddCleanup(opened, free, unused{opened.pointer, opened.closed})
	return opened, nil
}

// unused is a handle that no call can be inside of any more.
type unused struct {
	pointer *C.dbc_cache
	closed  *atomic.Bool
}

// free frees a handle, and is the safety net for a cache that nobody closed.
func free(u unused) {
	if u.closed.Load() {
		C.dbc_free(u.pointer)
	} else {
		go C.dbc_free(u.pointer) // closing writes to the file, and other cleanups shall not wait for that
	}
}

// Close writes what is pending, such as access times, and closes the file. It waits for calls that other
// goroutines are inside of; calls that begin later fail with [ErrClosed]. Who closes while another goroutine does
// waits for that one and gets the same error, if any; closing again later does nothing. Called from within a log
// handler that a cache has called, it fails with [ErrInvalidArgument].
//
// Another error, such as [ErrIO], says that what was pending could not be written and is lost: access times, and
// with [WriteBehind] the puts that waited, of which a warning in the log tells how many. The cache is closed all the
// same. Flush first to be told while there is time to try again.
func (b *base) Close() error {
	answer := C.dbcgo_close(b.get())
	if answer.status == C.DBC_INVALID_ARGUMENT {
		return failed("close", &answer)
	}
	b.closed.Store(true)
	if b.log != nil {
		b.log.logger.Store(nil)
	}
	b.lettingAllGo()
	return b.finish("close", &answer)
}

// get gives the pointer to the handle; to a cache that was never opened the library says what is wrong.
func (b *base) get() *C.dbc_cache {
	if b == nil {
		return nil
	}
	return b.pointer
}

// finish ends a call: gives its error, and keeps the handle until here.
func (b *base) finish(op string, answer *C.dbcgo_answer) error {
	runtime.KeepAlive(b)
	if isError(answer) {
		return failed(op, answer)
	}
	return nil
}

func (b *base) lettingGo() {
	if b.holder != nil {
		b.holder.letGo()
	}
}

func (b *base) lettingAllGo() {
	if b.holder != nil {
		b.holder.letAllGo()
	}
}

// SetLogLevel drops messages below the level from now on, before they are made. Without [WithLogger] there are none.
func (b *base) SetLogLevel(level slog.Level) error {
	lowest := libraryLevel(func(known slog.Level) bool { return known >= level })
	answer := C.dbcgo_set_log_level(b.get(), lowest)
	if err := b.finish("set log level", &answer); err != nil {
		return err
	}
	if b.log != nil {
		b.log.level.Store(int32(lowest))
	}
	return nil
}

// Delete removes an item from both tiers, and tells whether there was one.
func (b *base) Delete(key string) (bool, error) {
	answer := C.dbcgo_delete(b.get(), text(key), C.size_t(len(key)))
	if err := b.finish("delete", &answer); err != nil {
		return false, err
	}
	b.lettingGo()
	return answer.status == C.DBC_OK, nil
}

// DeleteMany removes all of these items, or, after an error, none. It tells how many there were.
func (b *base) DeleteMany(keys []string) (int, error) {
	packed := packKeys(keys)
	answer := C.dbcgo_delete_many(b.get(), C.size_t(len(keys)), chars(packed.bytes), pointer(packed.sizes))
	if err := b.finish("delete many", &answer); err != nil {
		return 0, err
	}
	b.lettingGo()
	return int(answer.number), nil
}

// Exists tells whether a get would find the key. It counts as nothing and changes nothing.
func (b *base) Exists(key string, options ...CallOption) (bool, error) {
	answer := C.dbcgo_exists(b.get(), text(key), C.size_t(len(key)), timeOf(options))
	err := b.finish("exists", &answer)
	return err == nil && answer.status == C.DBC_OK, err
}

// Tier tells which tier would answer a get. It counts as nothing and changes nothing.
func (b *base) Tier(key string, options ...CallOption) (Tier, error) {
	answer := C.dbcgo_tier(b.get(), text(key), C.size_t(len(key)), timeOf(options))
	if err := b.finish("tier", &answer); err != nil {
		return TierNone, err
	}
	return Tier(answer.number), nil
}

// Clear removes every item from both tiers. The counters of operations stay.
func (b *base) Clear() error {
	answer := C.dbcgo_clear(b.get())
	if err := b.finish("clear", &answer); err != nil {
		return err
	}
	b.lettingGo()
	return nil
}

// ClearMemory empties the memory tier. The disk keeps everything.
func (b *base) ClearMemory() error {
	answer := C.dbcgo_clear_memory(b.get())
	if err := b.finish("clear memory", &answer); err != nil {
		return err
	}
	b.lettingGo()
	return nil
}

// Flush writes what is pending to the file, so that other programs see it: access times, and with [WriteBehind] the
// puts that wait. After an error it is pending still.
func (b *base) Flush() error {
	answer := C.dbcgo_flush(b.get())
	return b.finish("flush", &answer)
}

// PurgeExpired removes all items that are past the disk TTL, and tells how many there were. Items past the
// memory TTL leave memory.
func (b *base) PurgeExpired(options ...CallOption) (int, error) {
	answer := C.dbcgo_purge_expired(b.get(), timeOf(options))
	if err := b.finish("purge expired", &answer); err != nil {
		return 0, err
	}
	b.lettingGo()
	return int(answer.number), nil
}

// Count tells the number of items on disk, where every item is. It is not a scan.
func (b *base) Count() (int, error) {
	answer := C.dbcgo_count(b.get())
	err := b.finish("count", &answer)
	return int(answer.number), err
}

// TotalSize tells the sum of the sizes of all items on disk, in bytes. It is not a scan.
func (b *base) TotalSize() (int64, error) {
	answer := C.dbcgo_total_size(b.get())
	err := b.finish("total size", &answer)
	return int64(answer.number), err
}

// fetch is the library's conditional get. A value that fits into the buffer is there afterwards; a larger one
// is pinned and given back by takeValue.
func (b *base) fetch(key string, held uint64, options []CallOption, buffer []byte, dropped []uint64) C.dbcgo_answer {
	var answer C.dbcgo_answer
	if b != nil && b.log == nil {
		answer = C.dbcgo_get_silent(b.pointer, text(key), C.size_t(len(key)), C.uint64_t(held), timeOf(options),
			chars(buffer), C.size_t(len(buffer)), numbers(dropped), C.size_t(len(dropped)))
	} else {
		answer = C.dbcgo_get(b.get(), text(key), C.size_t(len(key)), C.uint64_t(held), timeOf(options),
			chars(buffer), C.size_t(len(buffer)), numbers(dropped), C.size_t(len(dropped)))
	}
	runtime.KeepAlive(b)
	return answer
}

// takeValue appends the value of a successful fetch to dst, wherever it is, and gives it back to the library.
func takeValue(answer *C.dbcgo_answer, buffer, dst []byte) []byte {
	if answer.pinned == nil {
		return append(dst, buffer[:answer.size]...)
	}
	dst = append(dst, unsafe.Slice((*byte)(answer.data), int(answer.size))...)
	C.dbc_value_release(answer.pinned)
	answer.pinned = nil
	return dst
}

// discard removes an item whose value does not decode, and takes back the hit that it was counted as.
func (b *base) discard(key string, version uint64, memoryHit bool) error {
	answer := C.dbcgo_discard(b.get(), text(key), C.size_t(len(key)), C.uint64_t(version), C.bool(memoryHit))
	return b.finish("discard", &answer)
}

// dropped fetches versions that left memory. overflowed: everything held must go.
func (b *base) dropped(versions []uint64) (count int, overflowed bool) {
	answer := C.dbcgo_dropped(b.get(), numbers(versions), C.size_t(len(versions)))
	runtime.KeepAlive(b)
	return int(answer.dropped), answer.overflowed != 0
}

func (b *base) put(op, key string, value []byte, flags C.uint32_t, options []CallOption, dropped []uint64,
) (C.dbcgo_answer, error) {
	answer := C.dbcgo_put(b.get(), text(key), C.size_t(len(key)), chars(value), C.size_t(len(value)), flags,
		timeOf(options), numbers(dropped), C.size_t(len(dropped)))
	return answer, b.finish(op, &answer)
}

func (b *base) putMany(op string, batch *batch, flags C.uint32_t, options []CallOption) ([]uint64, error) {
	count := len(batch.keys.sizes)
	versions := make([]uint64, count)
	answer := C.dbcgo_put_many(b.get(), C.size_t(count), chars(batch.keys.bytes), pointer(batch.keys.sizes),
		chars(batch.values.bytes), pointer(batch.values.sizes), flags, timeOf(options), numbers(versions))
	return versions, b.finish(op, &answer)
}

// rows is the answer to a batch of gets. The data of a row lives until free is called.
type rows struct {
	result     *C.dbc_result
	statuses   []int32
	tiers      []int32
	data       []unsafe.Pointer
	sizes      []C.size_t
	versions   []uint64
	timestamps []float64
}

func (b *base) getMany(keys []string, held []uint64, options []CallOption) (rows, error) {
	count := len(keys)
	packed := packKeys(keys)
	answer := C.dbcgo_get_many(b.get(), C.size_t(count), chars(packed.bytes), pointer(packed.sizes), numbers(held),
		timeOf(options))
	if err := b.finish("get many", &answer.answer); err != nil {
		return rows{}, err
	}
	return rows{
		result:     answer.result,
		statuses:   unsafe.Slice((*int32)(answer.statuses), count),
		tiers:      unsafe.Slice((*int32)(answer.tiers), count),
		data:       unsafe.Slice((*unsafe.Pointer)(answer.data), count),
		sizes:      unsafe.Slice(answer.sizes, count),
		versions:   unsafe.Slice((*uint64)(answer.versions), count),
		timestamps: unsafe.Slice((*float64)(answer.timestamps), count),
	}, nil
}

// value copies the value of a row.
func (r *rows) value(row int) []byte {
	size := int(r.sizes[row])
	value := make([]byte, size)
	copy(value, unsafe.Slice((*byte)(r.data[row]), size))
	return value
}

func (r *rows) free() { C.dbc_result_free(r.result) }

// The following give C the contents of what is passed, and nil for what is empty: an empty string or slice may point
// anywhere.

func text(s string) *C.char {
	if len(s) == 0 {
		return nil
	}
	return (*C.char)(unsafe.Pointer(unsafe.StringData(s)))
}

func chars(b []byte) *C.char { return (*C.char)(unsafe.Pointer(pointer(b))) }

func numbers(n []uint64) *C.uint64_t { return (*C.uint64_t)(pointer(n)) }

func pointer[E any](s []E) *E {
	if len(s) == 0 {
		return nil
	}
	return unsafe.SliceData(s)
}
