// Several processes on one store. Each child opens the store itself after the fork, as another
// program would.
#include <functional>
#include <sys/wait.h>

#include "store/store_fixture.h"

namespace berth::store {
namespace {

class ProcessTest : public testing::Test {
 protected:
  std::string root() const { return folder_.path() + "/store"; }

  // Starts a child that runs `body` on its own store; it ends with 0 when body returns true.
  void child(const std::function<bool(rt::Loop&, Store&)>& body) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      bool good = false;
      {
        rt::Loop loop(2);
        auto store = Store::open(loop, {.root = root()});
        good = store && body(loop, **store);
        if (!store) std::fprintf(stderr, "child: %s\n", store.error().message().c_str());
      }
      ::_exit(good ? 0 : 1);
    }
    children_.push_back(pid);
  }
  void join() {
    for (const pid_t pid : children_) {
      int result = 0;
      ::waitpid(pid, &result, 0);
      EXPECT_EQ(result, 0);
    }
    children_.clear();
  }

  TempFolder folder_;
  std::vector<pid_t> children_;
};

bool good(const Status& status) {
  if (!status) std::fprintf(stderr, "child: %s\n", status.error().message().c_str());
  return status.has_value();
}
template <class T>
bool good(const Result<T>& result) {
  if (!result) std::fprintf(stderr, "child: %s\n", result.error().message().c_str());
  return result.has_value();
}

Task<Status> bring_leased(rt::Op& op, Store& store, content::MemoryTarget& from,
                          oci::Descriptor root, std::string name) {
  CO_TRY(const Lease lease, co_await store.lease(op, Lease::Kind::kTransfer, {}));
  co_return co_await bring(op, store, from, root, name);
}

TEST_F(ProcessTest, FourMakeTheStoreAtOnce) {
  for (int i = 0; i < 4; ++i) {
    child([i](rt::Loop& loop, Store& store) {
      rt::Op op;
      return good(loop.run(store.set_setting(op, "n", std::to_string(i), "v")));
    });
  }
  join();
  rt::Loop loop;
  rt::Op op;
  const auto store = Store::open(loop, {.root = root()}).value();
  EXPECT_EQ(loop.run(store->settings(op, "n")).value().size(), 4U);
}

TEST_F(ProcessTest, ABlobWantedByFourIsFetchedOnce) {
  const std::string bytes(3'000'000, 'w');
  for (int i = 0; i < 4; ++i) {
    child([this, i, &bytes](rt::Loop& loop, Store& store) {
      rt::Op op;
      content::MemoryTarget from;
      content::NoProgress quiet;
      const auto blob = from.add(bytes, "application/weights");
      if (!good(loop.run(store.put(op, blob, from, quiet)))) return false;
      if (from.fetches > 0) folder_.write("fetched-" + std::to_string(i), "");
      return true;
    });
  }
  join();
  int fetched = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    fetched += entry.path().filename().string().starts_with("fetched-") ? 1 : 0;
  }
  EXPECT_EQ(fetched, 1);
}

TEST_F(ProcessTest, PullsTagsRemovalsAndPrunesDoNotHurtEachOther) {
  constexpr int kRounds = 25;
  for (int puller = 0; puller < 3; ++puller) {
    child([puller](rt::Loop& loop, Store& store) {
      content::MemoryTarget from;
      for (int round = 0; round < kRounds; ++round) {
        rt::Op op;
        // Layers are shared between pullers and rounds, so that prune and remove have something to
        // take away.
        const auto model = make_model(from, {"shared", "round" + std::to_string(round % 5)});
        if (!good(loop.run(bring_leased(op, store, from, model, "ai/m" + std::to_string(puller)))))
          return false;
      }
      return true;
    });
  }
  child([](rt::Loop& loop, Store& store) {
    for (int round = 0; round < 2 * kRounds; ++round) {
      rt::Op op;
      if (!good(loop.run(store.prune(op, {.untagged_models = Untagging::kRemove})))) return false;
    }
    return true;
  });
  child([](rt::Loop& loop, Store& store) {
    for (int round = 0; round < kRounds; ++round) {
      rt::Op op;
      const auto models = loop.run(store.list(op));
      if (!good(models)) return false;
      if (models->empty()) continue;
      const auto freed = loop.run(store.remove(op, models->front().id));
      if (!freed && freed.error().code() != Code::kNotFound) return good(freed);
      if (!good(loop.run(store.write_index(op)))) return false;
    }
    return true;
  });
  join();

  rt::Loop loop;
  rt::Op op;
  const auto store = Store::open(loop, {.root = root()}).value();
  for (const Record& model : loop.run(store->list(op)).value()) {
    oci::Descriptor blob{.media_type = model.media_type, .digest = model.id};
    blob.size = std::filesystem::file_size(root() + "/blobs/" + model.id.path());
    EXPECT_TRUE(loop.run(store->has(op, blob)).value()) << model.id.string();
  }
  // Everything that is there is what it is called, and nothing is left over once the models are
  // gone.
  for (const auto& entry : std::filesystem::directory_iterator(root() + "/blobs/sha256")) {
    EXPECT_EQ("sha256:" + entry.path().filename().string(),
              oci::Digest::of(as_bytes(read_file(entry.path()))).string());
  }
  ASSERT_TRUE(loop.run(store->purge(op)));
  EXPECT_TRUE(std::filesystem::is_empty(root() + "/blobs/sha256"));
  EXPECT_TRUE(std::filesystem::is_empty(root() + "/ingest"));
}

TEST_F(ProcessTest, TagsMovedByManyAreAllThere) {
  for (int i = 0; i < 4; ++i) {
    child([i](rt::Loop& loop, Store& store) {
      content::MemoryTarget from;
      for (int round = 0; round < 10; ++round) {
        rt::Op op;
        const auto model = make_model(from, {"layer"});
        const std::string name = "ai/m" + std::to_string(i) + ":v" + std::to_string(round);
        if (!good(loop.run(bring_leased(op, store, from, model, name)))) return false;
      }
      return true;
    });
  }
  join();
  rt::Loop loop;
  rt::Op op;
  auto store = Store::open(loop, {.root = root()}).value();
  EXPECT_EQ(loop.run(store->list(op)).value().at(0).tags.size(), 40U);
  store.reset();
  std::filesystem::remove(root() + "/berth.db");
  store = Store::open(loop, {.root = root()}).value();
  EXPECT_EQ(loop.run(store->list(op)).value().at(0).tags.size(), 40U);
}

TEST_F(ProcessTest, TheLeaseOfAKilledProcessEnds) {
  content::MemoryTarget from;
  const auto model = make_model(from, {"a"});
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  child([&](rt::Loop& loop, Store& store) {
    rt::Op op;
    if (!good(loop.run(bring(op, store, from, model, "ai/a")))) return false;
    const auto lease = loop.run(store.lease(op, Lease::Kind::kRun, {model.digest}));
    (void)!::write(ready[1], "x", 1);
    ::pause();
    return lease.has_value();
  });
  ::close(ready[1]);
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  rt::Loop loop;
  rt::Op op;
  const auto store = Store::open(loop, {.root = root()}).value();
  EXPECT_TRUE(loop.run(store->in_use(op, model.digest)).value());
  EXPECT_TRUE(loop.run(store->remove(op, model.digest)).value().blobs.empty());
  ::kill(children_.at(0), SIGKILL);
  ::waitpid(children_.at(0), nullptr, 0);
  children_.clear();
  EXPECT_FALSE(loop.run(store->in_use(op, model.digest)).value());
  EXPECT_EQ(loop.run(store->prune(op, {})).value().blobs.size(), 3U);
  ::close(ready[0]);
}

// Sends half of the blob, tells the test, and hangs.
class Stuck : public content::Fetcher {
 public:
  Stuck(std::string bytes, int ready) : bytes_(std::move(bytes)), ready_(ready) {}
  Task<Result<content::Source>> fetch(rt::Op&, oci::Descriptor, content::ByteRange) override {
    content::Source source;
    source.size = bytes_.size();
    source.reader = std::make_unique<Body>(*this);
    co_return std::move(source);
  }

 private:
  struct Body : rt::Reader {
    explicit Body(Stuck& of) : from(of) {}
    Task<Result<std::size_t>> read(rt::Op&, MutableBytes into) override {
      if (at >= from.bytes_.size() / 2) {
        (void)!::write(from.ready_, "x", 1);
        ::pause();
      }
      const std::size_t count = std::min(into.size(), from.bytes_.size() / 2 - at);
      std::memcpy(into.data(), from.bytes_.data() + at, count);
      at += count;
      co_return count;
    }
    Stuck& from;
    std::size_t at = 0;
  };
  std::string bytes_;
  int ready_;
};

TEST_F(ProcessTest, AnotherGoesOnWhenTheOneThatFetchesIsKilled) {
  const std::string bytes(32 * 1024 * 1024, 'w');
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  child([&](rt::Loop& loop, Store& store) {
    rt::Op op;
    content::NoProgress quiet;
    Stuck from(bytes, ready[1]);
    return good(loop.run(store.put(op, oci::describe(bytes, "w"), from, quiet)));
  });
  ::close(ready[1]);
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  rt::Loop loop;
  rt::Op op;
  content::NoProgress quiet;
  content::MemoryTarget from;
  const auto blob = from.add(bytes, "w");
  const auto store = Store::open(loop, {.root = root()}).value();
  // It works on it: neither taken away nor taken over.
  EXPECT_TRUE(loop.run(store->prune(op, {})).value().ingests.empty());
  rt::Op short_op(op, std::chrono::steady_clock::now() + std::chrono::milliseconds(30));
  EXPECT_EQ(loop.run(store->put(short_op, blob, from, quiet)).error().code(), Code::kTimeout);
  ::kill(children_.at(0), SIGKILL);
  ::waitpid(children_.at(0), nullptr, 0);
  children_.clear();
  struct First : content::Progress {
    std::uint64_t current = 0;
    void on(const content::Event& event) override {
      if (current == 0) current = event.current;
    }
  } first;
  ASSERT_TRUE(loop.run(store->put(op, blob, from, first)));
  EXPECT_GT(first.current, bytes.size() / 4);  // not from the start
  ::close(ready[0]);
}

}  // namespace
}  // namespace berth::store
