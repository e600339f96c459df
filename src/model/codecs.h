// The codecs that codec.cc's table names, and what they share. Internal to model.
#pragma once

#include "json/json.h"
#include "model/layers.h"
#include "model/model.h"

namespace berth::model {

// Each fills the model's facts and api_config from its config; files and size are already there.
Status read_docker_config(const oci::Manifest& manifest, const json::View& config, Model& model);
Status read_modelpack_config(const oci::Manifest& manifest, const json::View& config, Model& model);

// find() answers "absent" for a member of something that is no object, so objects are checked
// first.
Status check_object(const json::View& view);

// As Docker Model Runner writes sizes into a config: "98.36MB".
std::string config_size(std::uint64_t bytes);

}  // namespace berth::model
