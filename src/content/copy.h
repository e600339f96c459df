// Moves a graph of content between any two places: pull, push, mirror and export are this one
// function.
//
// Post-order: children before the manifest that names them, so whatever a manifest in the
// destination names is there. What the destination already has is skipped with everything below it
// (but CopyOptions::look_below).
// Blobs wanted twice are moved once.
#pragma once

#include <functional>

#include "content/content.h"
#include "rt/loop.h"

namespace berth::content {

struct CopyOptions {
  std::size_t concurrency = 4;  // blobs in flight
  // Repositories of the destination's registry that may already hold the blobs (Mounter).
  std::vector<std::string> mount_from = {};
  // Called for each parsed manifest before anything below it moves; a failure stops the copy
  // (policy, kind checks).
  std::function<Status(const oci::Descriptor&, const oci::Manifest&)> inspect = {};
  // Of an index: which children to copy. All when empty.
  std::function<bool(const oci::Descriptor&)> select = {};
  // Of a manifest: which blobs to copy. All when empty. The destination is not told: it has to take
  // the manifest without the others.
  std::function<bool(const oci::Descriptor&)> wants = {};
  // Whether the destination is asked for the blobs of a manifest that it has already: a registry
  // may have lost one, and this is how it gets it back.
  bool look_below = false;
};

rt::Task<Status> copy_graph(rt::Op& op, rt::Loop& loop, Fetcher& from, Storage& to,
                            oci::Descriptor root, Progress& progress, CopyOptions options);

}  // namespace berth::content
