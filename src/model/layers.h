// What the layers of a model manifest are: role, packing and a safe, unique path for each. Internal
// to model. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/model.h"

namespace berth::model {

// Role and packing by media type (docker.ai in both spellings, ModelPack, cnai), the file's name
// and Berth's role annotation.
File classify_layer(const oci::Descriptor& layer);
Role role_of_file(std::string_view path);  // by name alone
// The path that a layer's annotations give, unchecked; "" when they give none.
std::string annotated_path(const oci::Descriptor& layer);

// Every layer as a File: paths from annotations, else Docker Model Runner's names. kInvalid for a
// path that leaves its folder or comes twice; the same file twice is one.
Result<std::vector<File>> read_layers(const std::vector<oci::Descriptor>& layers);

// "gguf", "safetensors", "dduf" by the files; "" when none says.
std::string infer_format(const std::vector<File>& files);

}  // namespace berth::model
