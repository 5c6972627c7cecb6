#include "share/generations.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

namespace dbc {
namespace {

class GenerationsTest : public ::testing::Test {
 protected:
  std::unique_ptr<std::atomic<uint64_t>[]> words_ { new std::atomic<uint64_t>[ Generations::kWords ]() };
  Generations generations_{words_.get()};
};

TEST_F(GenerationsTest, AWordIsOddDuringAWriteAndLargerAfterIt) {
  uint64_t before = generations_.word(7);
  EXPECT_TRUE(Generations::stable(before));
  uint64_t promised = generations_.begin(7);
  EXPECT_FALSE(Generations::stable(generations_.word(7)));
  generations_.end(7);
  EXPECT_EQ(generations_.word(7), promised);
  EXPECT_TRUE(Generations::stable(promised));
  EXPECT_GT(promised, before);
}

TEST_F(GenerationsTest, OtherWordsStay) {
  generations_.begin(7);
  generations_.end(7);
  for (size_t i = 0; i < Generations::kWords; ++i) {
    if (i == 7) continue;
    ASSERT_EQ(generations_.word(i), 0u) << i;
  }
}

TEST_F(GenerationsTest, HashesOfOneClassShareAWord) {
  generations_.begin(7);
  EXPECT_EQ(generations_.word(7 + 5 * Generations::kWords), generations_.word(7));
  EXPECT_EQ(generations_.word(~uint64_t{0}), words_[Generations::kWords - 1]);
}

TEST_F(GenerationsTest, ABatchMayNameAWordTwice) {
  uint64_t before = generations_.word(7);
  uint64_t first = generations_.begin(7);
  uint64_t second = generations_.begin(7 + Generations::kWords);
  EXPECT_EQ(first, second);
  EXPECT_FALSE(Generations::stable(generations_.word(7)));
  generations_.end(7);
  generations_.end(7 + Generations::kWords);
  EXPECT_EQ(generations_.word(7), first);
  EXPECT_TRUE(Generations::stable(generations_.word(7)));
  EXPECT_GT(generations_.word(7), before);
}

TEST_F(GenerationsTest, TheNextWriteMendsWhatADeadWriterLeftOdd) {
  uint64_t remembered = generations_.word(7);
  generations_.begin(7);  // and never ends
  uint64_t promised = generations_.begin(7);
  EXPECT_FALSE(Generations::stable(generations_.word(7)));
  generations_.end(7);
  EXPECT_EQ(generations_.word(7), promised);
  EXPECT_TRUE(Generations::stable(promised));
  EXPECT_NE(promised, remembered);
}

TEST_F(GenerationsTest, AllWordsMove) {
  for (int i = 0; i < 3; ++i) {
    generations_.begin(5);
    generations_.end(5);
  }
  generations_.begin(9);  // left odd
  uint64_t before[] = {generations_.word(0), generations_.word(5), generations_.word(9)};
  generations_.begin_all();
  for (size_t i = 0; i < Generations::kWords; ++i) ASSERT_FALSE(Generations::stable(generations_.word(i))) << i;
  generations_.end_all();
  for (size_t i = 0; i < Generations::kWords; ++i) {
    ASSERT_TRUE(Generations::stable(generations_.word(i))) << i;
    ASSERT_GT(generations_.word(i), 0u) << i;
  }
  EXPECT_GT(generations_.word(0), before[0]);
  EXPECT_GT(generations_.word(5), before[1]);
  EXPECT_GT(generations_.word(9), before[2]);
}

TEST_F(GenerationsTest, AWordMovedOnDuringAWriteDoesNotComeBack) {
  uint64_t promised = generations_.begin(7);
  words_[7] += 1000;  // as SharedFile does when it lays out a damaged file
  EXPECT_FALSE(Generations::stable(generations_.word(7)));
  generations_.end(7);
  EXPECT_EQ(generations_.word(7), promised + 1000);
}

// Others commit as often as it is told to say.
class ToldWatch final : public CommitWatch {
 public:
  void look() override {
    ++looks;
    if (std::exchange(commits, false)) others_committed();
  }
  int looks = 0;
  bool commits = false;
};

TEST_F(GenerationsTest, WhenOthersHaveCommittedAllWordsHaveMoved) {
  ToldWatch watch;
  Generations generations(words_.get(), &watch);
  uint64_t one = generations.word(7), two = generations.word(8);
  EXPECT_EQ(generations.word(7), one);
  watch.commits = true;
  EXPECT_EQ(generations.last_word(7), one);
  EXPECT_GT(generations.word(7), one);
  EXPECT_GT(generations.last_word(8), two);
  EXPECT_TRUE(Generations::stable(generations.word(7)));
}

TEST_F(GenerationsTest, OnlyAWordThatMustBeNewIsLookedFor) {
  ToldWatch watch;
  Generations generations(words_.get(), &watch);
  watch.commits = true;
  generations.word(7);
  EXPECT_EQ(watch.looks, 1);
  uint64_t promised = generations.begin(7);
  EXPECT_EQ(generations.next_stable(7), promised);
  generations.end(7);
  EXPECT_EQ(generations.last_word(7), promised);
  EXPECT_EQ(watch.looks, 1);
}

TEST(Generations, WithoutWordsNothingIsEverStable) {
  Generations none(nullptr);
  EXPECT_FALSE(Generations::stable(none.word(7)));
  EXPECT_FALSE(Generations::stable(none.begin(7)));
  none.end(7);
  none.begin_all();
  none.end_all();
  EXPECT_FALSE(Generations::stable(none.word(7)));
}

}  // namespace
}  // namespace dbc
