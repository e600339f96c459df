// Unpacks a layer that is a tar (plain, gzip or zstd) into a folder, with bounds. Internal to
// model. (An engine image's layers have other rules: engine/image_layers.h.)
//
// Blocking (pool). Only regular files and folders, safe names, each once; everything else is
// refused and leaves the folder half filled: the caller throws it away. Failure: kCorrupt,
// kTooLarge (bomb), kExhausted, kIo.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "fs/file.h"
#include "model/model.h"

namespace berth::model {

struct UnpackLimits {
  std::uint64_t bytes = 2ULL << 40;
  std::uint64_t ratio = 100;            // unpacked to packed
  std::uint64_t free_bytes = 64 << 20;  // what the ratio does not count
  std::size_t entries = oci::kMaxLayers;
};

// The paths of the files, in the archive's order.
Result<std::vector<std::string>> unpack(const fs::File& archive, Packing packing,
                                        const fs::Dir& into, UnpackLimits limits = {});

}  // namespace berth::model
