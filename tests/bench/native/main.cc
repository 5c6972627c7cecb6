// What calls cost, each beside a floor or a peer that is measured in the same run. Prints one JSON object, of which
// run.py makes tables.
//
//   native_bench --directory=DIR [--repetitions=7] [--scale=1.0] [--only=P4,P5,peers]
//
// Everything is repeated, floors and calls taking turns, so that a slow moment of the machine meets both. A sample is
// the mean of many calls; every repetition gives one sample of each series.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "cases.h"
#include "results.h"

namespace bench {
namespace {

struct Case {
  const char *name;
  void (*run)();
};
constexpr Case kCases[] = {
    {"P1", memory_hits},
    {"P2", threads_in_memory},
    {"P3", disk_hits},
    {"P4", puts},
    {"P5", batches},
    {"P6", touches},
    {"P7", evictions},
    {"P8", write_behind},
    {"P9", opening},
    {"P10", footprint},
    {"P11", group_commit},
    {"pieces", pieces},
    {"peers", key_value_stores},
    {"durability", durability},
    {"compression", compression},
    {"churn", churn},
    {"wal", write_ahead_log},
};

bool chosen(const std::string &only, const char *name) {
  return only.empty() || ("," + only + ",").find(std::string(",") + name + ",") != std::string::npos;
}

int run(int count, char **values) {
  std::string only;
  for (int i = 1; i < count; ++i) {
    std::string_view argument = values[i];
    auto take = [&](std::string_view name) {
      if (!argument.starts_with(name)) return false;
      argument.remove_prefix(name.size());
      return true;
    };
    if (take("--directory=")) {
      settings.directory = argument;
    } else if (take("--repetitions=")) {
      settings.repetitions = std::max(1, std::atoi(argument.data()));
    } else if (take("--scale=")) {
      settings.scale = std::atof(argument.data());
    } else if (take("--only=")) {
      only = argument;
    } else {
      std::fprintf(stderr, "unknown argument %s\n", values[i]);
      return 2;
    }
  }
  if (settings.directory.empty()) {
    std::fprintf(stderr, "--directory is needed: an empty folder, on the file system that is to be measured\n");
    return 2;
  }
  for (const Case &one : kCases) {
    if (!chosen(only, one.name)) continue;
    double start = seconds();
    one.run();
    std::fprintf(stderr, "   %-12s %5.1f s\n", one.name, seconds() - start);
  }
  print_results();
  return 0;
}

}  // namespace
}  // namespace bench

int main(int count, char **values) try { return bench::run(count, values); } catch (const std::exception &error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
