// Package board is the memory in which workers of all languages tell each other what they have done.
package board

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// A Board is a file of 64-bit numbers that all workers have mapped.
type Board []uint64

// Open maps that many numbers of the file.
func Open(path string, slots int) (Board, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if slots == 0 {
		return nil, errors.New("a board without slots")
	}
	bytes, err := syscall.Mmap(int(file.Fd()), 0, 8*slots, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*uint64)(unsafe.Pointer(&bytes[0])), slots), nil
}

// Close gives the memory back.
func (b Board) Close() error {
	return syscall.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(&b[0])), 8*len(b)))
}

// Load reads a number.
func (b Board) Load(slot int) uint64 { return atomic.LoadUint64(&b[slot]) }

// Store writes a number.
func (b Board) Store(slot int, number uint64) { atomic.StoreUint64(&b[slot], number) }

// Add counts.
func (b Board) Add(slot int, number uint64) { atomic.AddUint64(&b[slot], number) }
