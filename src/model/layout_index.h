// The documents at the top of an OCI image layout or of Docker Model Runner's tar. Internal to
// model. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "oci/manifest.h"

namespace berth::model {

struct LayoutEntry {
  oci::Descriptor manifest;  // an image manifest or index, without annotations
  std::vector<std::string> names;
};

// The manifests of an index.json, each once, with all their names. kCorrupt.
Result<std::vector<LayoutEntry>> read_layout_index(std::string_view text);

// The descriptor of a raw manifest whose type only its own text tells. kUnsupported for `docker
// save`'s manifest.json.
Result<oci::Descriptor> describe_raw_manifest(std::string_view text);

}  // namespace berth::model
