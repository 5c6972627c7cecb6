// The board of the soak run: a file that all its workers, of whatever language, map into memory. 64-bit numbers:
//
//   0                     1: the workers shall end
//   64 + 8 * w            counts of worker w: gets, puts, misses, forks, clears
//   512 + 2 * k           the last operation on key k that has begun, and the last that is done
//
// Key k is written by worker k % 8 alone, under the name "soak:<k>"; its value is the number of the operation.
// Operations divisible by 8 delete. A get must find a number that was done before it began, or a later one, or nothing:
// limits, times to live, deletes and clears take items out all the time. A clear counts as a deletion of the worker's
// own keys.
#pragma once

#include <cstddef>

namespace dbc::testing {

constexpr size_t kSoakKeys = 1600, kSoakWorkers = 8;
constexpr size_t kCountsAt = 64, kKeysAt = 512;
constexpr size_t kBoardNumbers = kKeysAt + 2 * kSoakKeys;
enum SoakCount { kGets, kPuts, kMisses, kForks, kClears };

}  // namespace dbc::testing
