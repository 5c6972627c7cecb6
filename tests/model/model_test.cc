// The library against the oracle: a million random operations over hundreds of small caches, the same ones in every
// run.
//
//   model_test                                            the fixed set of seeds
//   model_test --seed=17 --kind=file [--operations=500]   one of them again, as the report of a failure names it
//   model_test --first=1000 --runs=5000 --kind=memory     more of a kind
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "random_run.h"

namespace dbc::model {
namespace {

enum class Kind { kMemory, kFile, kTwoHandles, kNormal, kFull };

struct Kinds {
  Kind kind;
  const char *name;
  int handles;
  uint64_t durability;
};
constexpr Kinds kKinds[] = {{Kind::kMemory, "memory", 1, DBC_DURABILITY_OFF},
                            {Kind::kFile, "file", 1, DBC_DURABILITY_OFF},
                            {Kind::kTwoHandles, "two-handles", 2, DBC_DURABILITY_OFF},
                            {Kind::kNormal, "normal", 1, DBC_DURABILITY_NORMAL},
                            {Kind::kFull, "full", 1, DBC_DURABILITY_FULL}};

struct Done {
  uint64_t operations = 0;
  uint64_t compressed_seen = 0;
};

class Directory {
 public:
  Directory() : path_(::testing::TempDir() + "/dbc-model-XXXXXX") {
    if (!mkdtemp(path_.data())) std::abort();
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string &path() const { return path_; }

 private:
  std::string path_;
};

// Says whether it went well.
bool run_seed(const Kinds &kind, uint64_t seed, uint64_t operations, Done *done) {
  Directory directory;
  RandomRun::Plan plan;
  plan.seed = seed;
  plan.operations = operations;
  plan.handles = kind.handles;
  plan.durability = kind.durability;
  if (kind.kind != Kind::kMemory) plan.path = directory.path() + "/cache.db";
  std::optional<RandomRun> run;
  try {
    run.emplace(plan);
    run->run();
    done->operations += run->done();
    done->compressed_seen += run->compressed_seen();
    return true;
  } catch (const Mismatch &mismatch) {
    ADD_FAILURE() << mismatch.what() << "\n"
                  << (run ? run->report() : "on open\n") << "again: model_test --kind=" << kind.name
                  << " --seed=" << seed << " --operations=" << operations;
    return false;
  }
}

Done run_seeds(Kind kind, uint64_t first, uint64_t runs, uint64_t operations) {
  Done done;
  int failures = 0;
  for (uint64_t seed = first; seed < first + runs && failures < 3; ++seed) {
    if (!run_seed(kKinds[static_cast<size_t>(kind)], seed, operations, &done)) ++failures;
  }
  return done;
}

#ifdef __SANITIZE_THREAD__
constexpr uint64_t kShare = 10;  // no threads to look at here, and each clear moves 65536 words
#else
constexpr uint64_t kShare = 1;
#endif

// Few operations a cache and many caches: what goes wrong goes wrong early, and each cache has its own limits.
void expect_all_done(Kind kind, uint64_t all_runs, uint64_t operations) {
  const uint64_t runs = std::max<uint64_t>(1, all_runs / kShare);
  Done done = run_seeds(kind, 1, runs, operations);
  if (::testing::Test::HasFailure()) return;
  EXPECT_EQ(done.operations, runs * operations);
#ifdef DBC_WITH_ZSTD
  if (kind != Kind::kMemory) {
    EXPECT_GT(done.compressed_seen, 0u);
  }
#endif
}

TEST(ModelTest, InMemory) { expect_all_done(Kind::kMemory, 500, 2000); }

TEST(ModelTest, InAFile) { expect_all_done(Kind::kFile, 40, 1000); }

TEST(ModelTest, TwoHandlesOnOneFile) { expect_all_done(Kind::kTwoHandles, 50, 1000); }

TEST(ModelTest, InAFileWithNormalDurability) { expect_all_done(Kind::kNormal, 10, 1000); }

// Every commit waits for the device.
TEST(ModelTest, InAFileWithFullDurability) { expect_all_done(Kind::kFull, 4, 500); }

// The arguments given on the command line, 0 or empty when they were not.
struct Arguments {
  uint64_t seed = 0, first = 0, runs = 1, operations = 2000;
  std::string kind = "memory";
};
Arguments arguments;

class OnDemandTest : public ::testing::Test {
 protected:
  void TestBody() override {
    uint64_t first = arguments.seed ? arguments.seed : arguments.first;
    for (const Kinds &kind : kKinds) {
      if (arguments.kind == kind.name)
        run_seeds(kind.kind, first, arguments.seed ? 1 : arguments.runs, arguments.operations);
    }
  }
};

bool read_argument(std::string_view argument, std::string_view name, std::string *value) {
  if (!argument.starts_with(name)) return false;
  *value = argument.substr(name.size());
  return true;
}

}  // namespace
}  // namespace dbc::model

int main(int count, char **values) {
  using namespace dbc::model;
  ::testing::InitGoogleTest(&count, values);
  for (int i = 1; i < count; ++i) {
    std::string text;
    if (read_argument(values[i], "--seed=", &text)) {
      arguments.seed = std::stoull(text);
    } else if (read_argument(values[i], "--first=", &text)) {
      arguments.first = std::stoull(text);
    } else if (read_argument(values[i], "--runs=", &text)) {
      arguments.runs = std::stoull(text);
    } else if (read_argument(values[i], "--operations=", &text)) {
      arguments.operations = std::stoull(text);
    } else if (read_argument(values[i], "--kind=", &text)) {
      arguments.kind = text;
    } else {
      std::fprintf(stderr, "unknown argument %s\n", values[i]);
      return 2;
    }
  }
  if (arguments.seed || arguments.first) {
    ::testing::RegisterTest("ModelTest", "OnDemand", nullptr, nullptr, __FILE__, __LINE__,
                            []() -> ::testing::Test * { return new OnDemandTest; });
    ::testing::GTEST_FLAG(filter) = "ModelTest.OnDemand";
  }
  return RUN_ALL_TESTS();
}
