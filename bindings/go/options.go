package dbc

// #include "calls.h"
import "C"

import (
	"io/fs"
	"log/slog"
	"math"
	"time"
)

// Forever as a TTL: items never expire.
const Forever time.Duration = math.MaxInt64

// An Option sets one of the properties of a cache that is opened; see the functions called With.
type Option func(*settings)

// Durability says what a commit survives. In every mode a killed process loses nothing that a call had acknowledged.
type Durability int

const (
	// DurabilityNormal: after a power loss the file is sound, but the last commits may be gone. The default.
	DurabilityNormal Durability = C.DBC_DURABILITY_NORMAL
	// DurabilityFull: after a power loss nothing acknowledged is gone; every put waits for the device.
	DurabilityFull Durability = C.DBC_DURABILITY_FULL
	// DurabilityOff: a power loss may damage the file (which is then found, and moved aside). The fastest.
	DurabilityOff Durability = C.DBC_DURABILITY_OFF
)

// OnCorrupt says what happens to a file that is no database, or damaged.
type OnCorrupt int

const (
	// OnCorruptRestart: it is moved aside as <name>.corrupt-<time>, with a warning in the log, and a fresh cache is
	// started. The default.
	OnCorruptRestart OnCorrupt = C.DBC_ON_CORRUPT_RESTART
	// OnCorruptFail: the call fails with ErrCorrupt, and the file is left as it is.
	OnCorruptFail OnCorrupt = C.DBC_ON_CORRUPT_FAIL
)

// Compression says how values are stored from now on; all are read, and a file may hold both kinds. Sizes and
// limits are those of the values as given. Where compression saves less than an eighth, a value is stored as
// given.
type Compression int

const (
	// CompressionNone: as given. The default.
	CompressionNone Compression = C.DBC_COMPRESSION_NONE
	// CompressionZstd: with zstd. A library that was built without it refuses this, and removes such values when it
	// meets them.
	CompressionZstd Compression = C.DBC_COMPRESSION_ZSTD
)

// WriteMode says when a put is acknowledged.
type WriteMode int

const (
	// WriteThrough: when it is committed to the file. Puts of several goroutines at once share a transaction. The
	// default.
	WriteThrough WriteMode = C.DBC_WRITE_THROUGH
	// WriteBehind: when it is in a bounded buffer in memory. This cache sees it at once; other caches, and the
	// limits on disk, when a thread of the library has committed it, many puts in one transaction. A full
	// buffer makes callers wait; nothing is dropped. When the commits fail, what the buffer holds is kept and
	// tried again, and a put gives the error once the buffer is full. Flush waits for everything, and reports
	// errors; Close flushes; batches of puts and all removals commit what waits, and then themselves. A crash
	// or a kill loses at most the buffer, and so does a program that ends without Close or Flush.
	WriteBehind WriteMode = C.DBC_WRITE_BEHIND
)

// String gives "normal", "full" or "off".
func (d Durability) String() string { return nameOf(d, "normal", "full", "off") }

// String gives "restart" or "fail".
func (o OnCorrupt) String() string { return nameOf(o, "restart", "fail") }

// String gives "none" or "zstd".
func (c Compression) String() string { return nameOf(c, "none", "zstd") }

// String gives "through" or "behind".
func (m WriteMode) String() string { return nameOf(m, "through", "behind") }

// WithMaxMemoryItems limits how many items memory holds. Default 10 000; 0 switches the memory tier off.
func WithMaxMemoryItems(items int64) Option {
	return number("max_memory_items", items)
}

// WithMaxMemorySizeBytes limits the sum of the sizes of the items in memory, in bytes. Default 64 MiB.
func WithMaxMemorySizeBytes(bytes int64) Option {
	return number("max_memory_size_bytes", bytes)
}

// WithMaxDiskItems limits how many items the file holds. Default 1 000 000, at least 1.
func WithMaxDiskItems(items int64) Option {
	return number("max_disk_items", items)
}

// WithMaxDiskSizeBytes limits the sum of the sizes of the items in the file, in bytes. Default 1 GiB, at least
// 1. A value larger than this is refused.
func WithMaxDiskSizeBytes(bytes int64) Option {
	return number("max_disk_size_bytes", bytes)
}

// WithMaxItemSizeBytes says which items live on disk only: those larger than so many bytes. Default 1 MiB.
func WithMaxItemSizeBytes(bytes int64) Option {
	return number("max_item_size_bytes", bytes)
}

// WithMemoryTTL says after which time without an access an item leaves memory. Default 5 minutes, more than 0; or
// [Forever].
func WithMemoryTTL(ttl time.Duration) Option { return duration("memory_ttl_seconds", ttl) }

// WithDiskTTL says after which time without an access an item is gone. Default 7 days, more than 0; or [Forever].
func WithDiskTTL(ttl time.Duration) Option { return duration("disk_ttl_seconds", ttl) }

// WithDurability says what a commit survives. Default [DurabilityNormal].
func WithDurability(durability Durability) Option {
	return number("durability", int64(durability))
}

// WithOnCorrupt says what happens to a damaged file. Default [OnCorruptRestart].
func WithOnCorrupt(action OnCorrupt) Option {
	return number("on_corrupt", int64(action))
}

// WithBusyTimeout limits how long a write waits for other writers before it fails with [ErrBusy]. Default 5
// seconds, from 0 to a day.
func WithBusyTimeout(timeout time.Duration) Option {
	return duration("busy_timeout_seconds", timeout)
}

// WithTouchDelay says how long the file may lag behind in access times. Default 1 second, more than 0, at most
// an hour.
func WithTouchDelay(delay time.Duration) Option { return duration("touch_delay_seconds", delay) }

// WithFileMode sets the permission bits of files that are created. Default 0600.
func WithFileMode(mode fs.FileMode) Option { return number("file_mode", int64(mode)) }

// WithWriteMode says when a put is acknowledged. Default [WriteThrough].
func WithWriteMode(mode WriteMode) Option { return number("write_mode", int64(mode)) }

// WithWriteBehindItems limits how many puts may wait to be committed, with [WriteBehind]. Default 1000, from 1 to
// 1 000 000.
func WithWriteBehindItems(items int64) Option { return number("write_behind_items", items) }

// WithWriteBehindSizeBytes limits the sum of their value sizes in bytes. Default 8 MiB, at least 1.
func WithWriteBehindSizeBytes(bytes int64) Option { return number("write_behind_size_bytes", bytes) }

// WithWriteBehindDelay limits how long a put may wait to be committed. Default 100 milliseconds, more than 0,
// at most an hour.
func WithWriteBehindDelay(delay time.Duration) Option {
	return duration("write_behind_delay_seconds", delay)
}

// WithCompression says how values are stored. Default [CompressionNone].
func WithCompression(compression Compression) Option {
	return number("compression", int64(compression))
}

// WithLogger sends the library's messages to a logger: from [LevelTrace], every operation with its outcome, to
// [slog.LevelWarn]. Which levels the logger has enabled is asked when the cache is opened; what is not enabled costs
// nothing. Use [Cache.SetLogLevel] to change it later.
//
// The logger's handler is called before the call that has something to log returns, with nothing locked. It may
// use the cache, without further messages about that, except to close it. A panic in it is written to standard
// error and otherwise without consequence. It must not call [runtime.Goexit], as testing.T.FailNow does.
func WithLogger(logger *slog.Logger) Option { return func(s *settings) { s.logger = logger } }

// settings are what the options come down to, in the order they were given.
type settings struct {
	numberOptions []C.int32_t
	numbers       []C.uint64_t
	doubleOptions []C.int32_t
	doubles       []C.double
	logger        *slog.Logger
	memoryItems   int64 // of the last WithMaxMemoryItems, or -1
	wrong         error
}

func newSettings(options []Option) *settings {
	made := &settings{memoryItems: -1}
	for _, option := range options {
		if option != nil {
			option(made)
		}
	}
	return made
}

// optionByName has the library's options by the names that all languages share.
var optionByName = map[string]C.int32_t{
	"max_memory_items":           C.DBC_MAX_MEMORY_ITEMS,
	"max_memory_size_bytes":      C.DBC_MAX_MEMORY_SIZE_BYTES,
	"max_disk_items":             C.DBC_MAX_DISK_ITEMS,
	"max_disk_size_bytes":        C.DBC_MAX_DISK_SIZE_BYTES,
	"memory_ttl_seconds":         C.DBC_MEMORY_TTL_SECONDS,
	"disk_ttl_seconds":           C.DBC_DISK_TTL_SECONDS,
	"max_item_size_bytes":        C.DBC_MAX_ITEM_SIZE_BYTES,
	"memory_values":              C.DBC_MEMORY_VALUES,
	"durability":                 C.DBC_DURABILITY,
	"busy_timeout_seconds":       C.DBC_BUSY_TIMEOUT_SECONDS,
	"on_corrupt":                 C.DBC_ON_CORRUPT,
	"touch_delay_seconds":        C.DBC_TOUCH_DELAY_SECONDS,
	"file_mode":                  C.DBC_FILE_MODE,
	"write_mode":                 C.DBC_WRITE_MODE,
	"write_behind_items":         C.DBC_WRITE_BEHIND_ITEMS,
	"write_behind_size_bytes":    C.DBC_WRITE_BEHIND_SIZE_BYTES,
	"write_behind_delay_seconds": C.DBC_WRITE_BEHIND_DELAY_SECONDS,
	"compression":                C.DBC_COMPRESSION,
}

func number(name string, value int64) Option {
	return func(s *settings) {
		if value < 0 && s.wrong == nil {
			s.wrong = refused("open", "%s must not be negative, got %d", name, value)
		}
		s.setNumber(name, value)
	}
}

func duration(name string, value time.Duration) Option {
	return func(s *settings) {
		seconds := value.Seconds()
		if value == Forever {
			seconds = math.Inf(1)
		}
		s.setDouble(name, seconds)
	}
}

func (s *settings) setNumber(name string, value int64) {
	s.numberOptions = append(s.numberOptions, optionByName[name])
	s.numbers = append(s.numbers, C.uint64_t(value))
	if name == "max_memory_items" {
		s.memoryItems = value
	}
}

func (s *settings) setDouble(name string, value float64) {
	s.doubleOptions = append(s.doubleOptions, optionByName[name])
	s.doubles = append(s.doubles, C.double(value))
}
