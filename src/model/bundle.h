// What an engine needs to run a model: its files on this machine, each under the name it shall have
// inside the sandbox.
//
// Raw layers are taken from the store's blobs as they are, without a copy. Archives are unpacked
// once into a cache folder. Blocking (pool). Failure: kUnsupported when there is nothing to run,
// kCorrupt for a malformed archive.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "fs/file.h"
#include "model/model.h"

namespace berth::model {

struct BundleFile {
  std::string host_path;  // absolute
  std::string name;       // relative, inside the sandbox's model folder
  Role role = Role::kOther;
};

struct Bundle {
  std::string format;  // "gguf", "safetensors"
  std::vector<BundleFile> files;
  std::string
      model;  // name of the file to load: of a split model shard 1; "." for a folder of safetensors
  std::string mmproj;  // names; "" when there is none
  std::vector<std::string> loras;
  std::string chat_template;
  std::optional<std::uint64_t> context_size;
};

// Where the blob of a digest lies on this machine.
using BlobPath = std::function<Result<std::string>(const oci::Digest& digest)>;

// `unpacked` is where archives go (a folder per layer digest below it; made when needed).
Result<Bundle> make_bundle(const Model& model, const BlobPath& blob_path,
                           const std::string& unpacked);

}  // namespace berth::model
