package dbc

// #include "calls.h"
import "C"

import "iter"

// packed is many strings in one block, one after the other, and their sizes.
type packed struct {
	bytes []byte
	sizes []C.size_t
}

func (p *packed) add(part []byte) {
	p.bytes = append(p.bytes, part...)
	p.sizes = append(p.sizes, C.size_t(len(part)))
}

func packKeys(keys []string) packed {
	total := 0
	for _, key := range keys {
		total += len(key)
	}
	made := packed{make([]byte, 0, total), make([]C.size_t, 0, len(keys))}
	for _, key := range keys {
		made.addKey(key)
	}
	return made
}

func (p *packed) addKey(key string) {
	p.bytes = append(p.bytes, key...)
	p.sizes = append(p.sizes, C.size_t(len(key)))
}

// batch is what is put at once.
type batch struct {
	keys   packed
	values packed
}

func (b *batch) add(key string, value []byte) {
	b.keys.addKey(key)
	b.values.add(value)
}

// pairs iterates over keys and values that stand in two slices of one length.
func pairs[V any](op string, keys []string, values []V) (iter.Seq2[string, V], error) {
	if len(keys) != len(values) {
		return nil, refused(op, "keys and values must be equally many, got %d and %d", len(keys), len(values))
	}
	return func(yield func(string, V) bool) {
		for i, key := range keys {
			if !yield(key, values[i]) {
				return
			}
		}
	}, nil
}
