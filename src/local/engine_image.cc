#include "local/engine_image.h"

#include <algorithm>
#include <cstdlib>

#include "content/copy.h"
#include "engine/image_layers.h"
#include "engine/install.h"
#include "fs/file.h"
#include "fs/scratch.h"
#include "json/json.h"
#include "local/events.h"
#include "model/codec.h"
#include "oci/media_types.h"
#include "rt/async.h"

namespace berth::local {
namespace {

constexpr std::uint64_t kMaxImage = 16ULL << 30;  // packed
constexpr std::uint64_t kMaxConfig = 4 << 20;
constexpr std::string_view kImageConfigs[] = {"application/vnd.oci.image.config.v1+json",
                                              "application/vnd.docker.container.image.v1+json"};

// What an image's config says about starting it.
struct StartInfo {
  std::vector<std::string> entrypoint;
  std::string library_path;
};

Result<StartInfo> read_config(const std::string& bytes, const oci::Platform& host) {
  TRY(const json::Value document, json::parse(bytes, "the image's config"));
  const json::View view(document, "the image's config");
  TRY(const std::string os, view.string_or("os", ""));
  TRY(const std::string architecture, view.string_or("architecture", ""));
  if (os != host.os || architecture != host.architecture) {
    return fail(Code::kUnsupported, "the image is for {}/{}; this machine is {}/{}",
                printable(os, 40), printable(architecture, 40), host.os, host.architecture);
  }
  StartInfo info;
  const auto config = view.find("config");
  if (!config || !config->value().is_object()) return info;
  TRY(info.entrypoint, config->strings_or_empty("Entrypoint"));
  TRY(const auto variables, config->strings_or_empty("Env"));
  for (const std::string& variable : variables) {
    constexpr std::string_view kName = "LD_LIBRARY_PATH=";
    if (variable.starts_with(kName)) info.library_path = variable.substr(kName.size());
  }
  return info;
}

// Before a layer moves: a model, a chart or whatever else a registry holds is told from an image.
Status check_is_image(const oci::Manifest& manifest) {
  if (std::ranges::find(kImageConfigs, manifest.config.media_type) == std::end(kImageConfigs)) {
    return fail(Code::kUnsupported, "it is no container image but {}",
                printable(manifest.artifact_type.empty() ? manifest.config.media_type
                                                         : manifest.artifact_type,
                          200));
  }
  std::uint64_t size = 0;
  for (const oci::Descriptor& layer : manifest.layers) {
    if (layer.media_type.find("tar") == std::string::npos) {
      return fail(Code::kUnsupported, "it has a layer that is no tar but {}",
                  printable(layer.media_type, 200));
    }
    if (__builtin_add_overflow(size, layer.size, &size) || size > kMaxImage) {
      return fail(Code::kTooLarge, "its layers are more than {}, which no engine needs",
                  format_size(kMaxImage));
    }
  }
  return {};
}

struct Image {
  oci::Descriptor root;      // what the reference stands for
  oci::Descriptor manifest;  // of this platform
  std::vector<oci::Descriptor> layers;
  StartInfo start;
};

rt::Task<Result<Image>> look_at(rt::Op& op, content::Fetcher& from, oci::Descriptor root) {
  Image image{.root = root, .manifest = root};
  if (oci::media::is_index(root.media_type)) {
    CO_TRY(const std::string bytes,
           co_await content::read_small(op, from, root, oci::kMaxManifestBytes));
    CO_TRY(const oci::Index index, oci::parse_index(bytes, root.media_type));
    CO_TRY(image.manifest, model::pick_manifest(index, model::host_platform()));
  }
  CO_TRY(const std::string bytes,
         co_await content::read_small(op, from, image.manifest, oci::kMaxManifestBytes));
  CO_TRY(const oci::Manifest manifest, oci::parse_manifest(bytes, image.manifest.media_type));
  CO_TRY_OK(check_is_image(manifest));
  CO_TRY(const std::string config,
         co_await content::read_small(op, from, manifest.config, kMaxConfig));
  CO_TRY(image.start, read_config(config, model::host_platform()));
  image.layers = manifest.layers;
  co_return image;
}

rt::Task<Status> unpack(rt::Op& op, Shared& shared, store::Store& blobs, const Image& image,
                        std::string into) {
  CO_TRY(const fs::Dir root, fs::Dir::create(into, 0755));
  engine::ImageLayers layers(root);
  for (const oci::Descriptor& layer : image.layers) {
    CO_TRY_OK(op.check());
    CO_TRY(const std::string path, co_await blobs.path(op, layer.digest));
    CO_TRY_OK(co_await rt::blocking(shared.loop, [&]() -> Status {
      TRY(const fs::File file, fs::open_user_file(path));
      return layers.apply(file);
    }));
  }
  co_return Status();
}

rt::Task<Status> fetch(rt::Op& op, Shared& shared, content::Fetcher& from, const Image& image,
                       std::string folder, EventBridge& bridge) {
  CO_TRY(const auto blobs, store::Store::open(shared.loop, {.root = folder + "/store"}));
  content::CopyOptions options;
  options.concurrency = shared.settings.registry.parallel;
  CO_TRY_OK(co_await content::copy_graph(op, shared.loop, from, *blobs, image.manifest, bridge,
                                         std::move(options)));
  bridge.message("Unpacking the image");
  co_return co_await unpack(op, shared, *blobs, image, folder + "/rootfs");
}

}  // namespace

rt::Task<Result<std::string>> install_engine_image(rt::Op& op, Shared& shared, std::string image,
                                                   control::Events& events) {
  CO_TRY(const oci::Reference reference, remote_reference(shared, image));
  const std::string name = reference.string();
  const std::string refused = fmt::format("{} is not installed", name);
  CO_TRY(const auto repository, shared.registries.repository(reference));
  CO_TRY(const oci::Descriptor root, co_await repository->resolve(op, reference));
  const std::string digest = root.digest.string();
  const auto there = co_await rt::blocking(
      shared.loop, [&] { return engine::image_in_use(shared.paths.engines, digest); });
  if (there) co_return there->version;
  CO_TRY(const Image found, in_context(co_await look_at(op, *repository, root), refused));
  CO_TRY(const auto incoming, co_await rt::blocking(shared.loop, [&] {
           return fs::Scratch::make(engine::engines_folder(shared.paths.engines), ".incoming-");
         }));
  EventBridge bridge(events);
  CO_TRY_OK(in_context(co_await fetch(op, shared, *repository, found, incoming->path(), bridge),
                       refused));
  CO_TRY_OK(co_await rt::blocking(shared.loop, [&]() -> Status {
    TRY(const fs::Dir folder, fs::Dir::open(incoming->path()));
    return folder.remove_tree("store");
  }));
  const char* path = std::getenv("PATH");
  engine::ImageInstall install{.engines_dir = shared.paths.engines,
                               .folder = incoming->path(),
                               .reference = name,
                               .digest = digest,
                               .entrypoint = found.start.entrypoint,
                               .library_path = found.start.library_path,
                               .path = path ? path : "/usr/bin:/bin"};
  CO_TRY(const engine::InstalledRunner installed,
         co_await engine::install_image(op, shared.loop, std::move(install)));
  co_return installed.version;
}

}  // namespace berth::local
