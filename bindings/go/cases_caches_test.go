package dbc

import "encoding/json"

// A caseCache is a cache as the table sees it. Values are compared as texts.
type caseCache interface {
	shared() *base
	// put gives the object that was stored, and its version.
	put(key string, value json.RawMessage, object any, options []CallOption) (any, uint64, error)
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

func statusOf(found bool) string {
	if found {
		return "DBC_OK"
	}
	return "DBC_NOT_FOUND"
}

// ---- Caches of bytes.

type bytesCache struct{ *Cache }

func (c bytesCache) shared() *base { return c.base }

func (c bytesCache) expected(value json.RawMessage) string { return textOf(value) }

func (c bytesCache) put(key string, value json.RawMessage, _ any, options []CallOption) (any, uint64, error) {
	version, err := c.PutVersion(key, []byte(textOf(value)), options...)
	return nil, version, err
}

func (c bytesCache) found(item Item) found {
	made := found{statusOf(item.Found), string(item.Value), item.Version, item.Timestamp, nil}
	if item.Found && item.Unchanged {
		made.status = "DBC_UNCHANGED"
	}
	return made
}

func (c bytesCache) get(key string, held uint64, options []CallOption) (found, error) {
	item, err := c.GetItem(key, held, options...)
	return c.found(item), err
}

func (c bytesCache) putMany(items []caseItem, options []CallOption) ([]uint64, error) {
	keys, values := split(items, func(value json.RawMessage) []byte { return []byte(textOf(value)) })
	return c.PutVersions(keys, values, options...)
}

func (c bytesCache) getMany(keys []string, held []uint64, options []CallOption) ([]found, error) {
	items, err := c.GetItems(keys, held, options...)
	return each(items, c.found), err
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
		*number = json.Number(textOf(value))
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

func (c typedCache[T]) put(key string, value json.RawMessage, object any, options []CallOption) (any, uint64, error) {
	typed, ok := object.(*T)
	if !ok {
		typed = c.value(value)
	}
	return typed, 0, c.Put(key, typed, options...)
}

func (c typedCache[T]) found(value *T, ok bool) found {
	made := found{status: statusOf(ok)}
	if ok {
		made.value, made.object = c.text(value), value
	}
	return made
}

func (c typedCache[T]) get(key string, _ uint64, options []CallOption) (found, error) {
	value, ok, err := c.Get(key, options...)
	return c.found(value, ok), err
}

func (c typedCache[T]) putMany(items []caseItem, options []CallOption) ([]uint64, error) {
	keys, values := split(items, c.value)
	return nil, c.PutSlice(keys, values, options...)
}

func (c typedCache[T]) getMany(keys []string, _ []uint64, options []CallOption) ([]found, error) {
	values, err := c.GetSlice(keys, options...)
	return each(values, func(value *T) found { return c.found(value, value != nil) }), err
}
