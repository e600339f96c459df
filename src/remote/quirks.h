// What is known about how a registry serves and takes blobs: a table for the big ones, and what a
// transfer found out, which a HostMemory may keep for later runs. Pure values; HostMemory: loop
// thread. Source: facts/oci.md A9.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "rt/op.h"
#include "rt/task.h"

namespace berth::remote {

struct Quirks {
  enum class Chunks {
    kFallback,  // one streamed PUT; chunks only after that was refused
    kNever,     // chunks are refused, or accepted and lost
    kAlways,    // a single PUT was refused here before
  };
  Chunks chunks = Chunks::kFallback;
  std::uint64_t max_blob =
      0;  // documented limit of one layer, for the message when a push fails; 0: none known
  std::string_view max_blob_text = {};
  std::uint64_t chunk_bytes = 0;  // a larger one was refused; 0: none was
  bool ranges = true;  // false: parts of blobs came wrong, so only whole ones are asked for
  // What became of an upload whose connection was cut. Not kept for later runs: the ways that keep
  // more are slower at registries that keep nothing.
  enum class Cut { kUnknown, kPutLost, kLost } cut = Cut::kUnknown;
};

// `host`: without port.
Quirks quirks_of(std::string_view host);

// Remembers what was found out about hosts ("registry.example:5000").
struct HostMemory {
  virtual ~HostMemory() = default;
  // `known` with what is remembered put over it.
  virtual Quirks recall(const std::string& authority, Quirks known) const = 0;
  // Failing to keep it is no failure of a transfer.
  virtual rt::Task<void> remember(rt::Op& op, std::string authority, Quirks found) = 0;
};

}  // namespace berth::remote
