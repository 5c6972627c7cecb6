package bench

import (
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	dbc "github.com/libdbc/libdbc/bindings/go"
	"go.etcd.io/bbolt"
)

// eachKey measures a call for one key after the other, from one goroutine.
func eachKey(b *testing.B, call func(i int)) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		call(i % items)
		i += 7919 // a prime, so that neighbours are not next
	}
}

// eachKeyInParallel measures the same from as many goroutines as there are processors.
func eachKeyInParallel(b *testing.B, call func(i int)) {
	b.ReportAllocs()
	b.ResetTimer()
	var started atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		i := int(started.Add(1)) * 1009
		for pb.Next() {
			call(i % items)
			i += 7919
		}
	})
}

// eachBatch measures a call for 1000 items, and reports what one costs.
func eachBatch(b *testing.B, call func(first int)) {
	i := 0
	for b.Loop() {
		call(i % items)
		i += batchSize
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batchSize), "ns/op")
}

func hit(b *testing.B, found bool, err error) {
	if !found || err != nil {
		b.Fatal("a miss", err)
	}
}

func memoryHits(b *testing.B, measure func(*testing.B, func(int))) {
	b.Run("dbc.Typed", func(b *testing.B) {
		cache := openObjects(b)
		must(b, cache.PutSlice(keys, objects))
		measure(b, func(i int) {
			_, ok, err := cache.Get(keys[i])
			hit(b, ok, err)
		})
	})
	b.Run("dbc.Cache", func(b *testing.B) {
		cache := openBytes(b)
		must(b, cache.PutSlice(keys, values))
		measure(b, func(i int) {
			_, ok, err := cache.Get(keys[i])
			hit(b, ok, err)
		})
	})
	b.Run("otter", func(b *testing.B) {
		cache := openOtter(b)
		for i, key := range keys {
			cache.Set(key, objects[i])
		}
		cache.CleanUp()
		measure(b, func(i int) { cache.GetIfPresent(keys[i]) })
	})
	b.Run("ristretto", func(b *testing.B) {
		cache := openRistretto(b)
		for i, key := range keys {
			cache.Set(key, objects[i], 1)
		}
		cache.Wait()
		measure(b, func(i int) { cache.Get(keys[i]) })
	})
	b.Run("map_and_RWMutex", func(b *testing.B) {
		cache := &lockedMap{objects: maps.Collect(func(yield func(string, *object) bool) {
			for i, key := range keys {
				if !yield(key, objects[i]) {
					return
				}
			}
		})}
		measure(b, func(i int) { hit(b, cache.get(keys[i]) != nil, nil) })
	})
}

func BenchmarkMemoryHit(b *testing.B) { memoryHits(b, eachKey) }

func BenchmarkMemoryHitInParallel(b *testing.B) { memoryHits(b, eachKeyInParallel) }

func BenchmarkMemoryHitInto(b *testing.B) {
	b.Run("dbc.Cache", func(b *testing.B) {
		cache := openBytes(b)
		must(b, cache.PutSlice(keys, values))
		buffer := make([]byte, 0, valueSize)
		eachKey(b, func(i int) {
			_, ok, err := cache.AppendGet(buffer, keys[i])
			hit(b, ok, err)
		})
	})
}

func BenchmarkDiskHit(b *testing.B) {
	b.Run("dbc.Cache", func(b *testing.B) {
		cache := openBytes(b, dbc.WithMaxMemoryItems(0))
		must(b, cache.PutSlice(keys, values))
		eachKey(b, func(i int) {
			_, ok, err := cache.Get(keys[i])
			hit(b, ok, err)
		})
	})
	b.Run("dbc.Typed", func(b *testing.B) {
		cache := openObjects(b, dbc.WithMaxMemoryItems(0))
		must(b, cache.PutSlice(keys, objects))
		eachKey(b, func(i int) {
			_, ok, err := cache.Get(keys[i])
			hit(b, ok, err)
		})
	})
	b.Run("bbolt", func(b *testing.B) {
		store := openBolt(b, false)
		putBolt(b, store, 0, items)
		eachKey(b, func(i int) {
			var value []byte
			must(b, store.View(func(tx *bbolt.Tx) error {
				value = slices.Clone(tx.Bucket(bucket).Get([]byte(keys[i])))
				return nil
			}))
			hit(b, value != nil, nil)
		})
	})
}

// putBolt stores items in one transaction.
func putBolt(b *testing.B, store *bbolt.DB, first, count int) {
	must(b, store.Update(func(tx *bbolt.Tx) error {
		in := tx.Bucket(bucket)
		for i := first; i < first+count; i++ {
			if err := in.Put([]byte(keys[i]), values[i]); err != nil {
				return err
			}
		}
		return nil
	}))
}

func BenchmarkPut(b *testing.B) {
	b.Run("dbc.Cache", func(b *testing.B) {
		cache := openBytes(b)
		must(b, cache.PutSlice(keys, values))
		eachKey(b, func(i int) { must(b, cache.Put(keys[i], values[i])) })
	})
	b.Run("dbc.Typed", func(b *testing.B) {
		cache := openObjects(b)
		must(b, cache.PutSlice(keys, objects))
		eachKey(b, func(i int) { must(b, cache.Put(keys[i], objects[i])) })
	})
	b.Run("bbolt_without_sync", func(b *testing.B) {
		store := openBolt(b, false)
		putBolt(b, store, 0, items)
		eachKey(b, func(i int) { putBolt(b, store, i, 1) })
	})
	b.Run("dbc.Cache_synced", func(b *testing.B) {
		cache := openBytes(b, dbc.WithDurability(dbc.DurabilityFull))
		must(b, cache.PutSlice(keys, values))
		eachKey(b, func(i int) { must(b, cache.Put(keys[i], values[i])) })
	})
	b.Run("bbolt_synced", func(b *testing.B) {
		store := openBolt(b, true)
		putBolt(b, store, 0, items)
		eachKey(b, func(i int) { putBolt(b, store, i, 1) })
	})
	b.Run("otter", func(b *testing.B) {
		cache := openOtter(b)
		eachKey(b, func(i int) { cache.Set(keys[i], objects[i]) })
	})
	b.Run("ristretto", func(b *testing.B) {
		cache := openRistretto(b)
		eachKey(b, func(i int) { cache.Set(keys[i], objects[i], 1) })
	})
}

func BenchmarkPutManyPerItem(b *testing.B) {
	b.Run("dbc.Cache", func(b *testing.B) {
		cache := openBytes(b)
		eachBatch(b, func(i int) { must(b, cache.PutSlice(keys[i:i+batchSize], values[i:i+batchSize])) })
	})
	b.Run("dbc.Typed", func(b *testing.B) {
		cache := openObjects(b)
		eachBatch(b, func(i int) { must(b, cache.PutSlice(keys[i:i+batchSize], objects[i:i+batchSize])) })
	})
	b.Run("bbolt_without_sync", func(b *testing.B) {
		store := openBolt(b, false)
		eachBatch(b, func(i int) { putBolt(b, store, i, batchSize) })
	})
}

func BenchmarkGetManyPerItem(b *testing.B) {
	for name, options := range map[string][]dbc.Option{"memory": nil, "disk": {dbc.WithMaxMemoryItems(0)}} {
		b.Run("dbc.Cache_"+name, func(b *testing.B) {
			cache := openBytes(b, options...)
			must(b, cache.PutSlice(keys, values))
			eachBatch(b, func(i int) {
				found, err := cache.GetSlice(keys[i : i+batchSize])
				hit(b, len(found) == batchSize, err)
			})
		})
		b.Run("dbc.Typed_"+name, func(b *testing.B) {
			cache := openObjects(b, options...)
			must(b, cache.PutSlice(keys, objects))
			eachBatch(b, func(i int) {
				found, err := cache.GetSlice(keys[i : i+batchSize])
				hit(b, len(found) == batchSize, err)
			})
		})
	}
	b.Run("bbolt", func(b *testing.B) {
		store := openBolt(b, false)
		putBolt(b, store, 0, items)
		eachBatch(b, func(i int) {
			found := make([][]byte, 0, batchSize)
			must(b, store.View(func(tx *bbolt.Tx) error {
				in := tx.Bucket(bucket)
				for _, key := range keys[i : i+batchSize] {
					found = append(found, slices.Clone(in.Get([]byte(key))))
				}
				return nil
			}))
			hit(b, len(found) == batchSize, nil)
		})
	})
}
