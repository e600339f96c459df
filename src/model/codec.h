// Reads a manifest and its config into a Model: docker.ai v0.1 and v0.2, ModelPack (and its cnai
// names), in OCI or Docker schema 2 manifests. One codec per kind, in a table.
//
// Pure, thread-safe. Failure: kUnsupported with what the artifact is instead ("is a container image
// …, not a model"), kInvalid or kCorrupt for a malformed model. File names are checked: none can
// leave its folder, none comes twice.
#pragma once

#include <string_view>

#include "base/error.h"
#include "model/model.h"

namespace berth::model {

// Config documents that Berth reads are at most this big; a longer one is refused.
inline constexpr std::size_t kMaxConfigBytes = 16 * 1024 * 1024;

bool is_model(const oci::Manifest& manifest);
// "a container image (config type application/vnd.oci.image.config.v1+json)", "a Helm chart", …
std::string what_it_is(const oci::Manifest& manifest);
// kUnsupported "<what_it_is>, not a model" unless is_model; for CopyOptions::inspect, before bytes
// move.
Status check_is_model(const oci::Manifest& manifest);

Result<Model> read_model(std::string_view manifest_bytes, std::string_view manifest_media_type,
                         std::string_view config_bytes);

// Which manifest of an index to take: the only one; else the one whose platform fits; else the
// first that carries a model annotation or artifact type; else kUnsupported with the choices.
Result<oci::Descriptor> pick_manifest(const oci::Index& index, const oci::Platform& host);
oci::Platform host_platform();  // linux/amd64 and the like

}  // namespace berth::model
