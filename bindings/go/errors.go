package dbc

// #include "calls.h"
// #include <stdlib.h>
import "C"

import (
	"fmt"
	"unsafe"
)

// A Code says what kind of error it was. Codes are errors themselves, for errors.Is:
//
//	if errors.Is(err, dbc.ErrBusy) { ... }
//
// Their numbers are those of the C library and are never changed.
type Code int

// The codes. That a key is not there is no error: see [Cache.Get].
const (
	// ErrInvalidArgument: an argument is out of its range; the message names it and the limit.
	ErrInvalidArgument Code = C.DBC_INVALID_ARGUMENT
	// ErrClosed: the cache was closed.
	ErrClosed Code = C.DBC_CLOSED
	// ErrBusy: another process or program held the file beyond the busy timeout. Trying again may help.
	ErrBusy Code = C.DBC_BUSY
	// ErrIO: the operating system refused: permissions, a directory, a failing device.
	ErrIO Code = C.DBC_IO
	// ErrFull: there is no space left on the device or within the quota.
	ErrFull Code = C.DBC_FULL
	// ErrCorrupt: the file is damaged or no database, and [WithOnCorrupt] says to fail.
	ErrCorrupt Code = C.DBC_CORRUPT
	// ErrVersion: the file has a newer format than this library knows, or a process with another release has it open. It is
	// left untouched.
	ErrVersion Code = C.DBC_VERSION
	// ErrForeign: the file is a sound SQLite database, but not a cache. It is left untouched.
	ErrForeign Code = C.DBC_FOREIGN
	// ErrNoMemory: an allocation of the library failed.
	ErrNoMemory Code = C.DBC_NO_MEMORY
	// ErrBufferTooSmall: the value does not fit into the buffer, see [Cache.GetInto].
	ErrBufferTooSmall Code = C.DBC_BUFFER_TOO_SMALL
	// ErrInternal: a defect in the library; please report the message.
	ErrInternal Code = C.DBC_INTERNAL
)

// Name gives the symbolic name that all languages share, such as "DBC_CLOSED", or "DBC_UNKNOWN".
func (c Code) Name() string { return C.GoString(C.dbc_status_name(C.int(c))) }

// Error gives the symbolic name.
func (c Code) Error() string { return c.Name() }

// Error is what all functions of this package return as error. After an error nothing has changed, in neither tier.
//
// errors.Is finds its code, and its cause, if it has one:
//
//	var failure *dbc.Error
//	if errors.As(err, &failure) {
//		fmt.Println(failure.Code.Name(), failure.Message)
//	}
type Error struct {
	// Op is the operation that failed, such as "put".
	Op string
	// Code is the kind of error.
	Code Code
	// Message says what was wrong with which argument or file, and what to do.
	Message string
	// Cause is what encoding/json said, for a value that cannot be encoded; else nil.
	Cause error
}

// Error gives the operation and the message.
func (e *Error) Error() string { return "dbc: " + e.Op + ": " + e.Message }

// Unwrap gives the code and the cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Code}
	}
	return []error{e.Code, e.Cause}
}

// failed makes the error of an answer, whose message it takes over.
func failed(op string, answer *C.dbcgo_answer) error {
	message := "out of memory" // for the message itself, if there is none
	if answer.message != nil {
		message = C.GoString(answer.message)
		C.free(unsafe.Pointer(answer.message))
		answer.message = nil
	}
	return &Error{Op: op, Code: Code(answer.status), Message: message}
}

// refused makes an error for an argument that does not even reach the library.
func refused(op, format string, arguments ...any) error {
	return &Error{Op: op, Code: ErrInvalidArgument, Message: fmt.Sprintf(format, arguments...)}
}

// isError tells errors from the answers OK, NOT_FOUND and UNCHANGED.
func isError(answer *C.dbcgo_answer) bool { return answer.status >= C.DBC_INVALID_ARGUMENT }
