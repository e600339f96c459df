// Makes a model artifact of files, or of another model: plan (inspects the headers, decides the
// layers), then the caller brings each file into a store, then assemble (writes config and
// manifest).
//
// plan is blocking (pool); assemble is pure. Deterministic: the same bytes and names give the same
// digest on any machine. Failure: kInvalid with what to do, kCorrupt for a malformed model file,
// kNotFound, kIo.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/model.h"

namespace berth::model {

enum class PackageFormat { kDocker, kModelPack };
// "docker", "modelpack" or "cncf".
std::optional<PackageFormat> package_format_from_string(std::string_view name);

// An existing model whose layers are kept.
struct Existing {
  Model model;
  std::string config_bytes;
};

// Exactly one of gguf, safetensors_dir and from.
struct PackageRequest {
  std::string gguf;             // of a split model: any shard; its siblings are found
  std::string safetensors_dir;  // everything below it that is not hidden
  std::optional<Existing> from;
  std::string mmproj;
  std::vector<std::string> loras;
  std::string chat_template;
  std::vector<std::string> licenses;
  std::optional<std::uint64_t> context_size;
  oci::Annotations annotations;                     // of the manifest
  std::optional<PackageFormat> format;              // kDocker, or that of `from`
  std::optional<std::chrono::sys_seconds> created;  // 1970-01-01, or that of `from`
};

struct PlannedFile {
  std::string source;                       // path on disk; "" when `existing` is set
  std::optional<oci::Descriptor> existing;  // a layer of `from`, kept or converted
  std::string path;                         // in the artifact
  Role role = Role::kOther;
  Packing packing = Packing::kRaw;
  std::string media_type;
  std::uint64_t size = 0;  // as inspected
  std::string diff_id;     // of an existing layer: digest of its unpacked bytes
};

// What the config says about the model.
struct ConfigFacts {
  std::string format;
  std::string quantization;
  std::string parameters;
  std::string architecture;
  std::string name;
  std::string license;  // SPDX identifier
  std::string size;     // of the weights, as text
  json::Object gguf;    // string -> string
  json::Object safetensors;
  json::Object diffusers;
  std::optional<std::uint64_t> context_size;
  std::optional<std::uint64_t> context_length;
};

struct Plan {
  Kind kind = Kind::kDockerV01;
  std::vector<PlannedFile> files;  // in the order of the layers
  ConfigFacts facts;
  std::chrono::sys_seconds created{};
  oci::Annotations annotations;
  json::Object base;  // the config document of `from` when the kind stays, so that fields we do not
                      // know survive
};

// SOURCE_DATE_EPOCH when `text` is one, 1970-01-01 when empty; kInvalid otherwise.
Result<std::chrono::sys_seconds> parse_source_date_epoch(std::string_view text);

Result<Plan> plan_package(const PackageRequest& request);

struct StoredFile {
  oci::Digest digest;
  std::uint64_t size = 0;
};

struct Package {
  std::string config;
  oci::Descriptor config_descriptor;
  std::vector<oci::Descriptor> layers;
  std::string manifest;
  oci::Descriptor manifest_descriptor;  // its digest is the model's id
};

// `stored` has one entry for each planned file with a source, in their order. kCorrupt when a size
// is not the planned one (the file changed while it was read).
Result<Package> assemble(const Plan& plan, const std::vector<StoredFile>& stored);

}  // namespace berth::model
