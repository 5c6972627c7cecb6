// The library against the oracle: a million random operations over hundreds of small caches, the same ones in every
// run.
//
//   model_test                                            the fixed set of seeds
//   model_test --seed=17 --kind=file [--operations=500]   one of them again, as the report of a failure names it
//   model_test --first=1000 --runs=5000 --kind=memory     more of a kind
#include <gtest/gtest.h>

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

enum class Kind { kMemory, kFile, kTwoHandles };

struct Kinds {
  Kind kind;
  const char *name;
  int handles;
};
constexpr Kinds kKinds[] = {
    {Kind::kMemory, "memory", 1}, {Kind::kFile, "file", 1}, {Kind::kTwoHandles, "two-handles", 2}};

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
bool run_seed(const Kinds &kind, uint64_t seed, uint64_t operations, uint64_t *done) {
  Directory directory;
  RandomRun::Plan plan;
  plan.seed = seed;
  plan.operations = operations;
  plan.handles = kind.handles;
  if (kind.kind != Kind::kMemory) plan.path = directory.path() + "/cache.db";
  std::optional<RandomRun> run;
  try {
    run.emplace(plan);
    run->run();
    *done += run->done();
    return true;
  } catch (const Mismatch &mismatch) {
    ADD_FAILURE() << mismatch.what() << "\n"
                  << (run ? run->report() : "on open\n") << "again: model_test --kind=" << kind.name
                  << " --seed=" << seed << " --operations=" << operations;
    return false;
  }
}

uint64_t run_seeds(Kind kind, uint64_t first, uint64_t runs, uint64_t operations) {
  uint64_t done = 0;
  int failures = 0;
  for (uint64_t seed = first; seed < first + runs && failures < 3; ++seed) {
    if (!run_seed(kKinds[static_cast<size_t>(kind)], seed, operations, &done)) ++failures;
  }
  return done;
}

// Few operations a cache and many caches: what goes wrong goes wrong early, and each cache has its own limits.
TEST(ModelTest, InMemory) {
  uint64_t done = run_seeds(Kind::kMemory, 1, 500, 2000);
  EXPECT_TRUE(HasFailure() || done == 500u * 2000u) << done;
}

TEST(ModelTest, InAFile) {
  uint64_t done = run_seeds(Kind::kFile, 1, 40, 1000);
  EXPECT_TRUE(HasFailure() || done == 40u * 1000u) << done;
}

TEST(ModelTest, TwoHandlesOnOneFile) {
  uint64_t done = run_seeds(Kind::kTwoHandles, 1, 50, 1000);
  EXPECT_TRUE(HasFailure() || done == 50u * 1000u) << done;
}

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
