// Bringing content in: an unfinished blob in ingest/<digest>/data is filled, checked, made durable
// and committed.
//
// Loop thread. The caller holds the digest's lock. What a transfer that broke off had received
// stays, and the next one hashes it and goes on from there; what turned out wrong or does not fit
// on the disk is taken away.
#pragma once

#include <string>

#include "content/content.h"
#include "store/blobs.h"
#include "store/desk.h"
#include "store/growing_blob.h"
#include "store/settler.h"

namespace berth::store {

struct IntakeOptions {
  Settler::Work also = {};         // happens when it becomes a blob
  GrowingBlob* readers = nullptr;  // of what came so far; told of each step but a failure
  std::uint64_t disk_reserve = 0;  // bytes that stay free
  std::string_view advice = "free some space, for example with: berth prune";
};
// A blob from elsewhere.
Task<Status> take_in(rt::Op& op, Desk& desk, Settler& settler, oci::Descriptor blob,
                     content::Fetcher& from, content::Progress& progress,
                     IntakeOptions options = {});
// Bytes in hand: verified against the digest; a manifest is parsed, and its children must be here,
// but for those that are unwanted.
Task<Status> take_bytes(rt::Op& op, Desk& desk, Settler& settler, oci::Descriptor blob,
                        std::string bytes, std::set<oci::Digest> unwanted = {});

}  // namespace berth::store
