package dbc

import (
	"fmt"
	"testing"
)

// fakeLibrary tells of dropped versions when it is asked.
type fakeLibrary struct {
	reports    [][]uint64
	overflowed bool
}

func (f *fakeLibrary) fetch(versions []uint64) (int, bool) {
	overflowed := f.overflowed
	f.overflowed = false
	if len(f.reports) == 0 {
		return 0, overflowed
	}
	count := copy(versions, f.reports[0])
	f.reports = f.reports[1:]
	return count, overflowed
}

func (f *fakeLibrary) drop(o *objects[int], versions ...uint64) {
	f.reports = append(f.reports, versions)
	o.letGo()
}

func newFake() (*fakeLibrary, *objects[int]) {
	library := &fakeLibrary{}
	return library, newObjects[int](library.fetch)
}

func wantHeld(t *testing.T, o *objects[int], key string, version uint64) {
	t.Helper()
	if got := o.lookup(key); got.version != version {
		t.Errorf("version %d of %s is held, expected %d", got.version, key, version)
	}
	if _, ok := o.keys[version]; version != 0 && !ok {
		t.Errorf("version %d has no key", version)
	}
}

func TestWhatIsDroppedIsLetGo(t *testing.T) {
	library, o := newFake()
	o.store("a", 1, new(int), o.reports.Load())
	o.store("b", 2, new(int), o.reports.Load())
	library.drop(o, 1)
	wantHeld(t, o, "a", 0)
	wantHeld(t, o, "b", 2)
}

func TestOneObjectStandsForAVersion(t *testing.T) {
	_, o := newFake()
	first, second := new(int), new(int)
	if o.store("a", 1, first, 0) != first || o.store("a", 1, second, 0) != first {
		t.Error("two objects for one version")
	}
}

func TestAnOlderVersionDoesNotReplaceANewerOne(t *testing.T) {
	_, o := newFake()
	o.store("a", 2, new(int), 0)
	old := new(int)
	if o.store("a", 1, old, 0) != old {
		t.Error("its own caller gets the object it has read")
	}
	wantHeld(t, o, "a", 2)
	o.store("a", 3, new(int), 0)
	wantHeld(t, o, "a", 3)
	if len(o.keys) != 1 {
		t.Error(o.keys)
	}
}

func TestAReportThatComesBeforeTheStoreCounts(t *testing.T) {
	library, o := newFake()
	since := o.reports.Load()
	library.drop(o, 1) // another goroutine was faster
	o.store("a", 1, new(int), since)
	wantHeld(t, o, "a", 0)
	// Brought back to memory by a later call.
	o.store("a", 1, new(int), o.reports.Load())
	wantHeld(t, o, "a", 1)
}

func TestAnOverflowLetsEverythingGo(t *testing.T) {
	library, o := newFake()
	since := o.reports.Load()
	o.store("a", 1, new(int), since)
	library.overflowed = true
	o.letGo()
	wantHeld(t, o, "a", 0)
	o.store("b", 2, new(int), since)
	wantHeld(t, o, "b", 0)
	o.store("c", 3, new(int), o.reports.Load())
	wantHeld(t, o, "c", 3)
}

func TestLettingAllGoCountsForCallsOnTheirWay(t *testing.T) {
	_, o := newFake()
	since := o.reports.Load()
	o.letAllGo()
	o.store("a", 1, new(int), since)
	wantHeld(t, o, "a", 0)
}

func TestForgettingLeavesOtherVersions(t *testing.T) {
	_, o := newFake()
	o.store("a", 2, new(int), 0)
	o.forget("a", 1)
	wantHeld(t, o, "a", 2)
	o.forget("a", 2)
	wantHeld(t, o, "a", 0)
	o.forget("a", 2)
	if len(o.keys) != 0 {
		t.Error(o.keys)
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	library, o := newFake()
	since := o.reports.Load()
	for version := uint64(1); version <= 10*remembered; version += reportSize {
		report := make([]uint64, reportSize)
		for i := range report {
			report[i] = version + uint64(i)
		}
		library.drop(o, report...)
	}
	if len(o.recent)+len(o.older) > 3*remembered {
		t.Error(len(o.recent), len(o.older))
	}
	// Too long ago to say: not held, which costs a read.
	o.store("a", 1<<40, new(int), since)
	wantHeld(t, o, "a", 0)
	// Still remembered.
	o.store("b", 10*remembered, new(int), o.reports.Load()-1)
	wantHeld(t, o, "b", 0)
	o.store("c", 1<<40+1, new(int), o.reports.Load())
	wantHeld(t, o, "c", 1<<40+1)
}

func TestABatchRemembersItsOwnReports(t *testing.T) {
	const count = 5 * remembered
	library, o := newFake()
	since := o.begin(count)
	for version := uint64(1); version <= count-10; version++ {
		library.reports = append(library.reports, nil)
		library.reports[len(library.reports)-1] = []uint64{version}
	}
	for len(library.reports) > 0 {
		o.letGo()
	}
	for version := uint64(1); version <= count; version++ {
		o.store(fmt.Sprint(version), version, new(int), since)
	}
	o.end(count)
	if len(o.keys) != 10 || o.room != remembered {
		t.Error(len(o.keys), o.room)
	}
}
