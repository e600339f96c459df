#include "model/load.h"

#include "model/codec.h"
#include "oci/media_types.h"
#include "rt/async.h"

namespace berth::model {

rt::Task<Result<Loaded>> load_model(rt::Op& op, rt::Loop& loop, content::Fetcher& from,
                                    oci::Descriptor root, std::optional<oci::Platform> platform) {
  Loaded loaded;
  loaded.manifest = root;
  if (oci::media::is_index(root.media_type)) {
    CO_TRY(const std::string bytes,
           co_await content::read_small(op, from, root, oci::kMaxManifestBytes));
    CO_TRY(const oci::Index index, oci::parse_index(bytes, root.media_type));
    CO_TRY(loaded.manifest,
           platform ? oci::pick_platform(index, *platform) : pick_manifest(index, host_platform()));
    loaded.index = root;
  } else if (platform) {
    co_return fail(Code::kNotFound,
                   "it is a single model, not an index of several platforms: leave --platform out");
  }
  CO_TRY(loaded.manifest_bytes,
         co_await content::read_small(op, from, loaded.manifest, oci::kMaxManifestBytes));
  CO_TRY(const oci::Manifest manifest,
         oci::parse_manifest(loaded.manifest_bytes, loaded.manifest.media_type));
  // Before its config is fetched, which for another kind of artifact may be anything.
  CO_TRY_OK(check_is_model(manifest));
  CO_TRY(loaded.config_bytes,
         co_await content::read_small(op, from, manifest.config, kMaxConfigBytes));
  // A config may hold megabytes of metadata: parsed away from the loop.
  CO_TRY(loaded.model, co_await rt::blocking(loop, [&loaded] {
           return read_model(loaded.manifest_bytes, loaded.manifest.media_type,
                             loaded.config_bytes);
         }));
  co_return loaded;
}

}  // namespace berth::model
