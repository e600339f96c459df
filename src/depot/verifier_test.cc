// What is stored is read again, and what is damaged is out of service.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "depot/depot_fixture.h"
#include "depot/verify_position.h"

namespace berth::depot {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
constexpr milliseconds kLong = std::chrono::minutes(1);

class VerifierTest : public DepotTest {
 protected:
  void TearDown() override { stop(); }
  void stop() {
    if (depot_) EXPECT_TRUE(run(depot_->verifier().close()));
    close();
  }
  void open_with_rate(std::uint64_t rate) {
    stop();
    open({.disk_reserve = 0}, {.verify_rate = rate});
  }
  std::uint64_t begin_pass(const std::string& repository = "") {
    const auto pass = run(seam().care.verify(op_, repository));
    EXPECT_TRUE(pass && *pass) << (pass ? "no repository" : pass.error().message());
    return (*pass).value_or(0);
  }
  Verification end_of(std::uint64_t pass) {
    const auto seen = run(seam().care.verification(op_, pass, kLong)).value();
    EXPECT_TRUE(seen && !seen->running && !seen->failure);
    return *seen;
  }
  Verification verify(const std::string& repository = "") { return end_of(begin_pass(repository)); }
  std::string file_of(const oci::Digest& digest) { return root() + "/blobs/" + digest.path(); }
  static void write(const std::string& file, const std::string& bytes) {
    std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    std::ofstream(file) << bytes;
  }
  std::vector<std::string> aside() {
    std::vector<std::string> names;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(root() + "/damaged", none))
      names.push_back(entry.path().filename());
    return names;
  }
  oci::Digest push_sha512(const std::string& repository, const std::string& bytes) {
    const oci::Digest digest = oci::Digest::of(as_bytes(bytes), crypto::Algorithm::kSha512);
    const std::string id = begin(repository);
    EXPECT_TRUE(append(repository, id, bytes));
    EXPECT_TRUE(finish(repository, id, digest));
    return digest;
  }
  bool can_open(const std::string& repository, const oci::Digest& digest) {
    return run(seam().blobs.open_blob(op_, repository, digest)).value().has_value();
  }
  bool has_manifest(const std::string& repository, const oci::Digest& digest) {
    return run(seam().manifests.find_manifest(op_, repository, digest)).value() != nullptr;
  }
};

TEST_F(VerifierTest, WhatIsRightIsLeftAlone) {
  push("a", "hello");
  push_sha512("a", "hello");
  put("a", manifest({"hello"}, {"v1"}));
  push("b", "");
  const Verification seen = verify();
  EXPECT_EQ(seen.blobs, 4u);
  EXPECT_EQ(seen.checked, 4u);
  EXPECT_EQ(seen.checked_bytes, seen.bytes);
  EXPECT_EQ(seen.damaged, 0u);
  EXPECT_EQ(verify("b").checked, 1u);
  EXPECT_TRUE(aside().empty());
}

TEST_F(VerifierTest, ABlobDamagedAtTheSameSizeIsOutOfServiceUntilItIsPushedAgain) {
  const oci::Digest blob = push("a", "hello");
  EXPECT_TRUE(run(seam().blobs.mount(op_, "b", blob, "a")).value());
  put("a", manifest({"hello"}, {"v1", "v2"}));
  put("b", manifest({"hello", "more"}, {}));
  const oci::Digest other = push_sha512("a", "world");
  write(file_of(blob), "hexlo");
  write(file_of(other), "wxrld");
  EXPECT_EQ(find("a", blob), 5u) << "nobody knows it yet";

  const Verification seen = verify();
  ASSERT_EQ(seen.damaged, 2u);
  const Damage& damage = seen.damages.at(0);
  EXPECT_EQ(damage.digest, blob.string());
  EXPECT_EQ(damage.kind, Damage::Kind::kDamaged);
  ASSERT_EQ(damage.hurts.size(), 2u);
  EXPECT_EQ(damage.hurts[0].repository, "a");
  EXPECT_EQ(damage.hurts[0].tags, (std::vector<std::string>{"v1", "v2"}));
  EXPECT_EQ(damage.hurts[1].repository, "b");
  EXPECT_TRUE(damage.hurts[1].tags.empty());
  EXPECT_EQ(seen.damages.at(1).digest, other.string());
  for (const char* repository : {"a", "b"}) {
    EXPECT_FALSE(find(repository, blob));
    EXPECT_FALSE(can_open(repository, blob));
  }
  EXPECT_FALSE(run(seam().blobs.mount(op_, "c", blob, "a")).value());

  // Nothing is lost: not even to the collector.
  run(seam().care.collect(op_, {.grace = seconds(-10)})).value();
  std::ifstream kept(root() + "/damaged/sha256-" + std::string(blob.hex()));
  std::string bytes;
  std::getline(kept, bytes);
  EXPECT_EQ(bytes, "hexlo");

  // From one repository for all of them.
  push("b", "hello");
  EXPECT_TRUE(can_open("a", blob));
  EXPECT_EQ(find("b", blob), 5u);
  EXPECT_EQ(verify("b").damaged, 0u);
  run(seam().care.collect(op_, {.grace = seconds(-10)})).value();
  EXPECT_TRUE(aside().empty()) << "one is here again, nobody needs the other";
}

TEST_F(VerifierTest, AManifestIsForgottenInMemoryAsWell) {
  push("a", "hello");
  const oci::Digest digest = put("a", manifest({"hello"}, {"v1"}));
  PushedManifest index = manifest({}, {"all"});
  index.children.push_back(
      {.digest = digest, .size = manifest({"hello"}, {}).manifest.bytes.size()});
  put("a", index);
  EXPECT_TRUE(has_manifest("a", digest));
  std::string bytes = manifest({"hello"}, {}).manifest.bytes;
  bytes[0] = '[';
  write(file_of(digest), bytes);
  const Verification seen = verify("a");
  ASSERT_EQ(seen.damages.size(), 1u);
  EXPECT_EQ(seen.damages[0].hurts.at(0).tags, (std::vector<std::string>{"all", "v1"}))
      << "the index above it needs it too";
  EXPECT_FALSE(has_manifest("a", digest));
  put("a", manifest({"hello"}, {"v1"}));
  EXPECT_TRUE(has_manifest("a", digest));
}

TEST_F(VerifierTest, WhatIsMissingOrCutShort) {
  const oci::Digest gone = push("a", "gone");
  const oci::Digest cut = push("a", "cut short");
  std::filesystem::remove(file_of(gone));
  write(file_of(cut), "cut");
  const Verification seen = verify();
  ASSERT_EQ(seen.damages.size(), 2u);
  for (const Damage& damage : seen.damages) {
    EXPECT_EQ(damage.kind,
              damage.digest == gone.string() ? Damage::Kind::kMissing : Damage::Kind::kDamaged);
  }
  EXPECT_EQ(aside(), std::vector<std::string>{"sha256-" + std::string(cut.hex())});
}

// Another disk error than EIO, which tests/functional/test_registry_care.py has.
TEST_F(VerifierTest, WhatCannotBeReadStays) {
  const oci::Digest blob = push("a", "hello");
  std::filesystem::remove(file_of(blob));
  std::filesystem::create_symlink("elsewhere", file_of(blob));
  const Verification seen = verify();
  ASSERT_EQ(seen.damages.size(), 1u);
  EXPECT_EQ(seen.damages[0].kind, Damage::Kind::kUnreadable);
  EXPECT_TRUE(std::filesystem::is_symlink(file_of(blob)));
  EXPECT_TRUE(aside().empty());
}

TEST_F(VerifierTest, PushesAndPullsGoOnMeanwhile) {
  push("a", std::string(12 << 20, 'x'));
  open_with_rate(std::uint64_t{64} << 20);
  std::uint64_t told = 0;
  depot_->verifier().when_checked([&](std::uint64_t bytes, auto damage) {
    EXPECT_FALSE(damage);
    told += bytes;
  });
  const std::uint64_t pass = begin_pass();
  for (int i = 0; i < 20; ++i) {
    const oci::Digest blob = push("b", std::string(1000, static_cast<char>('a' + i)));
    EXPECT_TRUE(can_open("b", blob));
  }
  EXPECT_TRUE(run(seam().care.verification(op_, pass, milliseconds(0))).value()->running);
  const Verification seen = end_of(pass);
  EXPECT_EQ(seen.damaged, 0u);
  EXPECT_GE(seen.checked, 1u);
  EXPECT_EQ(told, seen.checked_bytes);
}

TEST_F(VerifierTest, ABlobThatIsDeletedDuringItsCheckIsNoDamage) {
  const std::string big(9 << 20, 'x');
  const oci::Digest blob = push("a", big);
  open_with_rate(std::uint64_t{16} << 20);
  std::string wrong = big;
  wrong.back() = 'y';
  write(file_of(blob), wrong);
  const std::uint64_t pass = begin_pass();
  EXPECT_TRUE(run(seam().blobs.remove_blob(op_, "a", blob)).value());
  EXPECT_EQ(run(seam().care.collect(op_, {.grace = seconds(-10)})).value().blobs, 1u);
  EXPECT_EQ(end_of(pass).damaged, 0u);
  EXPECT_TRUE(aside().empty());
}

TEST_F(VerifierTest, WhoAsksForTheSameJoins) {
  push("a", "hello");
  push("a", "world");
  for (const char* name : {"b", "c", "d", "e"}) {
    EXPECT_TRUE(
        run(seam().blobs.mount(op_, name, oci::Digest::of(as_bytes(std::string("hello"))), "a"))
            .value());
  }
  open_with_rate(1);  // the second blob waits for seconds
  const std::uint64_t pass = begin_pass();
  EXPECT_EQ(begin_pass(), pass);
  EXPECT_NE(begin_pass("a"), pass);
  begin_pass("b");
  begin_pass("c");
  const auto refused = run(seam().care.verify(op_, "d"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kRateLimited);
  EXPECT_TRUE(refused.error().retry_after());
  EXPECT_FALSE(run(seam().care.verify(op_, "nowhere")).value());
  EXPECT_FALSE(run(seam().care.verification(op_, 99, kLong)).value());
}

TEST_F(VerifierTest, ARegularPassGoesOnWhereItWas) {
  std::vector<oci::Digest> blobs = {push("a", "one"), push("a", "three")};
  std::ranges::sort(blobs, {}, [](const auto& digest) { return digest.string(); });
  const std::uint64_t second = find("a", blobs[1]).value();
  ASSERT_TRUE(
      VerifyPosition({.began = 5, .last = blobs[0].string()}).save(fs::Dir::open(root()).value()));
  rt::Op regular;
  std::vector<std::uint64_t> sizes;
  depot_->verifier().when_checked([&](std::uint64_t bytes, auto) {
    sizes.push_back(bytes);
    regular.cancel();
  });
  EXPECT_EQ(run(depot_->verifier().run_regularly(regular, std::chrono::hours(1))).error().code(),
            Code::kCancelled);
  EXPECT_EQ(sizes, std::vector<std::uint64_t>{second});
}

TEST(VerifyPosition, IsReadAsItWasWritten) {
  const store::TempFolder folder;
  const fs::Dir root = fs::Dir::open(folder.path()).value();
  EXPECT_GT(VerifyPosition::load(root).began, 0) << "a pass that begins now";
  const VerifyPosition half{.began = 17, .last = oci::Digest::of({}).string()};
  ASSERT_TRUE(half.save(root));
  EXPECT_EQ(VerifyPosition::load(root), half);
  const VerifyPosition whole{.began = 17, .ended = true};
  ASSERT_TRUE(whole.save(root));
  EXPECT_EQ(VerifyPosition::load(root), whole);
  for (const char* nonsense : {"", "17", "x end", "-1 end", "17 sha256:short", "17 end more"}) {
    ASSERT_TRUE(root.replace("verified", nonsense));
    EXPECT_FALSE(VerifyPosition::load(root).ended) << nonsense;
    EXPECT_TRUE(VerifyPosition::load(root).last.empty()) << nonsense;
  }
}

}  // namespace
}  // namespace berth::depot
