#include <filesystem>
#include <fstream>

#include "depot/depot_fixture.h"
#include "store/store.h"

namespace berth::depot {
namespace {

TEST_F(DepotTest, MountShowsABlobWithoutMovingIt) {
  const oci::Digest digest = push("a", "weights");
  EXPECT_FALSE(run(seam().blobs.mount(op_, "b", digest, "c")).value());
  EXPECT_TRUE(run(seam().blobs.mount(op_, "b", digest, "a")).value());
  EXPECT_TRUE(run(seam().blobs.mount(op_, "d", digest, "")).value());
  EXPECT_EQ(find("b", digest), 7u);
  EXPECT_FALSE(run(seam().blobs.mount(op_, "b", oci::Digest::of(as_bytes("x")), "")).value());
}

TEST_F(DepotTest, DeletingABlobHidesItInOneRepositoryAtOnce) {
  const oci::Digest digest = push("a", "weights");
  push("b", "weights");
  EXPECT_EQ(find("a", digest), 7u);
  EXPECT_TRUE(run(seam().blobs.remove_blob(op_, "a", digest)).value());
  EXPECT_FALSE(find("a", digest));
  EXPECT_EQ(find("b", digest), 7u);
  EXPECT_FALSE(run(seam().blobs.remove_blob(op_, "a", digest)).value());
  EXPECT_FALSE(run(seam().blobs.remove_blob(op_, "none", digest)).value());
}

TEST_F(DepotTest, ABlobWhoseFileIsDamagedIsNotHereAndCanBePushedAgain) {
  const oci::Digest digest = push("a", "weights");
  ASSERT_EQ(find("a", digest), 7u);
  const std::filesystem::path file = root() + "/blobs/" + digest.path();
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  std::filesystem::resize_file(file, 3);
  EXPECT_FALSE(run(seam().blobs.open_blob(op_, "a", digest)).value());
  EXPECT_FALSE(find("a", digest)) << "what was remembered is forgotten";
  EXPECT_FALSE(run(seam().blobs.mount(op_, "b", digest, "a")).value());
  push("a", "weights");
  EXPECT_EQ(find("a", digest), 7u);
  std::filesystem::remove(file);
  EXPECT_FALSE(run(seam().blobs.open_blob(op_, "a", digest)).value());
  push("a", "weights");
  EXPECT_TRUE(run(seam().blobs.open_blob(op_, "a", digest)).value());
}

TEST_F(DepotTest, AManifestWhoseFileIsDamagedIsNotServed) {
  const oci::Digest digest = put("a", manifest({"one"}, {"v1"}));
  const std::filesystem::path file = root() + "/blobs/" + digest.path();
  const auto size = std::filesystem::file_size(file);
  std::filesystem::permissions(file, std::filesystem::perms::owner_all);
  std::ofstream(file) << std::string(size, 'x');
  EXPECT_FALSE(run(seam().manifests.find_manifest(op_, "a", digest)).value());
  std::filesystem::remove(file);
  EXPECT_FALSE(run(seam().manifests.find_manifest(op_, "a", digest)).value());
  put("a", manifest({"one"}, {"v1"}));
  EXPECT_TRUE(run(seam().manifests.find_manifest(op_, "a", digest)).value());
}

TEST_F(DepotTest, ACatalogueThatAnotherProgramLocksIsToldAndNothingIsLost) {
  open({.disk_reserve = 0}, {.patience = std::chrono::milliseconds(50)});
  put("a", manifest({"one"}, {"v1"}));
  const std::string id = begin("a");
  ASSERT_TRUE(append("a", id, "weights"));
  const oci::Digest digest = oci::Digest::of(as_bytes("weights"));
  auto other = store::Database::open(root() + "/registry.db", store::Database::Mode::kReadWrite);
  ASSERT_TRUE(other);
  ASSERT_TRUE((*other)->run("BEGIN IMMEDIATE"));
  const Status done = finish("a", id, digest);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), Code::kIo);
  EXPECT_TRUE(done.error().retry_after()) << done.error().message();
  EXPECT_EQ(done.error().message().find(root()), std::string::npos) << done.error().message();
  EXPECT_TRUE(resolve("a", "v1")) << "reading goes on";
  ASSERT_TRUE((*other)->run("COMMIT"));
  EXPECT_EQ(push("a", "weights"), digest);
  EXPECT_EQ(find("a", digest), 7u);
}

TEST_F(DepotTest, ARefusalOfAFolderNamesWhatChoosesIt) {
  put("a", manifest({"one"}, {"v1"}));
  close();
  {
    auto newer = store::Database::open(root() + "/registry.db", store::Database::Mode::kReadWrite);
    ASSERT_TRUE(newer && (*newer)->script("PRAGMA user_version = 99"));
  }
  rt::Loop loop;
  const auto refused = LocalDepot::open(loop, root());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kUnsupported);
  const std::string other = folder_.path() + "/other";
  std::filesystem::create_directory(other);
  std::ofstream(other + "/letters") << "x";
  const auto foreign = LocalDepot::open(loop, other);
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code(), Code::kInvalid);
  for (const std::string& said : {refused.error().message(), foreign.error().message()}) {
    EXPECT_NE(said.find("registry"), std::string::npos) << said;
    EXPECT_NE(said.find("with --root"), std::string::npos) << said;
    EXPECT_EQ(said.find("BERTH_HOME"), std::string::npos) << said;
  }
}

TEST_F(DepotTest, BlobsWithoutTheirCatalogueAreNotTakenForAnEmptyRegistry) {
  const oci::Digest digest = push("a", "weights");
  close();
  const std::filesystem::path catalogue = root() + "/registry.db";
  const auto kept = std::filesystem::path(root() + "/../kept");
  std::filesystem::rename(catalogue, kept);
  for (int missing = 0; missing < 2; ++missing) {
    loop_.emplace();
    const auto opened = LocalDepot::open(*loop_, root(), {.disk_reserve = 0}, {});
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), Code::kCorrupt);
    EXPECT_NE(opened.error().message().find("no registry.db"), std::string::npos);
    EXPECT_TRUE(has_file(digest));
    EXPECT_EQ(std::filesystem::exists(catalogue), missing == 1) << "none is made";
    if (missing == 0) std::ofstream(catalogue).close();  // an empty one is none
  }
  std::filesystem::rename(kept, catalogue);
  open();
  EXPECT_EQ(find("a", digest), 7u);
}

TEST_F(DepotTest, TagsMoveAndTheirHistoryStays) {
  push("a", "one");
  push("a", "two");
  const oci::Digest first = put("a", manifest({"one"}, {"v1", "latest"}));
  const oci::Digest second = put("a", manifest({"two"}, {"latest"}));
  EXPECT_EQ(resolve("a", "v1"), first);
  EXPECT_EQ(resolve("a", "latest"), second);
  EXPECT_FALSE(resolve("a", "none"));
  EXPECT_FALSE(resolve("b", "latest"));
  put("a", manifest({"two"}, {"latest"}));  // the same again is no move
  EXPECT_TRUE(run(seam().manifests.untag(op_, "a", "latest", {"bob"})).value());
  EXPECT_FALSE(run(seam().manifests.untag(op_, "a", "latest", {"bob"})).value());
  EXPECT_FALSE(resolve("a", "latest"));
  const auto moves = run(seam().lists.history(op_, "a", "latest", kNewestMove, 10)).value();
  ASSERT_EQ(moves.size(), 3u);
  EXPECT_EQ(moves[0].before, second.string());
  EXPECT_EQ(moves[0].after, "");
  EXPECT_EQ(moves[0].actor, "bob");
  EXPECT_EQ(moves[1].before, first.string());
  EXPECT_EQ(moves[2].before, "");
}

TEST_F(DepotTest, AManifestComesBackAsItWasAndGoesWithItsTags) {
  const PushedManifest pushed = manifest({"one"}, {"v1", "v2"});
  const oci::Digest digest = put("a", pushed);
  const auto found = run(seam().manifests.find_manifest(op_, "a", digest)).value();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->bytes, pushed.manifest.bytes);
  EXPECT_EQ(found->media_type, pushed.manifest.media_type);
  EXPECT_FALSE(run(seam().manifests.find_manifest(op_, "b", digest)).value());
  EXPECT_EQ(resolve("a", "v1"), digest);
  EXPECT_TRUE(run(seam().manifests.remove_manifest(op_, "a", digest, {"x"})).value());
  EXPECT_FALSE(run(seam().manifests.find_manifest(op_, "a", digest)).value());
  EXPECT_FALSE(resolve("a", "v1"));
  EXPECT_FALSE(run(seam().manifests.remove_manifest(op_, "a", digest, {"x"})).value());
}

TEST_F(DepotTest, WhatAManifestNamesAndIsNotThereIsTold) {
  push("a", "one");
  const auto missing =
      run(seam().manifests.put_manifest(op_, "a", manifest({"one", "two"}, {"v1"}))).value();
  ASSERT_EQ(missing.size(), 1u);
  EXPECT_EQ(missing[0], oci::Digest::of(as_bytes("two")));
}

TEST_F(DepotTest, TagsAreListedWithTheirSizes) {
  const oci::Digest one = put("a", manifest({"one", "three"}, {"v1", "v2"}));
  PushedManifest index = manifest({}, {"all"});
  index.children = {{.digest = one, .size = 100}};
  put("a", index);
  const TagList all = run(seam().lists.tag_list(op_, "a", 0, 10)).value().value();
  ASSERT_EQ(all.tags.size(), 3u);
  EXPECT_EQ(all.total, 3u);
  for (const Tag& tag : all.tags) {
    EXPECT_EQ(tag.size, tag.name == "all" ? 108u : 8u) << tag.name;
    EXPECT_GT(tag.moved.time_since_epoch().count(), 0);
  }
  const TagList rest = run(seam().lists.tag_list(op_, "a", 1, 1)).value().value();
  ASSERT_EQ(rest.tags.size(), 1u);
  EXPECT_EQ(rest.tags[0].name, all.tags[1].name);
  EXPECT_EQ(rest.total, 3u);
  EXPECT_FALSE(run(seam().lists.tag_list(op_, "none", 0, 10)).value());
}

TEST_F(DepotTest, SizesThatNobodyCanHaveDoNotBreakTheList) {
  PushedManifest pushed = manifest({}, {"v1"});
  for (const char* name : {"a", "b", "c", "d"})
    pushed.children.push_back(
        {.digest = oci::Digest::of(as_bytes(name)), .size = std::uint64_t{1} << 62});
  put("a", pushed);
  EXPECT_EQ(run(seam().lists.tag_list(op_, "a", 0, 10)).value().value().tags[0].size,
            static_cast<std::uint64_t>(INT64_MAX));
}

TEST_F(DepotTest, ListsHavePages) {
  put("a", manifest({"one"}, {"v3", "v1", "V2", "v2"}));
  put("b/c", manifest({"one"}, {"v1"}));
  Page page = run(seam().lists.tags(op_, "a", {.limit = 2})).value().value();
  EXPECT_EQ(page.names, (std::vector<std::string>{"V2", "v1"}));
  EXPECT_TRUE(page.more);
  page = run(seam().lists.tags(op_, "a", {.last = "v1", .limit = 2})).value().value();
  EXPECT_EQ(page.names, (std::vector<std::string>{"v2", "v3"}));
  EXPECT_FALSE(page.more);
  EXPECT_FALSE(run(seam().lists.tags(op_, "none", {.limit = 2})).value());
  page = run(seam().lists.repositories(op_, {.limit = 1})).value();
  EXPECT_EQ(page.names, (std::vector<std::string>{"a"}));
  EXPECT_TRUE(page.more);
}

TEST_F(DepotTest, ReferrersAreFoundBeforeAndAfterTheirSubject) {
  const PushedManifest subject = manifest({"one"}, {"v1"});
  const oci::Digest referrer = put("a", manifest({}, {}, subject.manifest.digest));
  put("a", subject);
  const auto found =
      run(seam().lists.referrers(op_, "a", subject.manifest.digest, {.limit = 10})).value();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].digest, referrer.string());
  EXPECT_EQ(found[0].artifact_type, "application/test");
  EXPECT_TRUE(
      run(seam().lists.referrers(op_, "b", subject.manifest.digest, {.limit = 9})).value().empty());
  run(seam().manifests.remove_manifest(op_, "a", referrer, {"x"})).value();
  EXPECT_TRUE(
      run(seam().lists.referrers(op_, "a", subject.manifest.digest, {.limit = 9})).value().empty());
}

TEST_F(DepotTest, EverythingIsThereAfterARestart) {
  const oci::Digest blob = push("a", "one");
  const oci::Digest digest = put("a", manifest({"one"}, {"v1"}));
  open();
  EXPECT_EQ(find("a", blob), 3u);
  EXPECT_EQ(resolve("a", "v1"), digest);
  EXPECT_TRUE(run(seam().manifests.find_manifest(op_, "a", digest)).value());
}

TEST_F(DepotTest, AStoreOfModelsIsNoRegistry) {
  close();
  const std::string folder = folder_.path() + "/models";
  rt::Loop loop;
  ASSERT_TRUE(store::Store::open(loop, {.root = folder}));
  EXPECT_EQ(LocalDepot::open(loop, folder).error().code(), Code::kInvalid);
}

class CollectorTest : public DepotTest {
 protected:
  Collected collect(std::chrono::seconds grace, bool dry_run = false) {
    return run(depot_->collector().collect(op_, {.grace = grace, .dry_run = dry_run})).value();
  }
  static constexpr std::chrono::seconds kNow{-1};  // also what came in this second
};

TEST_F(CollectorTest, FreesWhatNobodyNamesAfterItsGrace) {
  const oci::Digest used = push("a", "used");
  const oci::Digest unused = push("a", "unused");
  const oci::Digest digest = put("a", manifest({"used"}, {"v1"}));
  EXPECT_EQ(collect(std::chrono::hours(1)).blobs, 0u);
  EXPECT_EQ(collect(kNow, true).members, 1u);
  EXPECT_EQ(find("a", unused), 6u);
  open();  // nobody asked in this process
  const Collected freed = collect(kNow);
  EXPECT_EQ(freed.members, 1u);
  EXPECT_EQ(freed.blobs, 1u);
  EXPECT_EQ(freed.bytes, 6u);
  EXPECT_FALSE(has_file(unused));
  EXPECT_TRUE(has_file(used));
  EXPECT_TRUE(has_file(digest));
  EXPECT_EQ(find("a", used), 4u);
  EXPECT_EQ(ingests(), 0u);
}

TEST_F(CollectorTest, KeepsWhatSomebodyWasToldIsHere) {
  const oci::Digest digest = push("a", "asked for");
  open();
  EXPECT_TRUE(find("a", digest));
  EXPECT_EQ(collect(std::chrono::seconds(0)).members, 0u);
  EXPECT_TRUE(find("a", digest));
  EXPECT_TRUE(has_file(digest));
}

TEST_F(CollectorTest, ADeletedModelIsFreedUnlessAnotherRepositoryHasIt) {
  const oci::Digest shared = push("a", "shared");
  push("b", "shared");
  const oci::Digest own = push("a", "own");
  const oci::Digest digest = put("a", manifest({"shared", "own"}, {"v1"}));
  put("b", manifest({"shared"}, {"v1"}));
  run(seam().manifests.remove_manifest(op_, "a", digest, {"x"})).value();
  open();
  collect(kNow);
  EXPECT_FALSE(has_file(digest));
  EXPECT_FALSE(has_file(own));
  EXPECT_TRUE(has_file(shared));
  EXPECT_FALSE(find("a", shared));
  EXPECT_EQ(find("b", shared), 6u);
}

TEST_F(CollectorTest, FilesThatADeathLeftAmongTheBlobsGo) {
  const oci::Digest known = push("a", "known");
  const oci::Digest stray = oci::Digest::of(as_bytes("stray"));
  std::ofstream(root() + "/blobs/" + stray.path()) << "stray";
  EXPECT_EQ(run(depot_->collector().collect_strays(op_, std::chrono::hours(1))).value().blobs, 0u);
  EXPECT_TRUE(has_file(stray));
  EXPECT_EQ(run(depot_->collector().collect_strays(op_, kNow)).value().blobs, 1u);
  EXPECT_FALSE(has_file(stray));
  EXPECT_TRUE(has_file(known));
  EXPECT_EQ(ingests(), 0u);
}

TEST_F(CollectorTest, WhatWasFreedCanComeBack) {
  const oci::Digest digest = push("a", "again");
  open();
  collect(kNow);
  EXPECT_FALSE(has_file(digest));
  push("a", "again");
  EXPECT_TRUE(has_file(digest));
  EXPECT_EQ(find("a", digest), 5u);
}

}  // namespace
}  // namespace berth::depot
