// Readers that remote puts between a registry and the rest: bodies of exactly the promised length,
// and a blob that is read in slices for uploads. Loop thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "content/content.h"
#include "remote/endpoint.h"
#include "remote/throttle.h"

namespace berth::remote {

// Passes `inner` on and holds it to `expected` bytes: fewer is kUnavailable (fetch the rest again),
// more is kCorrupt.
std::unique_ptr<rt::Reader> exactly(std::unique_ptr<rt::Reader> inner, std::uint64_t expected,
                                    std::string what);

// A blob of a Fetcher, read forward; another position is fetched anew.
class BlobStream {
 public:
  BlobStream(content::Fetcher& from, oci::Descriptor blob) : from_(from), blob_(std::move(blob)) {}

  rt::Task<Status> seek(rt::Op& op, std::uint64_t offset);
  // Never 0 before the end of the blob: a source that ends early is kCorrupt. A source whose
  // connection breaks is asked for the rest a few times.
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into);

  // The blob as a local file, when the last seek found that it is one.
  UniqueFd take_file() { return std::move(file_); }

 private:
  rt::Task<Result<std::size_t>> read_on(rt::Op& op, MutableBytes into);

  content::Fetcher& from_;
  oci::Descriptor blob_;
  std::unique_ptr<rt::Reader> reader_;
  UniqueFd file_;
  std::uint64_t at_ = 0;
};

// Bytes [offset, offset + length) of the blob as a body that can be made again. `sent` is told the
// position that was reached. A local file goes from its descriptor, unless `throttles` slow it.
class BlobBody : public BodySource {
 public:
  BlobBody(content::Fetcher& from, oci::Descriptor blob, Throttles throttles,
           std::function<void(std::uint64_t)> sent)
      : from_(from),
        blob_(std::move(blob)),
        throttles_(std::move(throttles)),
        sent_(std::move(sent)) {}

  // What the next open() gives. A slice that follows the one before goes on reading the same
  // stream.
  void slice(std::uint64_t offset, std::uint64_t length);
  // A try was given up, and whoever sent it may still be reading: the next open() begins another
  // stream.
  void abandon() { stream_.reset(); }
  rt::Task<Result<http::Body>> open(rt::Op& op) override;
  bool may_repeat() const override { return *reached_ < offset_ + kCheap; }
  // Why the source could not be read, when it was that which ended an upload.
  const std::optional<Error>& source_failure() const { return *failure_; }

 private:
  static constexpr std::uint64_t kCheap = 16ull * 1024 * 1024;

  http::Body file_body(std::function<void(std::uint64_t)> told, UniqueFd file) const;

  content::Fetcher& from_;
  oci::Descriptor blob_;
  Throttles throttles_;
  std::function<void(std::uint64_t)> sent_;
  UniqueFd file_;  // the blob, once it was found to be a file
  std::shared_ptr<std::uint64_t> reached_ = std::make_shared<std::uint64_t>(0);
  std::uint64_t offset_ = 0;
  std::uint64_t length_ = 0;
  bool opened_ = false;  // this slice: its stream may still be in use by a try that was given up
  std::shared_ptr<BlobStream> stream_;
  std::shared_ptr<std::optional<Error>> failure_ = std::make_shared<std::optional<Error>>();
};

}  // namespace berth::remote
