// Applies the layers of a container image, one after the other, to a folder: what becomes an engine
// root.
//
// Blocking (pool). Nothing is written outside the folder: names are checked, no link is followed on
// the way to what is written, devices and pipes are refused, owners and set-id bits are dropped.
// Links may point anywhere, as they do in images: whoever reads the folder resolves them inside it
// (image_root.h). A failure leaves the folder half filled: the caller throws it away. Failures:
// kCorrupt, kTooLarge (bomb), kExhausted, kIo. Source: OCI image-spec 1.1, layer.md.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "fs/file.h"

namespace berth::engine {

struct ImageLimits {
  std::uint64_t bytes = 32ULL << 30;    // of all layers, unpacked
  std::uint64_t ratio = 100;            // unpacked to packed, of each layer
  std::uint64_t free_bytes = 64 << 20;  // what the ratio does not count
  std::uint64_t entries = 500'000;      // of all layers
};

class ImageLayers {
 public:
  // `root` must outlive it.
  explicit ImageLayers(const fs::Dir& root, ImageLimits limits = {})
      : root_(root), limits_(limits) {}

  // A tar, plain or packed with gzip or zstd.
  Status apply(const fs::File& layer);

 private:
  const fs::Dir& root_;
  ImageLimits limits_;  // what is left of them
};

}  // namespace berth::engine
