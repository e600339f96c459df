#include "fs/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

namespace berth::fs {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "berth-fs-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
    dir_.emplace(Dir::open(path_).value());
  }
  void TearDown() override {
    const std::size_t slash = path_.find_last_of('/');
    const Dir parent = Dir::open(path_.substr(0, slash)).value();
    EXPECT_TRUE(parent.remove_tree(path_.substr(slash + 1)));
  }

  std::string path_;
  std::optional<Dir> dir_;
};

TEST_F(FileTest, ReplaceIsReadBack) {
  ASSERT_TRUE(dir_->replace("a", "one"));
  ASSERT_TRUE(dir_->replace("a", "two"));
  EXPECT_EQ(dir_->read_small("a", 10).value(), "two");
  EXPECT_EQ(dir_->list().value(), std::vector<std::string>{"a"});
  EXPECT_EQ(dir_->find("a").value()->mode, 0600u);
}

TEST_F(FileTest, ReadSmallIsBounded) {
  ASSERT_TRUE(dir_->replace("a", "123456"));
  EXPECT_EQ(dir_->read_small("a", 5).error().code(), Code::kTooLarge);
  EXPECT_EQ(dir_->read_small("b", 5).error().code(), Code::kNotFound);
}

TEST_F(FileTest, ADirectoryCannotBeLeft) {
  ASSERT_EQ(::symlink("/etc", (path_ + "/link").c_str()), 0);
  ASSERT_EQ(::symlink("/etc/passwd", (path_ + "/file").c_str()), 0);
  EXPECT_FALSE(dir_->open_read("../x"));
  EXPECT_FALSE(dir_->open_read("/etc/passwd"));
  EXPECT_FALSE(dir_->open_read("link/passwd"));
  EXPECT_FALSE(dir_->open_read("file"));
  EXPECT_FALSE(dir_->create_new("link/x"));
  EXPECT_FALSE(dir_->remove("../x"));
  EXPECT_FALSE(dir_->make_subdir("a/../../x"));
}

TEST_F(FileTest, RemoveTreeDoesNotFollowLinks) {
  const Dir outside = dir_->make_subdir("outside").value();
  ASSERT_TRUE(outside.replace("keep", "me"));
  const Dir tree = dir_->make_subdir("tree/deep").value();
  ASSERT_TRUE(tree.replace("x", ""));
  ASSERT_EQ(::symlink((path_ + "/outside").c_str(), (path_ + "/tree/link").c_str()), 0);
  ASSERT_TRUE(dir_->remove_tree("tree"));
  EXPECT_FALSE(dir_->find("tree").value());
  EXPECT_TRUE(outside.find("keep").value());
}

TEST_F(FileTest, CreateNewAndLinkRefuseToReplace) {
  ASSERT_TRUE(dir_->create_new("a"));
  EXPECT_EQ(dir_->create_new("a").error().code(), Code::kConflict);
  ASSERT_TRUE(dir_->create_new("b"));
  EXPECT_EQ(dir_->link("a", *dir_, "b").error().code(), Code::kConflict);
  ASSERT_TRUE(dir_->link("a", *dir_, "c"));
  EXPECT_EQ(dir_->find("c").value()->links, 2u);
}

TEST_F(FileTest, WritesAndReadsAtOffsets) {
  File file = dir_->create_new("a").value();
  ASSERT_TRUE(file.write_at(3, as_bytes("def")));
  ASSERT_TRUE(file.write_at(0, as_bytes("abc")));
  ASSERT_TRUE(file.sync());
  std::string text(10, '\0');
  EXPECT_EQ(file.read_at(1, std::as_writable_bytes(std::span(text))).value(), 5u);
  EXPECT_EQ(text.substr(0, 5), "bcdef");
}

TEST_F(FileTest, AFullDeviceIsExhausted) {
  File full{UniqueFd(::open("/dev/full", O_RDWR | O_CLOEXEC)), "/dev/full"};
  EXPECT_EQ(full.write_at(0, as_bytes("x")).error().code(), Code::kExhausted);
}

TEST_F(FileTest, LocksExcludeOtherHolders) {
  auto first = Lock::try_acquire(*dir_, "l", Lock::Mode::kExclusive).value();
  ASSERT_TRUE(first);
  EXPECT_FALSE(Lock::try_acquire(*dir_, "l", Lock::Mode::kExclusive).value());
  EXPECT_FALSE(Lock::try_acquire(*dir_, "l", Lock::Mode::kShared).value());
  first.reset();
  const auto a = Lock::try_acquire(*dir_, "l", Lock::Mode::kShared).value();
  const auto b = Lock::try_acquire(*dir_, "l", Lock::Mode::kShared).value();
  EXPECT_TRUE(a && b);
}

TEST_F(FileTest, ADeadProcessHoldsNoLock) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto lock = Lock::try_acquire(*dir_, "l", Lock::Mode::kExclusive);
    ::_exit(lock && *lock ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(Lock::try_acquire(*dir_, "l", Lock::Mode::kExclusive).value());
}

TEST_F(FileTest, UserFilesMustBeRegular) {
  EXPECT_EQ(open_user_file("/dev/zero").error().code(), Code::kInvalid);
  EXPECT_EQ(open_user_file(path_).error().code(), Code::kInvalid);
  EXPECT_EQ(open_user_file(path_ + "/none").error().code(), Code::kNotFound);
}

TEST(RelativePath, OnlyPlainNames) {
  for (const char* good :
       {"a", "a/b.gguf", "text_encoder/model-00001-of-00002.safetensors", "...x", "ü"}) {
    EXPECT_TRUE(check_relative_path(good)) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("/a"), std::string("a//b"), std::string("../a"),
        std::string("a/.."), std::string("."), std::string("a\nb"), std::string("a\\b"),
        std::string("a\0b", 3), std::string(300, 'a'), std::string("a/")}) {
    EXPECT_FALSE(check_relative_path(bad)) << bad;
  }
}

}  // namespace
}  // namespace berth::fs
