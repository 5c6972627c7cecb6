package dbc

// #include "calls.h"
import "C"

import "bytes"

// Findings are what a check has found.
type Findings struct {
	// Problems is how many there are.
	Problems int
	// Report has a line for each of the first; it is empty when all is well.
	Report string
}

const reportBytes = 64 << 10

// Check looks at everything: SQLite's structure of the file; every item's key, value, size, checksum, version
// and times; the order of eviction; the counts and sizes; and that what memory would answer with is what the
// disk holds. It changes nothing, and damage is a finding, not an error.
//
// It reads the whole file, as of one moment. Reads and writes go on meanwhile, but Close waits for it.
func (b *base) Check() (Findings, error) { return b.check("check", 0) }

// Repair is Check, and mends what it has found, in one transaction while other writers wait: items that cannot
// be used are removed (they count as discarded), the order, the counts and the indexes are made anew. What
// cannot be mended goes the way of [WithOnCorrupt]. The findings are those of before.
//
// Errors: [ErrClosed], [ErrBusy], [ErrIO], [ErrFull], [ErrCorrupt], [ErrNoMemory].
func (b *base) Repair() (Findings, error) { return b.check("repair", C.DBC_CHECK_REPAIR) }

func (b *base) check(op string, flags C.uint32_t) (Findings, error) {
	report := make([]byte, reportBytes)
	answer := C.dbcgo_check(b.get(), flags, chars(report), C.size_t(len(report)))
	if err := b.finish(op, &answer); err != nil {
		return Findings{}, err
	}
	b.lettingGo()
	text, _, _ := bytes.Cut(report, []byte{0})
	return Findings{int(answer.number), string(text)}, nil
}
