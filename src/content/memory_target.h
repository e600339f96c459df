// A content target in memory, with state: the fake that other modules test against.
#pragma once

#include <map>
#include <string>

#include "content/content.h"

namespace berth::content {

class MemoryTarget : public Target {
 public:
  rt::Task<Result<Source>> fetch(rt::Op& op, oci::Descriptor blob, ByteRange range) override;
  rt::Task<Result<bool>> has(rt::Op& op, oci::Descriptor blob) override;
  rt::Task<Status> put(rt::Op& op, oci::Descriptor blob, Fetcher& from,
                       Progress& progress) override;
  rt::Task<Result<oci::Descriptor>> resolve(rt::Op& op, oci::Reference reference) override;
  rt::Task<Status> tag(rt::Op& op, oci::Descriptor manifest, oci::Reference reference) override;

  // Adds bytes as they are and returns their descriptor.
  oci::Descriptor add(std::string bytes, std::string_view media_type);
  // Replaces what is served for a digest without changing the digest: a lying peer.
  void corrupt(const oci::Digest& digest, std::string bytes) { blobs_[digest] = std::move(bytes); }
  void remove(const oci::Digest& digest) { blobs_.erase(digest); }
  const std::map<oci::Digest, std::string>& blobs() const { return blobs_; }
  int fetches = 0;

 private:
  std::map<oci::Digest, std::string> blobs_;
  std::map<std::string, oci::Descriptor> tags_;
};

struct NoProgress : Progress {
  void on(const Event&) override {}
};

}  // namespace berth::content
