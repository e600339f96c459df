// What the header of a weights file says, whatever its layer claims to be.
//
// Blocking (pool). Everything is read through bounded readers (formats/). Failure: kInvalid with a
// sentence for whoever pushed the file.
#pragma once

#include <optional>
#include <string>

#include "fs/file.h"
#include "model/model.h"

namespace berth::atlas {

struct Header {
  std::string format;  // "gguf", "safetensors"
  std::string name;
  std::string architecture;
  std::string license;
  std::string quantization;
  std::uint64_t parameters = 0;
  std::uint64_t context_length = 0;
  std::uint64_t split_count = 1;
};

// nullopt: not a file that has a header to be read.
Result<std::optional<Header>> read_header(const model::File& layer, const fs::File& blob);

// "model.gguf (sha256:0123456789ab)"
std::string shown(const model::File& layer);

}  // namespace berth::atlas
