#include "atlas/model_of.h"

#include "base/text.h"
#include "model/codec.h"
#include "oci/media_types.h"
#include "rt/async.h"

namespace berth::atlas {
namespace {

Result<std::optional<oci::Manifest>> model_manifest(const depot::StoredManifest& stored) {
  if (oci::media::is_index(stored.media_type)) return std::nullopt;
  auto manifest = oci::parse_manifest(stored.bytes, stored.media_type);
  if (!manifest || !model::is_model(*manifest)) return std::nullopt;
  return std::move(*manifest);
}

}  // namespace

Result<std::string> read_whole(const fs::File& file, std::uint64_t size, std::size_t most) {
  if (size > most) return fail(Code::kTooLarge, "it has more than {} bytes", most);
  std::string text(size, '\0');
  TRY(const std::size_t count, file.read_at(0, std::as_writable_bytes(std::span(text))));
  text.resize(count);
  return text;
}

rt::Task<Result<std::optional<model::Model>>> model_of(
    rt::Op& op, rt::Loop& loop, depot::Blobs& blobs, std::string repository,
    std::shared_ptr<const depot::StoredManifest> stored) {
  CO_TRY(const auto manifest,
         co_await rt::blocking(loop, [&stored] { return model_manifest(*stored); }));
  if (!manifest) co_return std::nullopt;
  CO_TRY(auto config, co_await blobs.open_blob(op, repository, manifest->config.digest));
  if (!config) {
    co_return fail(Code::kInvalid,
                   "its config is not in the repository: push the config before the manifest");
  }
  const fs::File config_file(std::move(config->file), "the config");
  auto model = co_await rt::blocking(loop, [&]() -> Result<model::Model> {
    TRY(const std::string text, read_whole(config_file, config->size, model::kMaxConfigBytes));
    return model::read_model(stored->bytes, stored->media_type, text);
  });
  if (model) co_return std::move(*model);
  co_return fail(Code::kInvalid, "its manifest or config is malformed: {}",
                 printable(model.error().message(), 400));
}

}  // namespace berth::atlas
