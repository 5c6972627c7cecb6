#include "cache/group_commit.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace dbc {
namespace {

using std::chrono::milliseconds;

struct Request {
  int number = 0;
  int committed = 0;
};

// Commits by a function of the test's, and remembers the groups.
class GroupCommitTest : public ::testing::Test {
 protected:
  using Group = std::vector<int>;

  void commit(std::span<Request *const> requests) {
    Group group;
    for (Request *request : requests) group.push_back(request->number);
    {
      std::lock_guard lock(mutex_);
      EXPECT_FALSE(committing_) << "one commits at a time";
      committing_ = true;
      groups_.push_back(group);
    }
    std::exception_ptr failure;
    try {
      if (during_) during_(group);
      for (Request *request : requests) ++request->committed;
    } catch (...) {
      failure = std::current_exception();
    }
    std::lock_guard lock(mutex_);
    committing_ = false;
    if (failure) std::rethrow_exception(failure);
  }

  // A thread that runs one request, and what came of it: "", or the error's text.
  std::thread runs(Request &request, std::string *error = nullptr) {
    return std::thread([this, &request, error] {
      try {
        group_commit_.run(request);
      } catch (const std::exception &failure) {
        if (error) *error = failure.what();
      }
    });
  }

  // The first request's commit takes until the others wait, as well as can be told, and for `longer` then.
  void run_behind_the_first(std::vector<Request> &requests, std::vector<std::string> *errors,
                            milliseconds longer = milliseconds(50)) {
    std::atomic<bool> first_commits{false}, go_on{false};
    auto during = during_;
    during_ = [&](const Group &group) {
      if (group.front() == 0 && !first_commits.exchange(true)) {
        while (!go_on.load()) std::this_thread::yield();
        return;
      }
      if (during) during(group);
    };
    errors->assign(requests.size(), "");
    std::vector<std::thread> threads;
    threads.push_back(runs(requests[0], &(*errors)[0]));
    while (!first_commits.load()) std::this_thread::yield();
    for (size_t i = 1; i < requests.size(); ++i) threads.push_back(runs(requests[i], &(*errors)[i]));
    std::this_thread::sleep_for(longer);
    go_on = true;
    for (std::thread &thread : threads) thread.join();
    during_ = during;
  }

  static std::vector<Request> numbered(int count) {
    std::vector<Request> requests(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) requests[static_cast<size_t>(i)].number = i;
    return requests;
  }

  std::mutex mutex_;
  bool committing_ = false;
  std::vector<Group> groups_;
  std::function<void(const Group &)> during_;
  GroupCommit<Request> group_commit_{[this](std::span<Request *const> requests) { commit(requests); }};
};

TEST_F(GroupCommitTest, OneThreadCommitsEachForItself) {
  std::vector<Request> requests = numbered(3);
  for (Request &request : requests) group_commit_.run(request);
  EXPECT_EQ(groups_, (std::vector<Group>{{0}, {1}, {2}}));
}

// They have waited for longer than anyone looks without sleeping.
TEST_F(GroupCommitTest, WhoComesMeanwhileSharesTheNext) {
  std::vector<Request> requests = numbered(5);
  std::vector<std::string> errors;
  run_behind_the_first(requests, &errors);
  ASSERT_EQ(groups_.size(), 2u);
  EXPECT_EQ(groups_[0], Group{0});
  EXPECT_EQ(groups_[1].size(), 4u);
  for (const Request &request : requests) EXPECT_EQ(request.committed, 1);
}

TEST_F(GroupCommitTest, WhatFailsTogetherIsTriedOneByOne) {
  during_ = [&](const Group &group) {
    for (int number : group) {
      if (number == 2) throw Error(Status::kFull, "no room for 2");
    }
  };
  std::vector<Request> requests = numbered(4);
  std::vector<std::string> errors;
  run_behind_the_first(requests, &errors);
  EXPECT_EQ(errors, (std::vector<std::string>{"", "", "no room for 2", ""}));
  EXPECT_EQ(requests[2].committed, 0);
  for (int i : {0, 1, 3}) EXPECT_EQ(requests[static_cast<size_t>(i)].committed, 1);
  EXPECT_EQ(groups_.size(), 5u);
}

TEST_F(GroupCommitTest, AnotherWriterIsWaitedForOnce) {
  during_ = [&](const Group &) { throw Error(Status::kBusy, "another writer"); };
  std::vector<Request> requests = numbered(4);
  std::vector<std::string> errors;
  run_behind_the_first(requests, &errors);
  EXPECT_EQ(errors, (std::vector<std::string>{"", "another writer", "another writer", "another writer"}));
  EXPECT_EQ(groups_.size(), 2u);
  Request later;
  during_ = nullptr;
  group_commit_.run(later);
  EXPECT_EQ(later.committed, 1);
}

// Also when it turns up only while they are tried one by one.
TEST_F(GroupCommitTest, AnotherWriterIsWaitedForOnceByThoseWhoFailedTogether) {
  during_ = [&](const Group &group) {
    if (group.size() > 1) throw Error(Status::kFull, "no room for all");
    throw Error(Status::kBusy, "another writer");
  };
  std::vector<Request> requests = numbered(4);
  std::vector<std::string> errors;
  run_behind_the_first(requests, &errors);
  EXPECT_EQ(errors, (std::vector<std::string>{"", "another writer", "another writer", "another writer"}));
  EXPECT_EQ(groups_.size(), 3u);
}

// A leader whose company does not come again waits for a moment only, and the one after it not at all.
TEST_F(GroupCommitTest, WhoIsLeftAloneGoesOn) {
  std::vector<Request> requests = numbered(3);
  std::vector<std::string> errors;
  run_behind_the_first(requests, &errors);
  groups_.clear();
  std::vector<Request> alone = numbered(100);
  for (Request &request : alone) group_commit_.run(request);
  EXPECT_EQ(groups_.size(), 100u);
}

// However long commits take: less than anyone looks, and longer, when waiters sleep.
TEST_F(GroupCommitTest, EachRequestIsCommittedOnce) {
  constexpr int kThreads = 6, kRequests = 400;
  std::atomic<int> commits{0};
  during_ = [&](const Group &) {
    int number = commits.fetch_add(1);
    if (number % 16 == 0) std::this_thread::sleep_for(milliseconds(1));
    if (number % 5 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    if (number % 7 == 0) throw Error(Status::kFull, "now and then");
  };
  std::vector<std::vector<Request>> requests(kThreads, numbered(kRequests));
  std::atomic<int> failed{0};
  std::vector<std::thread> threads;
  for (auto &own : requests) {
    threads.emplace_back([&] {
      for (Request &request : own) {
        try {
          group_commit_.run(request);
          EXPECT_EQ(request.committed, 1);
        } catch (const Error &) {
          EXPECT_EQ(request.committed, 0);
          ++failed;
        }
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
  int committed = 0;
  for (const auto &own : requests) {
    for (const Request &request : own) committed += request.committed;
  }
  EXPECT_EQ(committed + failed, kThreads * kRequests);
  EXPECT_GT(committed, 0);
}

}  // namespace
}  // namespace dbc
