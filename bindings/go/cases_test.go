package dbc

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The table of behaviours that all languages run; tests/interop/README.md says what everything in it means.
const table = "../../tests/interop/cases.json"

type testCase struct {
	Name          string
	Shows         string
	Needs         []string
	Path          string
	SchemaVersion *caseText `json:"schema_version"`
	Options       caseOptions
	Opened        *bool
	Steps         []json.RawMessage
}

type step struct {
	Op            string
	Handle        string
	Path          string
	SchemaVersion *caseText `json:"schema_version"`
	Options       caseOptions
	Key           caseText
	Keys          []caseText
	Value         json.RawMessage
	Items         []caseItem
	At            *seconds
	Text          bool
	Held          json.RawMessage
	Remember      json.RawMessage
	Object        string
	Capacity      int
	Version       string
	WasMemoryHit  int `json:"was_memory_hit"`
	SQL           string
	Expect        expectation
}

type expectation struct {
	Status      string
	Error       string
	ErrorPart   string `json:"error_part"`
	Value       json.RawMessage
	Values      []json.RawMessage
	Statuses    []string
	Timestamp   *float64
	Size        *int
	VersionOf   string `json:"version_of"`
	NewerThan   string `json:"newer_than"`
	SameObject  string `json:"same_object"`
	OtherObject string `json:"other_object"`
	Tier        string
	Memory      []caseText
	Disk        []caseText
	None        []caseText
	Count       *int
	Bytes       *int64
	Stats       map[string]uint64
	Versions    []string
	Output      *string
}

// strict decodes JSON, and refuses members that the runner does not know.
func strict(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// caseText is a text, a repeated text, or bytes in hexadecimal.
type caseText string

func (t *caseText) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		return json.Unmarshal(data, (*string)(t))
	}
	var made struct {
		Repeat string
		Times  int
		Hex    *string
	}
	if err := strict(data, &made); err != nil {
		return err
	}
	if made.Hex != nil {
		raw, err := hex.DecodeString(*made.Hex)
		*t = caseText(raw)
		return err
	}
	*t = caseText(strings.Repeat(made.Repeat, made.Times))
	return nil
}

func texts(given []caseText) []string {
	made := make([]string, len(given))
	for i, text := range given {
		made[i] = string(text)
	}
	return made
}

type caseItem struct {
	key   string
	value json.RawMessage
}

func (i *caseItem) UnmarshalJSON(data []byte) error {
	var pair []json.RawMessage
	if err := json.Unmarshal(data, &pair); err != nil || len(pair) != 2 {
		return fmt.Errorf("%s is no pair: %w", data, err)
	}
	var key caseText
	err := json.Unmarshal(pair[0], &key)
	*i = caseItem{string(key), pair[1]}
	return err
}

type seconds float64

func (s *seconds) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case `"nan"`:
		*s = seconds(math.NaN())
	case `"inf"`:
		*s = seconds(math.Inf(1))
	case `"-inf"`:
		*s = seconds(math.Inf(-1))
	default:
		return json.Unmarshal(data, (*float64)(s))
	}
	return nil
}

type caseOptions map[string]json.RawMessage

var words = map[string]int64{
	"normal": int64(DurabilityNormal), "full": int64(DurabilityFull), "off": int64(DurabilityOff),
	"none": int64(CompressionNone), "zstd": int64(CompressionZstd),
	"through": int64(WriteThrough), "behind": int64(WriteBehind),
	"restart": int64(OnCorruptRestart), "fail": int64(OnCorruptFail),
}

// A caseCache is a cache as the table sees it. Values are compared as texts.
type caseCache interface {
	shared() *base
	// put gives the object that was stored, and its version.
	put(key string, value json.RawMessage, text bool, object any, options []CallOption) (any, uint64, error)
	get(key string, held uint64, options []CallOption) (found, error)
	putMany(items []caseItem, options []CallOption) ([]uint64, error)
	getMany(keys []string, held []uint64, options []CallOption) ([]found, error)
	expected(value json.RawMessage) string
}

type found struct {
	status    string
	value     string
	version   uint64
	timestamp float64
	object    any
}

// ---- Caches of bytes.

type bytesCache struct{ *Cache }

func (c bytesCache) shared() *base { return c.base }

func (c bytesCache) expected(value json.RawMessage) string {
	var text caseText
	if err := json.Unmarshal(value, &text); err != nil {
		panic(err)
	}
	return string(text)
}

func (c bytesCache) put(key string, value json.RawMessage, text bool, _ any, options []CallOption,
) (any, uint64, error) {
	if text {
		options = append(options, AsText())
	}
	version, err := c.PutVersion(key, []byte(c.expected(value)), options...)
	return nil, version, err
}

func (c bytesCache) found(item Item) found {
	made := found{status: "DBC_OK", value: string(item.Value), version: item.Version, timestamp: item.Timestamp}
	if !item.Found {
		made.status = "DBC_NOT_FOUND"
	} else if item.Unchanged {
		made.status = "DBC_UNCHANGED"
	}
	return made
}

func (c bytesCache) get(key string, held uint64, options []CallOption) (found, error) {
	item, err := c.GetItem(key, held, options...)
	return c.found(item), err
}

func (c bytesCache) putMany(items []caseItem, options []CallOption) ([]uint64, error) {
	keys, values := make([]string, len(items)), make([][]byte, len(items))
	for i, item := range items {
		keys[i], values[i] = item.key, []byte(c.expected(item.value))
	}
	return c.PutVersions(keys, values, options...)
}

func (c bytesCache) getMany(keys []string, held []uint64, options []CallOption) ([]found, error) {
	items, err := c.GetItems(keys, held, options...)
	made := make([]found, len(items))
	for i, item := range items {
		made[i] = c.found(item)
	}
	return made, err
}

// ---- Typed caches: of records, and of numbers for the cases that all languages run.

type caseRecord struct {
	ID      int64        `json:"id"`
	Name    string       `json:"name"`
	Tags    []string     `json:"tags"`
	Score   *float64     `json:"score"`
	Address *caseAddress `json:"address"`
}

type caseAddress struct {
	City string `json:"city"`
	Zip  string `json:"zip"`
}

type typedCache[T any] struct{ *Typed[T] }

func (c typedCache[T]) shared() *base { return c.base }

func (c typedCache[T]) value(value json.RawMessage) *T {
	made := new(T)
	if number, ok := any(made).(*json.Number); ok {
		*number = json.Number(bytesCache{}.expected(value))
	} else if err := strict(value, made); err != nil {
		panic(err)
	}
	return made
}

func (c typedCache[T]) text(value *T) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (c typedCache[T]) expected(value json.RawMessage) string { return c.text(c.value(value)) }

func (c typedCache[T]) put(key string, value json.RawMessage, _ bool, object any, options []CallOption,
) (any, uint64, error) {
	typed, ok := object.(*T)
	if !ok {
		typed = c.value(value)
	}
	return typed, 0, c.Put(key, typed, options...)
}

func (c typedCache[T]) found(value *T, ok bool) found {
	if !ok {
		return found{status: "DBC_NOT_FOUND"}
	}
	return found{status: "DBC_OK", value: c.text(value), object: value}
}

func (c typedCache[T]) get(key string, _ uint64, options []CallOption) (found, error) {
	value, ok, err := c.Get(key, options...)
	return c.found(value, ok), err
}

func (c typedCache[T]) putMany(items []caseItem, options []CallOption) ([]uint64, error) {
	keys, values := make([]string, len(items)), make([]*T, len(items))
	for i, item := range items {
		keys[i], values[i] = item.key, c.value(item.value)
	}
	return nil, c.PutSlice(keys, values, options...)
}

func (c typedCache[T]) getMany(keys []string, _ []uint64, options []CallOption) ([]found, error) {
	values, err := c.GetSlice(keys, options...)
	made := make([]found, len(values))
	for i, value := range values {
		made[i] = c.found(value, value != nil)
	}
	return made, err
}

// ---- Running.

// A runner runs the cases that need nothing but its features.
type runner struct {
	name     string
	features []string
	needs    string // if not empty, a case must need it
	open     func(path, version string, s *settings) (caseCache, error)
}

var runners = []runner{
	{"bytes", []string{"bytes", "raw_keys", "versions", "timestamps", "into", "binding"}, "",
		func(path, version string, s *settings) (caseCache, error) {
			opened, err := open(path, version, s)
			return bytesCache{&Cache{opened}}, err
		}},
	{"numbers", []string{"raw_keys"}, "", openTypedCase[json.Number]},
	{"records", []string{"objects"}, "objects", openTypedCase[caseRecord]},
}

func openTypedCase[T any](path, version string, s *settings) (caseCache, error) {
	opened, err := openTyped[T](path, version, s)
	return typedCache[T]{opened}, err
}

func TestCases(t *testing.T) {
	text, err := os.ReadFile(table)
	must(t, err)
	var all struct {
		Schema string `json:"$schema"`
		Cases  []testCase
	}
	must(t, strict(text, &all))
	for _, runner := range runners {
		t.Run(runner.name, func(t *testing.T) {
			ran, shown := 0, map[string]bool{}
			for _, c := range all.Cases {
				wanted := runner.needs == "" || slices.Contains(c.Needs, runner.needs)
				for _, need := range c.Needs {
					wanted = wanted && slices.Contains(runner.features, need)
				}
				if !wanted {
					continue
				}
				ran++
				for _, need := range c.Needs {
					shown[need] = true
				}
				t.Run(c.Name, func(t *testing.T) { runCase(t, runner, c) })
			}
			if ran == 0 || len(shown) != len(runner.features) {
				t.Errorf("%d cases ran, which showed %v of %v", ran, shown, runner.features)
			}
		})
	}
}

// A run is a case on its way.
type run struct {
	*testing.T
	runner   runner
	c        testCase
	folder   string
	handles  map[string]caseCache
	opened   map[string]step // with which settings
	versions map[string]uint64
	objects  map[string]any
}

func runCase(t *testing.T, runner runner, c testCase) {
	t.Parallel()
	r := &run{t, runner, c, t.TempDir(), map[string]caseCache{}, map[string]step{}, map[string]uint64{}, map[string]any{}}
	defer func() {
		for _, cache := range r.handles {
			must(t, cache.shared().Close())
		}
	}()
	if c.Opened == nil || *c.Opened {
		must(t, r.open("a", step{}))
	}
	for number, text := range c.Steps {
		var s step
		if err := strict(text, &s); err != nil {
			t.Fatalf("step %d: %v", number, err)
		}
		if s.Handle == "" {
			s.Handle = "a"
		}
		status, err := r.do(s)
		if s.Expect.Status == "" {
			s.Expect.Status = "DBC_OK"
		}
		if err != nil {
			err = r.checkError(s, err)
		} else if status != s.Expect.Status {
			err = fmt.Errorf("expected %s, got %s", s.Expect.Status, status)
		}
		if err != nil {
			t.Fatalf("step %d: %s: %v", number, text, err)
		}
	}
}

// A mismatch is what a step found to be wrong, unlike an error that the cache gave.
type mismatch string

func (m mismatch) Error() string { return string(m) }

func differ(what string, got, want any) error {
	return mismatch(fmt.Sprintf("%s is %v, expected %v", what, got, want))
}

func (r *run) checkError(s step, err error) error {
	var failure *Error
	if !errors.As(err, &failure) {
		return err
	}
	switch {
	case failure.Code.Name() != s.Expect.Status:
		return fmt.Errorf("expected %s, got %s: %w", s.Expect.Status, failure.Code.Name(), err)
	case s.Expect.Error == "" && s.Expect.ErrorPart == "":
		return fmt.Errorf("the case says nothing of the message: %w", err)
	case s.Expect.Error != "" && failure.Message != s.Expect.Error,
		!strings.Contains(failure.Message, s.Expect.ErrorPart):
		return fmt.Errorf("another message: %q", failure.Message)
	}
	return nil
}

func (r *run) path(path string) string {
	if path == ":memory:" {
		return path
	}
	return filepath.Join(r.folder, path)
}

func (r *run) open(handle string, s step) error {
	if s.Path == "" {
		s.Path = r.c.Path
	}
	if s.Path == "" {
		s.Path = "cache.db"
	}
	if s.SchemaVersion == nil {
		s.SchemaVersion = r.c.SchemaVersion
	}
	if s.SchemaVersion == nil {
		one := caseText("1")
		s.SchemaVersion = &one
	}
	if s.Options == nil {
		s.Options = r.c.Options
	}
	set, err := settingsOf(s.Options)
	if err != nil {
		return err
	}
	cache, err := r.runner.open(r.path(s.Path), string(*s.SchemaVersion), set)
	if err != nil {
		return err
	}
	if _, ok := r.handles[handle]; ok {
		return mismatch("a handle of this name is open already")
	}
	r.handles[handle], r.opened[handle] = cache, s
	return nil
}

func settingsOf(options caseOptions) (*settings, error) {
	made := newSettings(nil)
	for name, text := range options {
		if _, ok := optionByName[name]; !ok {
			return nil, mismatch("unknown option " + name)
		}
		var word string
		var double seconds
		switch {
		case strings.HasSuffix(name, "_seconds"):
			if err := json.Unmarshal(text, &double); err != nil {
				return nil, err
			}
			made.setDouble(name, float64(double))
		case json.Unmarshal(text, &word) == nil:
			number, ok := words[word]
			if !ok {
				return nil, mismatch("unknown word " + word)
			}
			made.setNumber(name, number)
		default:
			var number int64
			if err := json.Unmarshal(text, &number); err != nil {
				return nil, err
			}
			made.setNumber(name, number)
		}
	}
	return made, nil
}

// do takes a step, checks what came of it, and gives its status.
func (r *run) do(s step) (string, error) {
	switch s.Op {
	case "open":
		return "DBC_OK", r.open(s.Handle, s)
	case "sql":
		return "DBC_OK", r.sql(s)
	case "write_file":
		return "DBC_OK", os.WriteFile(r.path(s.Path), []byte(bytesCache{}.expected(s.Value)), 0o600)
	}
	cache, ok := r.handles[s.Handle]
	if !ok {
		return "", mismatch("no handle " + s.Handle)
	}
	var options []CallOption
	if s.At != nil {
		options = append(options, AtSeconds(float64(*s.At)))
	}
	shared := cache.shared()
	key := string(s.Key)
	switch s.Op {
	case "close":
		return "DBC_OK", shared.Close()
	case "reopen":
		if err := shared.Close(); err != nil {
			return "", err
		}
		delete(r.handles, s.Handle)
		again := r.opened[s.Handle]
		if s.SchemaVersion != nil {
			again.SchemaVersion = s.SchemaVersion
		}
		if s.Options != nil {
			again.Options = s.Options
		}
		return "DBC_OK", r.open(s.Handle, again)
	case "put":
		stored, version, err := cache.put(key, s.Value, s.Text, r.objects[s.Object], options)
		if err != nil {
			return "", err
		}
		if s.Object != "" {
			r.objects[s.Object] = stored
		}
		return "DBC_OK", errors.Join(r.remember(s.Remember, version), r.checkNewer(s, version))
	case "get":
		return r.get(cache, s, key, options)
	case "get_into":
		return r.getInto(cache.(bytesCache), s, key, options)
	case "delete":
		removed, err := shared.Delete(key)
		return yes(removed), err
	case "exists":
		exists, err := shared.Exists(key, options...)
		return yes(exists), err
	case "tier":
		tier, err := shared.Tier(key, options...)
		if err == nil && tier.String() != s.Expect.Tier {
			err = differ("tier", tier, s.Expect.Tier)
		}
		return "DBC_OK", err
	case "tiers":
		return "DBC_OK", r.tiers(shared, s, options)
	case "put_many":
		if s.Text {
			options = append(options, AsText())
		}
		versions, err := cache.putMany(s.Items, options)
		if err != nil {
			return "", err
		}
		return "DBC_OK", r.remember(s.Remember, versions...)
	case "get_many":
		return "DBC_OK", r.getMany(cache, s, options)
	case "delete_many":
		count, err := shared.DeleteMany(texts(s.Keys))
		return "DBC_OK", checkCount(s, count, err)
	case "clear":
		return "DBC_OK", shared.Clear()
	case "clear_memory":
		return "DBC_OK", shared.ClearMemory()
	case "flush":
		return "DBC_OK", shared.Flush()
	case "purge_expired":
		count, err := shared.PurgeExpired(options...)
		return "DBC_OK", checkCount(s, count, err)
	case "count":
		count, err := shared.Count()
		return "DBC_OK", checkCount(s, count, err)
	case "total_size":
		size, err := shared.TotalSize()
		if err == nil && size != *s.Expect.Bytes {
			err = differ("total size", size, *s.Expect.Bytes)
		}
		return "DBC_OK", err
	case "stats":
		return "DBC_OK", r.stats(shared, s)
	case "discard":
		version, err := r.version(s.Version)
		if err != nil {
			return "", err
		}
		return "DBC_OK", shared.discard(key, version, s.WasMemoryHit != 0)
	case "dropped":
		return "DBC_OK", r.dropped(shared, s)
	default:
		return "", mismatch("unknown operation " + s.Op)
	}
}

func yes(answer bool) string {
	if answer {
		return "DBC_OK"
	}
	return "DBC_NOT_FOUND"
}

func checkCount(s step, count int, err error) error {
	if err == nil && count != *s.Expect.Count {
		return differ("count", count, *s.Expect.Count)
	}
	return err
}

// ---- Versions.

func (r *run) remember(names json.RawMessage, versions ...uint64) error {
	if names == nil {
		return nil
	}
	var list []string
	if names[0] == '"' {
		list = make([]string, 1)
		must(r, json.Unmarshal(names, &list[0]))
	} else {
		must(r, json.Unmarshal(names, &list))
	}
	if len(list) != len(versions) {
		return differ("number of versions", len(versions), len(list))
	}
	for i, name := range list {
		if versions[i] == 0 {
			return mismatch("no version for " + name)
		}
		r.versions[name] = versions[i]
	}
	return nil
}

func (r *run) version(name string) (uint64, error) {
	version, ok := r.versions[name]
	if !ok {
		return 0, mismatch("no version " + name)
	}
	return version, nil
}

func (r *run) checkNewer(s step, version uint64) error {
	if s.Expect.NewerThan != "" {
		older, err := r.version(s.Expect.NewerThan)
		if err != nil || version <= older {
			return errors.Join(err, differ("version", version, "newer than "+s.Expect.NewerThan))
		}
	}
	return nil
}

func (r *run) checkVersion(s step, version uint64) error {
	if s.Expect.VersionOf != "" {
		same, err := r.version(s.Expect.VersionOf)
		if err != nil || version != same {
			return errors.Join(err, differ("version", version, same))
		}
	}
	return r.checkNewer(s, version)
}

// ---- Single operations.

func (r *run) get(cache caseCache, s step, key string, options []CallOption) (string, error) {
	var held uint64
	var err error
	if s.Held != nil {
		var name string
		must(r, json.Unmarshal(s.Held, &name))
		if held, err = r.version(name); err != nil {
			return "", err
		}
	}
	got, err := cache.get(key, held, options)
	if err != nil || got.status != "DBC_OK" {
		return got.status, err
	}
	want := s.Expect
	switch {
	case want.Value != nil && got.value != cache.expected(want.Value):
		return "", differ("value", got.value, cache.expected(want.Value))
	case want.Timestamp != nil && got.timestamp != *want.Timestamp:
		return "", differ("timestamp", got.timestamp, *want.Timestamp)
	case want.SameObject != "" && got.object != r.objects[want.SameObject]:
		return "", mismatch("it is another object")
	case want.OtherObject != "" && got.object == r.objects[want.OtherObject]:
		return "", mismatch("it is the same object")
	}
	if s.Object != "" {
		r.objects[s.Object] = got.object
	}
	return got.status, errors.Join(r.remember(s.Remember, got.version), r.checkVersion(s, got.version))
}

func (r *run) getInto(cache bytesCache, s step, key string, options []CallOption) (string, error) {
	buffer := make([]byte, s.Capacity)
	item, err := cache.GetInto(key, buffer, options...)
	if s.Expect.Size != nil && item.Size != *s.Expect.Size {
		return "", differ("size", item.Size, *s.Expect.Size)
	}
	if err != nil || !item.Found {
		return yes(item.Found), err
	}
	if s.Expect.Value != nil && string(item.Value) != cache.expected(s.Expect.Value) {
		return "", differ("value", item.Value, cache.expected(s.Expect.Value))
	}
	return "DBC_OK", errors.Join(r.remember(s.Remember, item.Version), r.checkVersion(s, item.Version))
}

func (r *run) getMany(cache caseCache, s step, options []CallOption) error {
	var names []*string
	var held []uint64
	if s.Held != nil {
		must(r, json.Unmarshal(s.Held, &names))
		held = make([]uint64, len(names))
		for i, name := range names {
			if name == nil {
				continue
			}
			version, err := r.version(*name)
			if err != nil {
				return err
			}
			held[i] = version
		}
	}
	rows, err := cache.getMany(texts(s.Keys), held, options)
	if err != nil {
		return err
	}
	if s.Expect.Values != nil && len(rows) != len(s.Expect.Values) ||
		s.Expect.Statuses != nil && len(rows) != len(s.Expect.Statuses) {
		return differ("number of rows", len(rows), s.Expect)
	}
	for i, want := range s.Expect.Values {
		if string(want) == "null" {
			if rows[i].status == "DBC_OK" {
				return differ("value", rows[i].value, nil)
			}
		} else if rows[i].status != "DBC_OK" || rows[i].value != cache.expected(want) {
			return differ("value", rows[i], cache.expected(want))
		}
	}
	for i, want := range s.Expect.Statuses {
		if rows[i].status != want {
			return differ("status", rows[i].status, want)
		}
	}
	return nil
}

func (r *run) tiers(shared *base, s step, options []CallOption) error {
	expected := map[Tier][]caseText{TierMemory: s.Expect.Memory, TierDisk: s.Expect.Disk, TierNone: s.Expect.None}
	for tier, keys := range expected {
		for _, key := range keys {
			got, err := shared.Tier(string(key), options...)
			if err != nil {
				return err
			}
			if got != tier {
				return differ("tier of "+string(key), got, tier)
			}
		}
	}
	return nil
}

func (r *run) stats(shared *base, s step) error {
	stats, err := shared.Stats()
	if err != nil {
		return err
	}
	got := map[string]uint64{}
	for name, number := range stats.All() {
		got[name] = number
	}
	for name, want := range s.Expect.Stats {
		if number, ok := got[name]; !ok || number != want {
			return differ(name, number, want)
		}
	}
	if stats.TotalGets != stats.MemoryHits+stats.DiskHits+stats.Misses {
		return mismatch("the hits and misses do not add up")
	}
	return nil
}

func (r *run) dropped(shared *base, s step) error {
	buffer := make([]uint64, 1000)
	count, overflowed := shared.dropped(buffer)
	want := []uint64{}
	for _, name := range s.Expect.Versions {
		version, err := r.version(name)
		if err != nil {
			return err
		}
		want = append(want, version)
	}
	if overflowed || !reflect.DeepEqual(buffer[:count], want) {
		return differ("dropped", buffer[:count], want)
	}
	return nil
}

func (r *run) sql(s step) error {
	if s.Path == "" {
		s.Path = r.c.Path
	}
	if s.Path == "" {
		s.Path = "cache.db"
	}
	output, err := exec.Command("sqlite3", r.path(s.Path), s.SQL).CombinedOutput()
	if err != nil {
		return mismatch(fmt.Sprintf("sqlite3: %v: %s", err, output))
	}
	if got := strings.TrimSuffix(string(output), "\n"); s.Expect.Output != nil && got != *s.Expect.Output {
		return differ("output", got, *s.Expect.Output)
	}
	return nil
}
