// What compression saves and costs, for JSON as programs keep it.
#include <filesystem>
#include <memory>

#include "cases.h"
#include "library.h"
#include "results.h"
#include "workload.h"

namespace bench {
namespace {

// Records of a directory: names that repeat, values that vary.
std::string json(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  const char *words[] = {"cache",   "library", "memory",  "table",  "index",  "page",   "writer", "reader",
                         "network", "device",  "package", "system", "kernel", "module", "driver", "service"};
  auto word = [&] { return std::string(words[random() % 16]); };
  std::string text = "{\"records\": [";
  while (text.size() + 2 < size) {
    text += "{\"id\": " + std::to_string(random() % 1'000'000) + ", \"name\": \"" + word() + "-" + word() +
            "\", \"size\": " + std::to_string(random() % 100'000) +
            ", \"active\": " + (random() % 2 ? "true" : "false") + ", \"description\": \"" + word() + " " + word() +
            " " + word() + " " + word() + "\"}, ";
  }
  text.resize(size - 2);
  return text + "]}";
}

double megabytes(const std::string &file) { return static_cast<double>(std::filesystem::file_size(file)) / 1e6; }

}  // namespace

void compression() {
  if (std::string why = Library::refusal(Library::kCompression); !why.empty()) {
    unavailable("compression", "compression is not available: " + why);
    return;
  }
  for (auto [name, size, items] : {std::tuple{"0.5 KB", size_t{500}, uint64_t{20'000}},
                                   {"5 KB", size_t{5000}, uint64_t{4000}},
                                   {"50 KB", size_t{50'000}, uint64_t{400}}}) {
    const std::vector<std::string> keys = keys_of(0, items);
    std::vector<std::string> values;
    for (uint64_t i = 0; i < 64; ++i) values.push_back(json(size, i));
    struct Side {
      std::string label, file;
      bool compress;
      std::unique_ptr<Library> cache;
    };
    Side sides[] = {{"plain", path(std::string("plain-") + name + ".db"), false, {}},
                    {"zstd", path(std::string("zstd-") + name + ".db"), true, {}}};
    for (Side &side : sides) {
      side.cache = std::make_unique<Library>(side.file, Options{.memory_items = 0, .compress = side.compress});
      for (uint64_t i = 0; i < items; ++i) side.cache->put(keys[i], values[i % 64]);
      side.cache->close();
      fact("compression megabytes, " + side.label + ", " + name, megabytes(side.file));
      side.cache = std::make_unique<Library>(side.file, Options{.memory_items = 0, .compress = side.compress});
    }
    std::string buffer(size, ' ');
    const Sequence any = uniform(items, 1 << 16, 15);
    repeat([&](int) {
      for (Side &side : sides) {
        const std::string label = side.label + ", " + name;
        const uint64_t calls = std::min<uint64_t>(items, 4000);
        measure("compression put, " + label, calls,
                [&](uint64_t i) { side.cache->put(keys[any[i & 0xffff]], values[i % 64]); });
        side.cache->flush();
        measure("compression get, " + label, calls,
                [&](uint64_t i) { side.cache->get(keys[any[i & 0xffff]], buffer.data(), size); });
        side.cache->flush();
      }
    });
  }
}

}  // namespace bench
