#include <functional>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "store/refs_log.h"
#include "store/store_fixture.h"

namespace berth::store {
namespace {

class OpenTest : public StoreTest {
 protected:
  void lose_catalogue() {
    store_.reset();
    for (const char* name : {"berth.db", "berth.db-wal", "berth.db-shm"}) {
      std::filesystem::remove(root() + "/" + name);
    }
  }
  // Runs `body` as nobody, who owns none of the files; true when it returned true.
  bool as_nobody(const std::function<bool()>& body) {
    stop();
    const pid_t child = ::fork();
    if (child == 0) {
      if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0)
        ::_exit(2);
      ::_exit(body() ? 0 : 1);
    }
    int result = 0;
    ::waitpid(child, &result, 0);
    return result == 0;
  }
};

TEST_F(OpenTest, ALostCatalogueIsRebuilt) {
  const auto a = make_model(from_, {"a"});
  const auto b = make_model(from_, {"b"});
  const auto mine = make_model(from_, {"mine"});
  const auto index = make_index(from_, {make_model(from_, {"other"}), mine});
  ASSERT_TRUE(bring(a, "ai/a"));
  ASSERT_TRUE(bring(b, "ai/gone"));
  ASSERT_TRUE(bring(b, "ai/b"));
  ASSERT_TRUE(run(store_->untag(op_, reference("ai/gone"))));
  ASSERT_TRUE(bring(mine, ""));
  ASSERT_TRUE(put(index));
  ASSERT_TRUE(run(store_->set_selected(op_, index.digest, mine.digest)));
  ASSERT_TRUE(run(store_->tag(op_, index, reference("ai/multi"))));
  const auto removed = make_model(from_, {"removed"});
  ASSERT_TRUE(bring(removed, "ai/removed"));
  ASSERT_TRUE(run(store_->remove(op_, removed.digest)));
  const auto before = list();

  lose_catalogue();
  open();
  const auto after = list();
  ASSERT_EQ(after.size(), before.size());
  for (const Record& model : before) {
    const auto found = find(model.id.string());
    ASSERT_TRUE(found) << model.id.string();
    EXPECT_EQ(found->record.tags, model.tags);
    EXPECT_EQ(found->record.added, model.added);
    EXPECT_EQ(found->record.size, model.size);
  }
  EXPECT_EQ(run(store_->resolve(op_, reference("ai/multi"))).value().digest, index.digest);
  EXPECT_TRUE(run(store_->has(op_, a)).value());
  EXPECT_TRUE(run(store_->prune(op_, {})).value().blobs.empty());
}

TEST_F(OpenTest, ADamagedManifestIsLeftOutOfTheRebuild) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "ai/a"));
  ASSERT_TRUE(bring(make_model(from_, {"b"}), "ai/b"));
  lose_catalogue();
  std::string bytes = read_file(blob_file(a.digest));
  std::filesystem::remove(blob_file(a.digest));
  bytes.back() ^= 1;
  std::ofstream(blob_file(a.digest)) << bytes;
  open();
  EXPECT_FALSE(find("ai/a"));
  EXPECT_TRUE(find("ai/b"));
}

TEST_F(OpenTest, AChangedLinkIsFoundAfterARebuild) {
  const std::string path = folder_.write("model.gguf", "weights");
  const std::string other = folder_.write("other.gguf", "others!");
  const auto good = run(store_->adopt(op_, path, Adoption::kLink, quiet_)).value();
  const auto bad = run(store_->adopt(op_, other, Adoption::kLink, quiet_)).value();
  lose_catalogue();
  folder_.write("other.gguf", "OTHERS!");
  open();
  EXPECT_TRUE(run(store_->check_linked(op_, good.digest)));
  EXPECT_EQ(run(store_->check_linked(op_, bad.digest)).error().code(), Code::kCorrupt);
}

TEST_F(OpenTest, WithoutALogTheIndexViewTells) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "ai/a"));
  ASSERT_TRUE(run(store_->write_index(op_)));
  lose_catalogue();
  std::filesystem::remove(root() + "/refs.log");
  open();
  EXPECT_EQ(find("ai/a")->record.id, a.digest);
}

TEST_F(OpenTest, ADamagedCatalogueIsNamedAndCanBeMovedAway) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "ai/a"));
  store_.reset();
  std::ofstream(root() + "/berth.db") << std::string(8192, 'x');
  const auto opened = Store::open(loop(), {.root = root()});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), Code::kCorrupt);
  EXPECT_NE(opened.error().message().find(root() + "/berth.db"), std::string::npos);
  lose_catalogue();
  open();
  EXPECT_TRUE(find("ai/a"));
}

TEST_F(OpenTest, ANewerCatalogueIsRefused) {
  store_.reset();
  sqlite3* database = nullptr;
  sqlite3_open((root() + "/berth.db").c_str(), &database);
  sqlite3_exec(database, "PRAGMA user_version = 99", nullptr, nullptr, nullptr);
  sqlite3_close(database);
  EXPECT_EQ(Store::open(loop(), {.root = root()}).error().code(), Code::kUnsupported);
}

TEST_F(OpenTest, AFolderOfSomethingElseIsNotTaken) {
  folder_.write("thesis.txt", "mine");
  EXPECT_EQ(Store::open(loop(), {.root = folder_.path()}).error().code(), Code::kInvalid);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/oci-layout"));
}

TEST_F(OpenTest, AnotherLayoutVersionIsRefused) {
  store_.reset();
  std::ofstream(root() + "/oci-layout") << R"({"imageLayoutVersion":"2.0.0"})";
  EXPECT_EQ(Store::open(loop(), {.root = root()}).error().code(), Code::kUnsupported);
}

TEST_F(OpenTest, ReadOnlyListsAndRefusesToWrite) {
  const auto a = make_model(from_, {"a"});
  ASSERT_TRUE(bring(a, "ai/a"));
  open(true);
  EXPECT_TRUE(store_->read_only());
  EXPECT_EQ(list().size(), 1U);
  EXPECT_TRUE(run(store_->has(op_, a)).value());
  EXPECT_FALSE(run(store_->in_use(op_, a.digest)).value());
  EXPECT_EQ(put(from_.add("x", "w")).error().code(), Code::kDenied);
  EXPECT_EQ(run(store_->tag(op_, a, reference("ai/b"))).error().code(), Code::kDenied);
  EXPECT_EQ(run(store_->remove(op_, a.digest)).error().code(), Code::kDenied);
  EXPECT_EQ(run(store_->write_index(op_)).error().code(), Code::kDenied);
  EXPECT_EQ(run(store_->lease(op_, Lease::Kind::kRun, {})).error().code(), Code::kDenied);
}

TEST_F(OpenTest, AFolderThatCannotBeWrittenIsReadOnly) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  ASSERT_TRUE(bring(make_model(from_, {"a"}), "ai/a"));
  store_.reset();
  ::chmod(folder_.path().c_str(), 0755);
  ::chmod(root().c_str(), 0755);
  ::chmod((root() + "/berth.db").c_str(), 0644);
  EXPECT_TRUE(as_nobody([this] {
    rt::Loop loop;
    auto store = Store::open(loop, {.root = root()});
    if (!store || !(*store)->read_only()) return false;
    const auto models = loop.run((*store)->list(op_));
    const Status put = loop.run((*store)->put(op_, from_.add("x", "w"), from_, quiet_));
    return models && models->size() == 1 && !put && put.error().code() == Code::kDenied;
  }));
}

TEST_F(OpenTest, AStoreThatCannotBeMadeIsDenied) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  ::chmod(folder_.path().c_str(), 0755);
  EXPECT_TRUE(as_nobody([this] {
    rt::Loop loop;
    const auto store = Store::open(loop, {.root = folder_.path() + "/new"});
    return !store && store.error().code() == Code::kDenied;
  }));
}

TEST_F(OpenTest, TheLogSurvivesATornLine) {
  const auto a = make_model(from_, {"a"});
  const auto b = make_model(from_, {"b"});
  ASSERT_TRUE(bring(a, "ai/a"));
  std::ofstream(root() + "/refs.log", std::ios::app) << "1 tag 17000";  // cut by a crash
  ASSERT_TRUE(bring(b, "ai/b"));
  lose_catalogue();
  open();
  EXPECT_TRUE(find("ai/a"));
  EXPECT_TRUE(find("ai/b"));
}

TEST(RefsLog, LinesReadBack) {
  const oci::Digest digest = oci::Digest::of(as_bytes("x"));
  const RefMove move{.kind = RefMove::Kind::kTag,
                     .time = std::chrono::sys_seconds(std::chrono::seconds(1'700'000'000)),
                     .target = digest,
                     .model = digest,
                     .reference = reference("localhost:5000/team/x:v1")};
  const std::string line = format_move(move);
  EXPECT_EQ(line.substr(0, line.rfind(' ')),
            fmt::format("1 tag 1700000000 {0} {0} localhost:5000 team/x v1 -", digest.string()));
  const auto back = parse_move(line.substr(0, line.size() - 1));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->reference, move.reference);
  EXPECT_EQ(back->target, move.target);
  EXPECT_EQ(back->time, move.time);
}

TEST(RefsLog, DamagedLinesAreNotBelieved) {
  const RefMove move{.kind = RefMove::Kind::kRemove, .time = {}, .model = oci::Digest::of({})};
  std::string line = format_move(move);
  line.pop_back();
  ASSERT_TRUE(parse_move(line));
  for (std::size_t i = 0; i < line.size(); ++i) {
    std::string damaged = line;
    damaged[i] ^= 1;
    EXPECT_FALSE(parse_move(damaged)) << i;
    EXPECT_FALSE(parse_move(line.substr(0, i))) << i;
  }
}

}  // namespace
}  // namespace berth::store
