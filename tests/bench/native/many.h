// The file with very many items, which several benchmarks use. Made when it is asked for first.
#pragma once

#include <filesystem>

#include "library.h"
#include "workload.h"

namespace bench {

inline std::string many_items_file() {
  const std::string file = path("many.db");
  if (!std::filesystem::exists(file)) {
    Library cache(file, {});
    for (uint64_t i = 0; i < many_items(); i += kItems) cache.fill(keys_of(i, kItems), letters(kValueSize));
    cache.close();
  }
  return file;
}

}  // namespace bench
