// Inspection of the files that a package is made of: GGUF models with their shards, folders of
// safetensors, adapters, projectors, templates, licences. Internal to model. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "formats/gguf.h"
#include "model/package.h"

namespace berth::model {

// Appends the weights and fills the facts.
Status inspect_gguf_model(const std::string& path, Plan& plan);
Status inspect_safetensors_folder(const std::string& folder, Plan& plan);

Result<PlannedFile> inspect_mmproj(const std::string& path);
// `architecture` is the base model's; "" when unknown.
Result<PlannedFile> inspect_lora(const std::string& path, const std::string& architecture);
Result<PlannedFile> inspect_chat_template(const std::string& path);
Result<PlannedFile> inspect_license(const std::string& path);

}  // namespace berth::model
