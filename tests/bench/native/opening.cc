// P9: how long it takes to open a file with very many items, and to close it.
#include <memory>

#include "cases.h"
#include "many.h"
#include "results.h"

namespace bench {

void opening() {
  const std::string file = many_items_file();
  fact("P9 items in the file", static_cast<double>(many_items()));
  const std::string value = letters(kValueSize);
  repeat([&](int) {
    double start = seconds();
    Library cache(file, {});
    double opened = seconds();
    cache.close();
    double closed = seconds();
    record("P9 open", (opened - start) * 1e6);
    record("P9 close", (closed - opened) * 1e6);
  });
  // As it is after work: with a WAL of some size, and access times that are still to be written.
  repeat([&](int) {
    Library cache(file, {});
    for (uint64_t i = 0; i < 1000; ++i) cache.put(key_of(i), value), cache.get(key_of(many_items() - 1 - i));
    double start = seconds();
    cache.close();
    record("P9 close after 1000 puts and gets", (seconds() - start) * 1e6);
  });
}

}  // namespace bench
