// What is known about how a registry takes uploads: a table for the big ones, and what a transfer
// found out. Pure value. Source: facts/oci.md A9.
#pragma once

#include <cstdint>
#include <string_view>

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
};

// `host`: without port.
Quirks quirks_of(std::string_view host);

}  // namespace berth::remote
