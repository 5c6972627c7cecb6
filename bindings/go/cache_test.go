package dbc

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// openCache opens a cache of bytes on a file of the test's own, and closes it at the end.
func openCache(t testing.TB, options ...Option) *Cache {
	t.Helper()
	return openCacheAt(t, filepath.Join(t.TempDir(), "cache.db"), options...)
}

func openCacheAt(t testing.TB, path string, options ...Option) *Cache {
	t.Helper()
	cache, err := Open(path, "1", options...)
	must(t, err)
	t.Cleanup(func() { must(t, cache.Close()) })
	return cache
}

// openTypedCache is the same for a typed cache.
func openTypedCache[T any](t testing.TB, options ...Option) *Typed[T] {
	t.Helper()
	cache, err := OpenTyped[T](filepath.Join(t.TempDir(), "typed.db"), "1", options...)
	must(t, err)
	t.Cleanup(func() { must(t, cache.Close()) })
	return cache
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// value gives the one result of a call that must succeed.
func value[V any](result V, err error) func(testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		must(t, err)
		return result
	}
}

// wantError checks an error's code, and that it has a message.
func wantError(t testing.TB, err error, code Code) {
	t.Helper()
	var failure *Error
	if !errors.Is(err, code) || !errors.As(err, &failure) {
		t.Fatalf("expected %v, got %v", code, err)
	}
	if failure.Message == "" || failure.Op == "" {
		t.Errorf("no message or operation in %#v", failure)
	}
}

func TestPutAndGet(t *testing.T) {
	cache := openCache(t)
	must(t, cache.Put("a", []byte("12")))
	got, ok, err := cache.Get("a")
	if string(got) != "12" || !ok || err != nil {
		t.Error(got, ok, err)
	}
	got, ok, err = cache.Get("b")
	if got != nil || ok || err != nil {
		t.Error(got, ok, err)
	}
}

func TestWhatGetAppendsTo(t *testing.T) {
	cache := openCache(t)
	must(t, cache.Put("k", []byte("12")))
	room := make([]byte, 1, 10)
	got, ok, err := cache.AppendGet(room, "k")
	if string(got) != "\x0012" || !ok || err != nil || &got[0] != &room[0] {
		t.Error(got, ok, err)
	}
	got, ok, err = cache.AppendGet(room[:1:2], "k")
	if string(got) != "\x0012" || !ok || err != nil || &got[0] == &room[0] {
		t.Error(got, ok, err)
	}
	got, ok, err = cache.AppendGet(room, "absent")
	if len(got) != 1 || ok || err != nil {
		t.Error(got, ok, err)
	}
	got, ok, err = cache.AppendGet(room, "")
	if len(got) != 1 || ok || !errors.Is(err, ErrInvalidArgument) {
		t.Error(got, ok, err)
	}
}

func TestAppendingToABufferAllocatesNothing(t *testing.T) {
	cache := openCache(t)
	must(t, cache.Put("k", make([]byte, 500)))
	buffer := make([]byte, 0, 500)
	allocations := testing.AllocsPerRun(100, func() {
		if _, ok, err := cache.AppendGet(buffer, "k"); !ok || err != nil {
			t.Fatal(ok, err)
		}
	})
	if allocations != 0 {
		t.Error(allocations)
	}
}

func TestValuesAreCopies(t *testing.T) {
	cache := openCache(t)
	given := []byte("12")
	must(t, cache.Put("k", given))
	given[0] = 'x'
	got, _, err := cache.Get("k")
	must(t, err)
	got[1] = 'y'
	again, _, err := cache.Get("k")
	if string(again) != "12" || err != nil {
		t.Errorf("%q, %v", again, err)
	}
}

func TestItemsTellWhatIsKnown(t *testing.T) {
	cache := openCache(t)
	moment := time.Date(2020, 2, 29, 12, 0, 0, 250e6, time.UTC)
	first := value(cache.PutVersion("k", []byte("12"), At(moment), AsText()))(t)
	item := value(cache.GetItem("k", 0, At(moment.Add(time.Second))))(t)
	if !item.Found || item.Unchanged || string(item.Value) != "12" || item.Size != 2 || item.Version != first || !item.Text {
		t.Errorf("%+v", item)
	}
	if !item.Time().Equal(moment.Add(time.Second)) {
		t.Error(item.Time())
	}
	item = value(cache.GetItem("k", first, At(moment)))(t)
	if !item.Found || !item.Unchanged || item.Value != nil || item.Version != first {
		t.Errorf("%+v", item)
	}
	second := value(cache.PutVersion("k", []byte("34"), At(moment)))(t)
	if item = value(cache.GetItem("k", first, At(moment)))(t); item.Unchanged || string(item.Value) != "34" || item.Text {
		t.Errorf("%+v", item)
	}
	if second <= first {
		t.Error(first, second)
	}
	if item = value(cache.GetItem("x", first))(t); item.Found || item.Version != 0 {
		t.Errorf("%+v", item)
	}
	items := value(cache.GetItems([]string{"x", "k", "k"}, []uint64{0, second, first}, At(moment)))(t)
	if items[0].Found || !items[1].Unchanged || string(items[2].Value) != "34" || items[2].Tier != TierMemory ||
		items[2].Version != second || !items[2].Time().Equal(moment) {
		t.Errorf("%+v", items)
	}
}

func TestTheLastTimeCounts(t *testing.T) {
	cache := openCache(t)
	must(t, cache.Put("k", nil, AtSeconds(1), AsText(), AtSeconds(-2.5)))
	items := value(cache.GetItems([]string{"k"}, nil, AtSeconds(0)))(t)
	if items[0].Timestamp != -2.5 || !items[0].Time().Equal(time.Unix(-3, 5e8)) {
		t.Errorf("%+v, %v", items[0], items[0].Time())
	}
}

func TestBatchesOfBytes(t *testing.T) {
	cache := openCache(t)
	must(t, cache.PutMany(map[string][]byte{"a": []byte("1"), "b": []byte("2")}))
	must(t, cache.PutSlice([]string{"c", "d", "c"}, [][]byte{[]byte("3"), []byte("4"), []byte("5")}))
	must(t, cache.PutSeq(maps.All(map[string][]byte{"e": []byte("6")})))
	keys := []string{"e", "x", "c", "a"}
	many := value(cache.GetMany(keys))(t)
	if len(many) != 3 || string(many["e"]) != "6" || string(many["c"]) != "5" || string(many["a"]) != "1" {
		t.Errorf("%q", many)
	}
	rows := value(cache.GetSlice(keys))(t)
	if string(rows[0]) != "6" || rows[1] != nil || string(rows[2]) != "5" || string(rows[3]) != "1" {
		t.Errorf("%q", rows)
	}
	var order []string
	for key, found := range value(cache.GetSeq(slices.Values(keys)))(t) {
		order = append(order, key+string(found))
		if key == "c" {
			break
		}
	}
	if !slices.Equal(order, []string{"e6", "c5"}) {
		t.Error(order)
	}
	if removed := value(cache.DeleteMany(keys))(t); removed != 3 {
		t.Error(removed)
	}
	if versions := value(cache.PutVersions([]string{"y", "z"}, [][]byte{nil, nil}))(t); versions[0] == versions[1] {
		t.Error(versions)
	}
}

func TestNamesAreThoseOfAllLanguages(t *testing.T) {
	for code, name := range map[Code]string{
		ErrInvalidArgument: "DBC_INVALID_ARGUMENT", ErrClosed: "DBC_CLOSED", ErrBusy: "DBC_BUSY", ErrIO: "DBC_IO",
		ErrFull: "DBC_FULL", ErrCorrupt: "DBC_CORRUPT", ErrVersion: "DBC_VERSION", ErrForeign: "DBC_FOREIGN",
		ErrNoMemory: "DBC_NO_MEMORY", ErrBufferTooSmall: "DBC_BUFFER_TOO_SMALL", ErrInternal: "DBC_INTERNAL",
		Code(999): "DBC_UNKNOWN",
	} {
		if code.Name() != name || code.Error() != name {
			t.Error(code.Name(), name)
		}
	}
	var stats Stats
	fields := reflect.TypeOf(stats)
	position := 0
	for name, number := range stats.All() {
		field := strings.ToLower(strings.ReplaceAll(name, "_", ""))
		if number != 0 || field != strings.ToLower(fields.Field(position).Name) {
			t.Error(name, fields.Field(position).Name)
		}
		position++
	}
	if position != fields.NumField() {
		t.Errorf("%d of %d counters", position, fields.NumField())
	}
	for range stats.All() {
		break
	}
	for name, number := range map[string]fmt.Stringer{
		"none": TierNone, "memory": TierMemory, "disk": TierDisk, "normal": DurabilityNormal, "full": DurabilityFull,
		"off": DurabilityOff, "restart": OnCorruptRestart, "fail": OnCorruptFail, "through": WriteThrough,
		"behind": WriteBehind, "zstd": CompressionZstd, "9": Durability(9), "-1": Tier(-1),
	} {
		if number.String() != name {
			t.Error(number, name)
		}
	}
	if CompressionNone.String() != "none" {
		t.Error(CompressionNone)
	}
	if LibraryVersion() == "" {
		t.Error("no version")
	}
}

func TestAnErrorTellsEverything(t *testing.T) {
	cache := openCache(t)
	err := cache.Put("", nil)
	if err.Error() != "dbc: put: Key cannot be empty" || errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	var code Code
	if !errors.As(err, &code) || code != ErrInvalidArgument {
		t.Error(code)
	}
}

func TestErrorsBelongToTheirCall(t *testing.T) {
	cache := openCache(t)
	eachOf(8, func(number int) {
		long := strings.Repeat("x", 300+number)
		for range 200 {
			err := cache.Put(long, nil)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprint("Key length ", len(long), " exceeds")) {
				t.Error(err)
				return
			}
		}
	})
}

func TestAFileThatAnotherProgramHoldsIsBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	cache := openCacheAt(t, path, WithBusyTimeout(50*time.Millisecond))
	must(t, cache.Put("k", []byte("before")))
	letGo := hold(t, path)
	for _, err := range []error{cache.Put("k", nil), cache.PutMany(map[string][]byte{"k": nil})} {
		wantError(t, err, ErrBusy)
	}
	if _, err := cache.Delete("k"); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	if got, _, err := cache.Get("k"); string(got) != "before" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	letGo()
	must(t, cache.Put("k", nil))
}

func TestAValueThatDoesNotDecodeIsAMissWhileAnotherProgramWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	texts, err := OpenTyped[string](path, "1")
	must(t, err)
	text := "no number"
	must(t, texts.Put("bad", &text))
	must(t, texts.Close())
	var log bytes.Buffer
	numbers, err := OpenTyped[int](path, "1", WithBusyTimeout(50*time.Millisecond),
		WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	must(t, err)
	defer numbers.Close()
	one := 1
	must(t, numbers.Put("good", &one))
	letGo := hold(t, path)
	if value, ok, err := numbers.Get("bad"); ok || err != nil {
		t.Error(value, ok, err)
	}
	found, err := numbers.GetMany([]string{"good", "bad"})
	if err != nil || found["good"] == nil || found["bad"] != nil {
		t.Error(found, err)
	}
	if strings.Count(log.String(), "stays: ") != 2 {
		t.Error(log.String())
	}
	letGo()
	if _, ok, err := numbers.Get("bad"); ok || err != nil {
		t.Error(ok, err)
	}
	if stats, err := numbers.Stats(); err != nil || stats.Discarded != 1 {
		t.Error(stats, err)
	}
}

// hold makes another program begin to write to the file; the function that it gives ends that.
func hold(t *testing.T, path string) func() {
	shell := exec.Command("sqlite3", path)
	input, err := shell.StdinPipe()
	must(t, err)
	output, err := shell.StdoutPipe()
	must(t, err)
	must(t, shell.Start())
	_, err = fmt.Fprintln(input, "BEGIN IMMEDIATE; SELECT 'held';")
	must(t, err)
	if _, err := output.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	return func() {
		must(t, input.Close())
		must(t, shell.Wait())
	}
}

func TestWriteBehind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	behind, err := OpenTyped[int](path, "1", WithWriteMode(WriteBehind), WithWriteBehindDelay(time.Hour),
		WithWriteBehindItems(100), WithWriteBehindSizeBytes(1000))
	must(t, err)
	other := openCacheAt(t, path)
	one := 1
	must(t, behind.Put("k", &one))
	if got := get(t, behind, "k"); got != &one {
		t.Error(got)
	}
	if value(other.Exists("k"))(t) {
		t.Error("it is in the file already")
	}
	must(t, behind.Flush())
	if !value(other.Exists("k"))(t) {
		t.Error("it is not in the file")
	}
	must(t, behind.Put("l", &one))
	must(t, behind.Close())
	if !value(other.Exists("l"))(t) {
		t.Error("closing has lost it")
	}
}

func TestClosingTellsWhatIsLost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	var log bytes.Buffer
	cache, err := Open(path, "1", WithWriteMode(WriteBehind), WithWriteBehindDelay(time.Hour),
		WithBusyTimeout(50*time.Millisecond), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	must(t, err)
	must(t, cache.Put("a", nil))
	must(t, cache.Put("b", nil))
	letGo := hold(t, path)
	wantError(t, cache.Flush(), ErrBusy)
	wantError(t, cache.Close(), ErrBusy)
	letGo()
	must(t, cache.Close())
	if !strings.Contains(log.String(), "level=WARN msg=\"2 puts that waited could not be committed and are lost") {
		t.Error(log.String())
	}
	if count := value(openCacheAt(t, path).Count())(t); count != 0 {
		t.Error(count)
	}
}

func TestCompressionShowsInTheFileOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	cache := openCacheAt(t, path, WithCompression(CompressionZstd))
	text := strings.Repeat("the same again and again ", 1000)
	must(t, cache.Put("k", []byte(text)))
	must(t, cache.ClearMemory())
	if got, _, err := cache.Get("k"); string(got) != text || err != nil {
		t.Error(len(got), err)
	}
	if size := value(cache.TotalSize())(t); size != int64(len(text)) {
		t.Error(size)
	}
	if got, _, err := openCacheAt(t, path).Get("k"); string(got) != text || err != nil {
		t.Error(len(got), err)
	}
}

func TestChecksFindAndRepairsMend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	cache := openCacheAt(t, path)
	must(t, cache.PutMany(map[string][]byte{"a": []byte("1"), "b": []byte("2")}))
	if found := value(cache.Check())(t); found != (Findings{}) {
		t.Errorf("%+v", found)
	}
	output, err := exec.Command("sqlite3", path, "UPDATE item SET data = '3' WHERE key = 'a'").CombinedOutput()
	if err != nil {
		t.Fatal(err, string(output))
	}
	for _, check := range []func() (Findings, error){cache.Check, cache.Repair} {
		found := value(check())(t)
		if found.Problems == 0 || !strings.Contains(found.Report, "a") || strings.Contains(found.Report, "\x00") {
			t.Errorf("%+v", found)
		}
	}
	if found := value(cache.Check())(t); found.Problems != 0 || value(cache.Exists("a"))(t) || !value(cache.Exists("b"))(t) {
		t.Errorf("%+v", found)
	}
}

func TestItemsSurviveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	cache, err := Open(path, "1")
	must(t, err)
	must(t, cache.Put("k", []byte("12")))
	must(t, cache.Flush())
	must(t, cache.Close())
	if got, _, err := openCacheAt(t, path).Get("k"); string(got) != "12" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
