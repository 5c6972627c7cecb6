#include "share/generations.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

namespace dbc {
namespace {

class GenerationsTest : public ::testing::Test {
 protected:
  std::unique_ptr<std::atomic<uint64_t>[]> words_ { new std::atomic<uint64_t>[ Generations::kMemory ]() };
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

// Keys of one class with tags of their own.
constexpr uint64_t kKey = 7, kOther = 7 + 2 * Generations::kWords, kThird = 7 + 3 * Generations::kWords;

TEST_F(GenerationsTest, AWriteToAnotherKeyOfTheClassSparesAKey) {
  auto write = [&](uint64_t hash) {
    generations_.begin(hash);
    generations_.end(hash);
    return generations_.word(hash);
  };
  uint64_t since = generations_.word(kKey);
  EXPECT_TRUE(generations_.spared(kKey, since, since));
  uint64_t now = write(kOther);
  EXPECT_TRUE(generations_.spared(kKey, since, now));
  EXPECT_FALSE(generations_.spared(kOther, since, now));
  for (int writes = 2; writes <= 4; ++writes) now = write(kThird);
  EXPECT_TRUE(generations_.spared(kKey, since, now));
  EXPECT_FALSE(generations_.spared(kOther, since, now)) << "the first of four";
  EXPECT_TRUE(generations_.spared(kOther, since + 2, now));
  now = write(kThird);
  EXPECT_FALSE(generations_.spared(kKey, since, now)) << "more than is remembered";
  since = now;
  EXPECT_FALSE(generations_.spared(kKey, since, write(kKey)));
}

TEST_F(GenerationsTest, WhatIsNotCertainSparesNothing) {
  uint64_t since = generations_.word(kKey);
  uint64_t next = generations_.begin(kOther);
  EXPECT_FALSE(generations_.spared(kKey, since, generations_.word(kKey))) << "during the write";
  EXPECT_FALSE(generations_.spared(kKey, since + 1, next)) << "read during a write";
  generations_.end(kOther);
  EXPECT_TRUE(generations_.spared(kKey, since, next));
  EXPECT_FALSE(generations_.spared(kKey, next, since)) << "backward";

  // A word that moved in another way.
  words_[7] += 2;
  EXPECT_FALSE(generations_.spared(kKey, next, generations_.word(kKey)));
  // What came before it is not known either.
  since = generations_.word(kKey);
  generations_.begin(kOther);
  generations_.end(kOther);
  EXPECT_FALSE(generations_.spared(kKey, since - 2, generations_.word(kKey)));
  EXPECT_TRUE(generations_.spared(kKey, since, generations_.word(kKey)));

  // One write of several keys of the class.
  since = generations_.word(kKey);
  generations_.begin(kKey);
  generations_.begin(kOther);
  generations_.end(kKey);
  generations_.end(kOther);
  EXPECT_FALSE(generations_.spared(kKey, since, generations_.word(kKey)));
  EXPECT_FALSE(generations_.spared(kThird, since, generations_.word(kKey)));

  // All keys.
  since = generations_.word(kKey);
  generations_.begin_all();
  generations_.end_all();
  EXPECT_FALSE(generations_.spared(kKey, since, generations_.word(kKey)));

  // A writer that died, and the next one, of another key.
  since = generations_.word(kKey);
  generations_.begin(kKey);
  generations_.begin(kOther);
  generations_.end(kOther);
  EXPECT_FALSE(generations_.spared(kKey, since, generations_.word(kKey)));
}

TEST_F(GenerationsTest, WhatChangesAllSparesNothing) {
  // Not even by chance, whatever each word and its tags were.
  std::vector<uint64_t> since(Generations::kWords);
  for (uint64_t round = 0; round < 8; ++round) {
    for (uint64_t i = 0; i < Generations::kWords; ++i) {
      words_[i] = 2 * (i * 7919 + round);
      uint64_t other = i | (i * 31 % 4000 + 2 + round) << 16;
      generations_.begin(other);
      generations_.end(other);
      since[i] = generations_.word(i);
    }
    generations_.begin_all();
    generations_.end_all();
    for (uint64_t i = 0; i < Generations::kWords; ++i)
      ASSERT_FALSE(generations_.spared(i, since[i], generations_.word(i))) << i;
  }
  // What comes after it is known again.
  uint64_t after = generations_.word(kKey);
  generations_.begin(kOther);
  generations_.end(kOther);
  EXPECT_TRUE(generations_.spared(kKey, after, generations_.word(kKey)));
  EXPECT_FALSE(generations_.spared(kKey, since[kKey], generations_.word(kKey)));
}

TEST_F(GenerationsTest, WhatChangesAllAfterADeadWriterSparesNothing) {
  uint64_t since = generations_.word(kKey);
  generations_.begin(kOther);  // and dies
  generations_.begin_all();
  generations_.end_all();
  EXPECT_FALSE(generations_.spared(kKey, since, generations_.word(kKey)));
}

TEST_F(GenerationsTest, DamagedTagsSpareNothing) {
  uint64_t since = generations_.word(kKey);
  generations_.begin(kKey);
  generations_.end(kKey);
  uint64_t now = generations_.word(kKey), sound = words_[Generations::kWords + 7];
  for (int bit = 0; bit < 64; ++bit) {
    words_[Generations::kWords + 7] = sound ^ uint64_t { 1 } << bit;
    EXPECT_FALSE(generations_.spared(kKey, since, now)) << bit;
  }
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
  EXPECT_FALSE(generations.spared(7, one, generations.word(7)));
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
