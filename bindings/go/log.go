package dbc

// #include "calls.h"
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/cgo"
	"runtime/debug"
	"sync/atomic"
	"time"
	"unsafe"
)

// LevelTrace is the level of the messages about every operation and its outcome, below [slog.LevelDebug].
const LevelTrace = slog.Level(-8)

// levels are those that both sides know, in order.
var levels = []struct {
	library C.int32_t
	slog    slog.Level
}{
	{C.DBC_LOG_TRACE, LevelTrace},
	{C.DBC_LOG_DEBUG, slog.LevelDebug},
	{C.DBC_LOG_INFO, slog.LevelInfo},
	{C.DBC_LOG_WARNING, slog.LevelWarn},
	{C.DBC_LOG_ERROR, slog.LevelError},
}

// libraryLevel is the library's level below which nothing is wanted.
func libraryLevel(wanted func(slog.Level) bool) C.int32_t {
	for _, level := range levels {
		if wanted(level.slog) {
			return level.library
		}
	}
	return C.DBC_LOG_OFF
}

func slogLevel(level C.int) slog.Level {
	known := levels[0].slog
	for _, candidate := range levels {
		if level >= C.int(candidate.library) {
			known = candidate.slog
		}
	}
	return known
}

// logSink stands between the library, which keeps it until the handle is freed, and the logger, which a closed cache
// shall not keep.
type logSink struct {
	logger atomic.Pointer[slog.Logger]
	handle cgo.Handle
	level  atomic.Int32 // the library's, below which nothing is wanted
}

// tell brings a message of the binding's own the way that those of the library take: not into a handler that uses the
// cache, and nothing that a handler does comes out of it. The caller keeps the cache alive until then.
func (s *logSink) tell(level C.int32_t, message string) {
	if int32(level) >= s.level.Load() {
		C.dbcgo_tell(C.uintptr_t(s.handle), level, text(message), C.size_t(len(message)))
	}
}

func (s *logSink) write(level slog.Level, message string) {
	logger := s.logger.Load()
	if logger == nil {
		return
	}
	ctx := context.Background()
	if handler := logger.Handler(); handler.Enabled(ctx, level) {
		// As with slog.Logger, what the handler could not do stays its own affair.
		_ = handler.Handle(ctx, slog.NewRecord(time.Now(), level, message, 0))
	}
}

//export dbcgoLog
func dbcgoLog(handle C.uintptr_t, level C.int, message *C.char, size C.size_t) {
	defer func() {
		// A panic cannot go on through the library.
		if reason := recover(); reason != nil {
			fmt.Fprintf(os.Stderr, "dbc: panic in a log handler: %v\n%s", reason, debug.Stack())
		}
	}()
	text := string(unsafe.Slice((*byte)(unsafe.Pointer(message)), int(size)))
	cgo.Handle(handle).Value().(*logSink).write(slogLevel(level), text)
}

//export dbcgoLogDone
func dbcgoLogDone(handle C.uintptr_t) {
	cgo.Handle(handle).Delete()
}
