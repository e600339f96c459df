// What a registry has to know of a manifest: a lenient reading, since types and fields that it does
// not know are stored as they came.
//
// Pure. kInvalid says what is wrong. Source: image-spec 1.1 manifest.md and image-index.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/manifest.h"

namespace berth::registryd {

struct Reading {
  std::string media_type;
  std::string artifact_type;              // its own, else the config's type
  std::vector<oci::Descriptor> children;  // that a registry should have: no foreign layers
  std::optional<oci::Digest> subject;
  std::string annotations;  // JSON object, "" when there are none
};

// `content_type` as the header says it, parameters and all; may be empty.
Result<Reading> read_manifest(std::string_view bytes, std::string_view content_type);
// The manifest's descriptor in a list of referrers, JSON.
std::string referrer_descriptor(const Reading& reading, const oci::Digest& digest,
                                std::uint64_t size);

}  // namespace berth::registryd
