package dbc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// An operation is a step that does something with an open cache.
type operation struct {
	*run
	step
	cache   caseCache
	shared  *base
	options []CallOption
}

func newOperation(r *run, s step, cache caseCache) *operation {
	o := &operation{run: r, step: s, cache: cache, shared: cache.shared()}
	if s.At != nil {
		o.options = append(o.options, AtSeconds(float64(*s.At)))
	}
	if s.Text {
		o.options = append(o.options, AsText())
	}
	return o
}

// do checks what came of the operation, and gives its status.
func (o *operation) do() (string, error) {
	switch o.Op {
	case "get":
		return o.get()
	case "get_into":
		return o.getInto()
	case "delete":
		return hit(o.shared.Delete(string(o.Key)))
	case "exists":
		return hit(o.shared.Exists(string(o.Key), o.options...))
	}
	return "DBC_OK", o.call()
}

func hit(found bool, err error) (string, error) { return statusOf(found), err }

// call is for operations that find nothing missing.
func (o *operation) call() error {
	switch o.Op {
	case "put":
		return o.put()
	case "tier":
		return o.inTier(o.Expect.Tier, o.Key)
	case "tiers":
		return errors.Join(o.inTier("memory", o.Expect.Memory...), o.inTier("disk", o.Expect.Disk...),
			o.inTier("none", o.Expect.None...))
	case "discard":
		versions, err := o.known(o.Version)
		if err != nil {
			return err
		}
		return o.shared.discard(string(o.Key), versions[0], o.WasMemoryHit != 0)
	case "put_many":
		versions, err := o.cache.putMany(o.Items, o.options)
		if err != nil {
			return err
		}
		return o.remember(versions...)
	case "get_many":
		return o.getMany()
	case "delete_many":
		return o.counted(o.shared.DeleteMany(texts(o.Keys)))
	case "close":
		return o.shared.Close()
	case "clear":
		return o.shared.Clear()
	case "clear_memory":
		return o.shared.ClearMemory()
	case "flush":
		return o.shared.Flush()
	case "purge_expired":
		return o.counted(o.shared.PurgeExpired(o.options...))
	case "count":
		return o.counted(o.shared.Count())
	case "total_size":
		size, err := o.shared.TotalSize()
		if err != nil {
			return err
		}
		return compare("total size", size, *o.Expect.Bytes)
	case "stats":
		return o.stats()
	case "dropped":
		return o.dropped()
	}
	return mismatch("unknown operation " + o.Op)
}

func (o *operation) counted(count int, err error) error {
	if err != nil {
		return err
	}
	return compare("count", count, *o.Expect.Count)
}

func (o *operation) put() error {
	stored, version, err := o.cache.put(string(o.Key), o.Value, o.objects[o.Object], o.options)
	if err != nil {
		return err
	}
	o.name(stored)
	return o.hasVersion(version)
}

func (o *operation) get() (string, error) {
	held, err := o.known(o.Held...)
	if err != nil {
		return "", err
	}
	got, err := o.cache.get(string(o.Key), append(held, 0)[0], o.options)
	if err != nil || got.status != "DBC_OK" {
		return got.status, err
	}
	want := o.Expect
	switch {
	case want.Value != nil && got.value != o.cache.expected(want.Value):
		return "", differ("value", got.value, o.cache.expected(want.Value))
	case want.Timestamp != nil && got.timestamp != *want.Timestamp:
		return "", differ("timestamp", got.timestamp, *want.Timestamp)
	case want.SameObject != "" && got.object != o.objects[want.SameObject]:
		return "", mismatch("it is another object")
	case want.OtherObject != "" && got.object == o.objects[want.OtherObject]:
		return "", mismatch("it is the same object")
	}
	o.name(got.object)
	return got.status, o.hasVersion(got.version)
}

func (o *operation) getInto() (string, error) {
	item, err := o.cache.(bytesCache).GetInto(string(o.Key), make([]byte, o.Capacity), o.options...)
	if o.Expect.Size != nil && item.Size != *o.Expect.Size {
		return "", differ("size", item.Size, *o.Expect.Size)
	}
	if err != nil || !item.Found {
		return hit(item.Found, err)
	}
	if o.Expect.Value != nil && string(item.Value) != o.cache.expected(o.Expect.Value) {
		return "", differ("value", item.Value, o.cache.expected(o.Expect.Value))
	}
	return "DBC_OK", o.hasVersion(item.Version)
}

func (o *operation) getMany() error {
	held, err := o.known(o.Held...)
	if err != nil {
		return err
	}
	rows, err := o.cache.getMany(texts(o.Keys), held, o.options)
	if err != nil {
		return err
	}
	values, statuses := o.Expect.Values, o.Expect.Statuses
	if values != nil && len(rows) != len(values) || statuses != nil && len(rows) != len(statuses) {
		return differ("number of rows", len(rows), o.Expect)
	}
	for i, want := range values {
		if string(want) == "null" {
			if rows[i].status == "DBC_OK" {
				return differ("value", rows[i].value, nil)
			}
		} else if rows[i].status != "DBC_OK" || rows[i].value != o.cache.expected(want) {
			return differ("value", rows[i], o.cache.expected(want))
		}
	}
	for i, want := range statuses {
		if rows[i].status != want {
			return differ("status", rows[i].status, want)
		}
	}
	return nil
}

func (o *operation) inTier(want string, keys ...caseText) error {
	for _, key := range keys {
		tier, err := o.shared.Tier(string(key), o.options...)
		if err == nil {
			err = compare("tier of "+string(key), tier.String(), want)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *operation) stats() error {
	stats, err := o.shared.Stats()
	if err != nil {
		return err
	}
	got := maps.Collect(stats.All())
	for name, want := range o.Expect.Stats {
		if number, ok := got[name]; !ok || number != want {
			return differ(name, number, want)
		}
	}
	if stats.TotalGets != stats.MemoryHits+stats.DiskHits+stats.Misses {
		return mismatch("the hits and misses do not add up")
	}
	return nil
}

func (o *operation) dropped() error {
	want, err := o.known(o.Expect.Versions...)
	if err != nil {
		return err
	}
	buffer := make([]uint64, 1000)
	count, overflowed := o.shared.dropped(buffer)
	if overflowed || !slices.Equal(buffer[:count], want) {
		return differ("dropped", buffer[:count], want)
	}
	return nil
}

// ---- What the table gives names to: objects and versions.

func (o *operation) name(object any) {
	if o.Object != "" {
		o.objects[o.Object] = object
	}
}

func (o *operation) remember(versions ...uint64) error {
	if o.Remember == nil {
		return nil
	}
	if len(o.Remember) != len(versions) {
		return differ("number of versions", len(versions), len(o.Remember))
	}
	for i, name := range o.Remember {
		if versions[i] == 0 {
			return mismatch("no version for " + name)
		}
		o.versions[name] = versions[i]
	}
	return nil
}

// known gives the versions of those names, 0 for the empty one.
func (o *operation) known(list ...string) ([]uint64, error) {
	var versions []uint64
	for _, name := range list {
		version, ok := o.versions[name]
		if !ok && name != "" {
			return nil, mismatch("no version " + name)
		}
		versions = append(versions, version)
	}
	return versions, nil
}

// hasVersion is for the version that a call gave.
func (o *operation) hasVersion(version uint64) error {
	if err := o.remember(version); err != nil {
		return err
	}
	others, err := o.known(o.Expect.VersionOf, o.Expect.NewerThan)
	switch {
	case err != nil:
		return err
	case o.Expect.VersionOf != "" && version != others[0]:
		return differ("version", version, others[0])
	case o.Expect.NewerThan != "" && version <= others[1]:
		return differ("version", version, fmt.Sprint("newer than ", others[1]))
	}
	return nil
}
