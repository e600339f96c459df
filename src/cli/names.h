// How listings call models. Pure.
#pragma once

#include <string>
#include <string_view>

#include "control/records.h"
#include "oci/reference.h"

namespace berth::cli {

// "docker.io/ai/smollm2:latest" -> "smollm2"; what cannot be parsed stays as it is.
std::string familiar_name(const std::string& tag, const oci::ReferenceDefaults& defaults);
// "sha256:0123456789ab…" -> "0123456789ab".
std::string short_id(std::string_view id);
// Whether a tag of `model` is what `filter` names: a repository (any tag), a whole reference, or
// the start of the id.
bool matches(const std::string& tag, const std::string& filter,
             const oci::ReferenceDefaults& defaults);
bool id_matches(const std::string& id, const std::string& filter);
// The registry that a reference names ("docker.io"), for the hint to log in; "" when it is no
// reference.
std::string registry_of(const std::string& model, const oci::ReferenceDefaults& defaults);
// "docker.io/ai/x:latest" + digest -> "docker.io/ai/x:latest@sha256:…".
std::string pinned(const std::string& reference, const std::string& digest);

}  // namespace berth::cli
