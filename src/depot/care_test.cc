// Quotas, retention and events as the depot carries them out.
#include <fcntl.h>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

#include "depot/depot_fixture.h"
#include "depot/schema.h"
#include "store/schema.h"
#include "store/statement.h"

namespace berth::depot {
namespace {

class CareTest : public DepotTest {
 protected:
  void open_with(Rules rules) {
    close();
    open({.disk_reserve = 0}, std::move(rules));
  }
  Status try_push(const std::string& repository, const std::string& bytes) {
    const std::string id = begin(repository);
    const auto held = append(repository, id, bytes);
    if (!held) return std::unexpected(held.error());
    return finish(repository, id, oci::Digest::of(as_bytes(bytes)));
  }
  std::vector<std::string> events(const std::string& endpoint) {
    std::vector<std::string> told;
    for (const Delivery& delivery : run(seam().events.due(op_, endpoint, 100)).value()) {
      told.push_back(fmt::format("{} {}:{}", to_string(delivery.event.kind),
                                 delivery.event.repository, delivery.event.tag));
    }
    return told;
  }
  // On the side: what the catalogue says.
  std::int64_t number(const char* sql) {
    auto database =
        store::Database::open(root() + "/registry.db", store::Database::Mode::kReadOnly);
    auto rows = (*database)->query(sql);
    EXPECT_TRUE(rows && rows->next().value_or(false)) << sql;
    return rows->integer(0);
  }
  static Subscription all(const std::string& endpoint) {
    return {.endpoint = endpoint,
            .kinds = {Event::Kind::kPush, Event::Kind::kMove, Event::Kind::kDelete,
                      Event::Kind::kPull}};
  }
};

TEST_F(CareTest, AQuotaOfEachRepository) {
  open_with({.quotas = {"each team/* 100"}});
  push("team/a", std::string(60, 'a'));
  push("team/b", std::string(60, 'b'));
  const Status refused = try_push("team/a", std::string(50, 'c'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kDenied);
  EXPECT_EQ(refused.error().message(),
            "team/a may not grow by 41 B: the quota of each of team/* is 100 B, and 60 B are held; "
            "delete or prune what is not needed, or ask who runs the registry for more");
  const oci::Digest here = oci::Digest::of(as_bytes(std::string(60, 'a')));
  EXPECT_TRUE(run(seam().blobs.mount(op_, "team/a", here, "team/a")).value()) << "it is here";
  EXPECT_FALSE(run(uploads().check_room(op_, "team/a", 41))) << "known before it is read";
  EXPECT_TRUE(run(uploads().check_room(op_, "team/a", 40)));
  EXPECT_TRUE(try_push("team/a", std::string(40, 'd')));
  EXPECT_TRUE(try_push("other", std::string(500, 'e')));
}

TEST_F(CareTest, AProjectSharesItsQuota) {
  push("team/a", std::string(60, 'a'));
  open_with({.quotas = {"team/** 100", "each ** 90"}});
  EXPECT_FALSE(try_push("team/b/c", std::string(50, 'b')));
  EXPECT_TRUE(try_push("team/b/c", std::string(40, 'b')));
  EXPECT_FALSE(run(seam().blobs.mount(op_, "team/d",
                                      oci::Digest::of(as_bytes(std::string(60, 'a'))), "team/a")));
  EXPECT_FALSE(run(seam().manifests.put_manifest(op_, "team/e", manifest({"x"}, {"v1"}))));
  // A refusal leaves nothing: not even an empty repository.
  EXPECT_EQ(number("SELECT count(*) FROM repositories"), 2);
  // What goes makes room.
  EXPECT_TRUE(
      run(seam().blobs.remove_blob(op_, "team/a", oci::Digest::of(as_bytes(std::string(60, 'a')))))
          .value());
  EXPECT_TRUE(try_push("team/f", std::string(60, 'f')));
  EXPECT_EQ(number("SELECT bytes FROM projects WHERE pattern = 'team/**'"), 100);
}

TEST_F(CareTest, WhatRepositoriesHoldIsCountedExactly) {
  const oci::Digest blob = push("a", "hello");
  const oci::Digest one = put("a", manifest({"hello"}, {"v1"}));
  put("a", manifest({"hello"}, {"v1", "v2"}));  // again
  const auto held = [this] { return number("SELECT bytes FROM repositories WHERE name = 'a'"); };
  const auto size = manifest({"hello"}, {}).manifest.bytes.size();
  EXPECT_EQ(held(), static_cast<std::int64_t>(5 + size));
  push("a", "hello");
  EXPECT_EQ(held(), static_cast<std::int64_t>(5 + size));
  EXPECT_TRUE(run(seam().manifests.remove_manifest(op_, "a", one, {"x"})).value());
  EXPECT_EQ(held(), 5);
  run(seam().care.collect(op_, {.grace = std::chrono::seconds(-10)})).value();
  EXPECT_EQ(held(), 0);
  EXPECT_FALSE(has_file(blob));
}

TEST_F(CareTest, AnOlderCatalogueIsBroughtUpToDate) {
  close();
  const std::string old = root();
  std::filesystem::remove(old + "/registry.db");
  {
    auto database = store::Database::open(old + "/registry.db", store::Database::Mode::kReadWrite);
    ASSERT_TRUE((*database)->script(store::kBlobTables));
    ASSERT_TRUE((*database)->script(kTables));
    ASSERT_TRUE((*database)->script(
        "INSERT INTO repositories(id, name, created) VALUES(1, 'a', 0);"
        "INSERT INTO blobs(digest, size, media_type, document, added) VALUES('sha256:x', 7, 't', "
        "0, 0);"
        "INSERT INTO members VALUES(1, 'sha256:x', 0); PRAGMA user_version = 1"));
  }
  loop_.emplace();
  const auto depot = LocalDepot::open(*loop_, old);
  ASSERT_TRUE(depot) << depot.error().message();
  auto database = store::Database::open(old + "/registry.db", store::Database::Mode::kReadOnly);
  auto rows = (*database)->query("SELECT bytes FROM repositories");
  ASSERT_TRUE(rows->next().value());
  EXPECT_EQ(rows->integer(0), 7);
}

// A sparse file stands for it: what counts, names and finds it must not care how big it is.
TEST_F(CareTest, ABlobOfATebibyte) {
  constexpr std::uint64_t kTebibyte = std::uint64_t{1} << 40;
  const oci::Digest digest = oci::Digest::of(as_bytes(std::string_view("stands for it")));
  push("a", "one");
  close();
  const std::string file = root() + "/blobs/" + digest.path();
  std::ofstream(file) << "x";
  std::filesystem::resize_file(file, kTebibyte);
  {
    auto database =
        store::Database::open(root() + "/registry.db", store::Database::Mode::kReadWrite);
    ASSERT_TRUE((*database)->run(
        "INSERT INTO blobs(digest, size, media_type, document, added) VALUES(?, ?, 't', 0, 0)",
        digest.string(), static_cast<std::int64_t>(kTebibyte)));
    ASSERT_TRUE(
        (*database)->run("INSERT INTO members SELECT id, ?, 0 FROM repositories", digest.string()));
  }
  open({.disk_reserve = 0}, {.quotas = {"each a 2TiB"}});
  EXPECT_EQ(find("a", digest), kTebibyte);
  const auto blob = run(seam().blobs.open_blob(op_, "a", digest)).value();
  ASSERT_TRUE(blob);
  char last = 'x';
  EXPECT_EQ(::pread(blob->file.get(), &last, 1, static_cast<off_t>(kTebibyte - 1)), 1);
  EXPECT_EQ(last, '\0');
  EXPECT_TRUE(run(seam().blobs.mount(op_, "b", digest, "a")).value());
  const auto usages = run(seam().models.usage_of(op_, {"a", "b"})).value();
  EXPECT_EQ(usages.at(0).bytes, kTebibyte + 3);
  EXPECT_EQ(usages.at(0).shared, kTebibyte);
  EXPECT_EQ(number("SELECT sum(bytes) FROM repositories"),
            static_cast<std::int64_t>(2 * kTebibyte + 3));
  EXPECT_TRUE(run(seam().blobs.remove_blob(op_, "a", digest)).value());
  EXPECT_TRUE(run(seam().blobs.remove_blob(op_, "b", digest)).value());
  const Collected freed =
      run(seam().care.collect(op_, {.grace = std::chrono::seconds(-10)})).value();
  EXPECT_EQ(freed.bytes, kTebibyte + 3);
}

TEST_F(CareTest, RetentionTakesTagsAndWhatHungOnThem) {
  open_with({.retention = {"ci/** keep=1"}, .grace = std::chrono::seconds(-5)});
  push("ci/a", "one");
  push("ci/a", "two");
  const oci::Digest one = put("ci/a", manifest({"one"}, {"v1"}));
  put("ci/a", manifest({"two"}, {"v2"}));
  put("team/a", manifest({"one"}, {"v1", "v2"}));
  PruneOptions dry{.dry_run = true};
  const auto would = run(seam().care.prune(op_, dry)).value();
  ASSERT_EQ(would.size(), 2u);
  EXPECT_TRUE(resolve("ci/a", "v1")) << "a dry run takes nothing";
  const auto pruned = run(seam().care.prune(op_, {})).value();
  ASSERT_EQ(pruned.size(), 2u);
  EXPECT_EQ(pruned[0].repository, "ci/a");
  EXPECT_EQ(pruned[0].tag + pruned[1].tag, would[0].tag + would[1].tag);
  EXPECT_FALSE(resolve("ci/a", "v1"));
  EXPECT_TRUE(resolve("ci/a", "v2")) << "the later one, also within a second";
  EXPECT_TRUE(resolve("team/a", "v1"));
  const auto moves = run(seam().lists.history(op_, "ci/a", "", kNewestMove, 1)).value();
  EXPECT_EQ(moves.at(0).actor, "retention");
  const auto wrong = run(seam().care.prune(op_, {.rules = {"nonsense"}}));
  EXPECT_EQ(wrong.error().code(), Code::kInvalid);
}

TEST_F(CareTest, EventsComeWithWhatHappensAndGoWhenTheyWereTaken) {
  open_with({.subscriptions = {all("audit"),
                               {.endpoint = "deploy",
                                .kinds = {Event::Kind::kMove},
                                .repositories = {Glob::parse("team/**").value()}}}});
  int woken = 0;
  seam().events.when_changed([&woken] { ++woken; });
  push("team/a", "one");
  const oci::Digest first = put("team/a", manifest({"one"}, {"v1"}));
  const oci::Digest second = put("team/a", manifest({"one", "two"}, {"v1", "v2"}));
  const auto stored = run(seam().manifests.find_manifest(op_, "team/a", second)).value();
  EXPECT_TRUE(run(seam().manifests.note_pull(op_, "team/a", stored, "v2", {"bob"})));
  EXPECT_TRUE(run(seam().manifests.untag(op_, "team/a", "v2", {"alice"})).value());
  EXPECT_TRUE(run(seam().manifests.remove_manifest(op_, "team/a", first, {"alice"})).value());
  EXPECT_GT(woken, 4);
  EXPECT_EQ(events("audit"),
            (std::vector<std::string>{"push team/a:v1", "push team/a:v1", "move team/a:v1",
                                      "push team/a:v2", "pull team/a:v2", "delete team/a:v2",
                                      "delete team/a:"}));
  EXPECT_EQ(events("deploy"), std::vector<std::string>{"move team/a:v1"});
  const Event moved = run(seam().events.due(op_, "deploy", 1)).value().at(0).event;
  EXPECT_EQ(moved.before, first.string());
  EXPECT_EQ(moved.digest, second.string());
  EXPECT_EQ(moved.origin.actor, "tester");
  EXPECT_TRUE(run(seam().events.delivered(op_, "deploy", {moved.id})));
  EXPECT_EQ(events("deploy"), std::vector<std::string>{});
  EXPECT_EQ(events("audit").size(), 7u) << "the other still waits";
}

TEST_F(CareTest, EventsSurviveARestartAndDieWithTheirEndpoint) {
  open_with({.subscriptions = {all("a"), all("b")}});
  put("x", manifest({"one"}, {"v1"}));
  open_with({.subscriptions = {all("a")}});
  EXPECT_EQ(events("a").size(), 1u);
  EXPECT_EQ(events("b").size(), 0u);
  open_with({});
  EXPECT_EQ(number("SELECT count(*) FROM events"), 0);
}

TEST_F(CareTest, ADeadLetterIsListedAndCanBeRevived) {
  open_with({.subscriptions = {all("a"), all("b")}});
  put("x", manifest({"one"}, {"v1"}));
  const std::int64_t id = run(seam().events.due(op_, "a", 1)).value().at(0).event.id;
  EXPECT_TRUE(run(seam().events.failed(op_, "a", {id}, "HTTP 500", Events::Then::kAgain)));
  EXPECT_EQ(run(seam().events.due(op_, "a", 1)).value().at(0).attempts, 1u);
  EXPECT_TRUE(run(seam().events.failed(op_, "a", {id}, "HTTP 503", Events::Then::kDead)));
  EXPECT_EQ(events("a").size(), 0u);
  EXPECT_EQ(events("b").size(), 1u);
  const auto dead = run(seam().events.dead_letters(op_, 0, 10)).value();
  ASSERT_EQ(dead.size(), 1u);
  EXPECT_EQ(dead[0].endpoint, "a");
  EXPECT_EQ(dead[0].fault, "HTTP 503");
  EXPECT_EQ(dead[0].attempts, 2u);
  const auto backlog = run(seam().events.backlog(op_)).value();
  ASSERT_EQ(backlog.size(), 2u);
  EXPECT_EQ(backlog[0].dead, 1u);
  EXPECT_EQ(backlog[1].waiting, 1u);
  EXPECT_EQ(run(seam().events.revive(op_, "a")).value(), 1u);
  EXPECT_EQ(events("a").size(), 1u);
}

TEST_F(CareTest, NobodyIsToldOfWhatWasRefused) {
  open_with({.quotas = {"** 10"}, .subscriptions = {all("a")}});
  EXPECT_FALSE(run(seam().manifests.put_manifest(op_, "x", manifest({"a long name"}, {"v1"}))));
  EXPECT_EQ(events("a").size(), 0u);
}

}  // namespace
}  // namespace berth::depot
