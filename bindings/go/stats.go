package dbc

// #include "calls.h"
import "C"

import "iter"

// Stats is one consistent snapshot: TotalGets == MemoryHits + DiskHits + Misses, always. Counters belong to the
// cache that was opened and start at 0; the Current fields and the bytes describe the tiers.
type Stats struct {
	MemoryHits         uint64
	DiskHits           uint64
	Misses             uint64
	MemoryEvictions    uint64 // made room in memory
	DiskEvictions      uint64 // made room on disk
	TotalPuts          uint64 // items stored
	TotalGets          uint64 // keys asked for by gets
	TotalDeletes       uint64 // keys asked for by deletes
	CurrentMemoryItems uint64
	CurrentDiskItems   uint64
	MemoryBytes        uint64
	DiskBytes          uint64
	MemoryExpired      uint64 // left memory because of the memory TTL
	DiskExpired        uint64 // removed because of the disk TTL
	Discarded          uint64 // removed because unusable: another schema version, a wrong checksum, not decodable
}

// counters are those that this package knows. A later library, whose header is used where it is installed, may have more.
const counters = 15

// fields are in the order of the library's enum dbc_stat.
func (s *Stats) fields() [counters]*uint64 {
	return [counters]*uint64{
		&s.MemoryHits, &s.DiskHits, &s.Misses, &s.MemoryEvictions, &s.DiskEvictions, &s.TotalPuts, &s.TotalGets,
		&s.TotalDeletes, &s.CurrentMemoryItems, &s.CurrentDiskItems, &s.MemoryBytes, &s.DiskBytes, &s.MemoryExpired,
		&s.DiskExpired, &s.Discarded,
	}
}

// All iterates over the counters with the names that all languages share, such as "memory_hits".
func (s Stats) All() iter.Seq2[string, uint64] {
	return func(yield func(string, uint64) bool) {
		for i, field := range s.fields() {
			if !yield(C.GoString(C.dbc_stat_name(C.size_t(i))), *field) {
				return
			}
		}
	}
}

// Stats takes a snapshot of the counters.
func (b *base) Stats() (Stats, error) {
	var stats Stats
	var values [counters]uint64
	answer := C.dbcgo_stats(b.get(), numbers(values[:]), C.size_t(len(values)))
	if err := b.finish("stats", &answer); err != nil {
		return Stats{}, err
	}
	for i, field := range stats.fields() {
		*field = values[i]
	}
	return stats, nil
}
