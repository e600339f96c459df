// For tests: a depot in a folder of its own, and bodies that behave as connections do.
#pragma once

#include <algorithm>
#include <cstring>
#include <gtest/gtest.h>
#include <optional>
#include <string>

#include "depot/local_depot.h"
#include "oci/media_types.h"
#include "rt/async.h"
#include "store/temp_folder.h"

namespace berth::depot {

// A request's body: bytes, then its end, a failure, or nothing for ever.
class FakeBody : public rt::Reader {
 public:
  enum class Then { kEnd, kBreak, kHang };
  FakeBody(rt::Loop& loop, std::string bytes, Then then = Then::kEnd,
           std::size_t most_a_read = 1 << 16)
      : bytes_(std::move(bytes)), then_(then), most_(most_a_read), never_(loop) {}
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    const std::size_t count = std::min({into.size(), bytes_.size() - at_, most_});
    std::memcpy(into.data(), bytes_.data() + at_, count);
    at_ += count;
    if (count > 0 || then_ == Then::kEnd) co_return count;
    if (then_ == Then::kBreak) co_return fail(Code::kUnavailable, "the connection broke");
    const Status waited = co_await never_.wait(op);
    co_return std::unexpected(waited.error());
  }

  std::size_t given() const { return at_; }

 private:
  std::string bytes_;
  Then then_;
  std::size_t most_;
  std::size_t at_ = 0;
  rt::Event never_;
};

class DepotTest : public testing::Test {
 public:
  void SetUp() override { open(); }
  void open(LocalUploads::Limits limits = {.disk_reserve = 0}, Rules rules = {}) {
    depot_.reset();
    loop_.emplace();
    auto opened = LocalDepot::open(*loop_, root(), limits, std::move(rules));
    ASSERT_TRUE(opened) << opened.error().message();
    depot_ = std::move(*opened);
  }
  void close() {
    depot_.reset();
    loop_.reset();
  }
  std::string root() const { return folder_.path() + "/registry"; }
  bool has_file(const oci::Digest& digest) const {
    return std::filesystem::exists(root() + "/blobs/" + digest.path());
  }
  std::size_t ingests() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(root() + "/ingest"), {}));
  }

  template <class T>
  T run(rt::Task<T> task) {
    return loop_->run(std::move(task));
  }
  LocalUploads& uploads() { return depot_->uploads(); }
  Depot seam() { return depot_->seam(); }

  std::string begin(const std::string& repository) {
    return run(uploads().begin(op_, repository)).value();
  }
  Result<std::uint64_t> append(const std::string& repository, const std::string& id,
                               const std::string& bytes,
                               std::optional<std::uint64_t> from = std::nullopt,
                               FakeBody::Then then = FakeBody::Then::kEnd) {
    FakeBody body(*loop_, bytes, then);
    return run(uploads().append(op_, repository, id, from, body));
  }
  Status finish(const std::string& repository, const std::string& id, const oci::Digest& digest) {
    return run(uploads().finish(op_, repository, id, digest));
  }
  oci::Digest push(const std::string& repository, const std::string& bytes) {
    const oci::Digest digest = oci::Digest::of(as_bytes(bytes));
    const std::string id = begin(repository);
    EXPECT_TRUE(append(repository, id, bytes));
    const Status done = finish(repository, id, digest);
    EXPECT_TRUE(done) << done.error().message();
    return digest;
  }
  std::optional<std::uint64_t> find(const std::string& repository, const oci::Digest& digest) {
    return run(seam().blobs.find_blob(op_, repository, digest)).value();
  }

  // A manifest that names these blobs.
  PushedManifest manifest(const std::vector<std::string>& blobs, std::vector<std::string> tags,
                          std::optional<oci::Digest> subject = std::nullopt) {
    PushedManifest pushed{.tags = std::move(tags), .subject = std::move(subject)};
    std::string bytes = "{";
    for (const std::string& blob : blobs) {
      pushed.children.push_back({.digest = oci::Digest::of(as_bytes(blob)), .size = blob.size()});
      bytes += blob;
    }
    if (pushed.subject) bytes += pushed.subject->string();
    bytes += "}";
    pushed.manifest = {.digest = oci::Digest::of(as_bytes(bytes)),
                       .media_type = std::string(oci::media::kManifest),
                       .bytes = bytes};
    pushed.artifact_type = "application/test";
    pushed.referrer = R"({"digest":")" + pushed.manifest.digest.string() + R"("})";
    pushed.origin.actor = "tester";
    return pushed;
  }
  oci::Digest put(const std::string& repository, PushedManifest pushed) {
    const oci::Digest digest = pushed.manifest.digest;
    const auto missing = run(seam().manifests.put_manifest(op_, repository, std::move(pushed)));
    EXPECT_TRUE(missing) << missing.error().message();
    return digest;
  }
  std::optional<oci::Digest> resolve(const std::string& repository, const std::string& tag) {
    return run(seam().manifests.resolve(op_, repository, tag)).value();
  }

  store::TempFolder folder_;
  std::optional<rt::Loop> loop_;
  rt::Op op_;
  std::unique_ptr<LocalDepot> depot_;
};

}  // namespace berth::depot
