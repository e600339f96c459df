// Brings a model's few small documents here and reads them: index if any, manifest, config. Over
// any Fetcher: the store, a registry, an archive. Loop thread. Failure: of the fetch, and of
// codec.h.
#pragma once

#include <optional>
#include <string>

#include "content/content.h"
#include "model/model.h"
#include "rt/loop.h"

namespace berth::model {

struct Loaded {
  oci::Descriptor manifest;              // of the model itself
  std::optional<oci::Descriptor> index;  // when the root was one
  std::string manifest_bytes;
  std::string config_bytes;
  Model model;
};

// `root` names a manifest or an index (the host's platform is picked). Bytes are verified.
// With a platform, exactly that one is taken; a root that is no index has none to choose
// (kNotFound).
rt::Task<Result<Loaded>> load_model(rt::Op& op, rt::Loop& loop, content::Fetcher& from,
                                    oci::Descriptor root,
                                    std::optional<oci::Platform> platform = std::nullopt);

}  // namespace berth::model
