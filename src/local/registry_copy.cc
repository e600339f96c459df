#include "local/registry_copy.h"

#include "oci/media_types.h"

namespace berth::local {
namespace {

constexpr std::size_t kMaxReferrers = 1000;
constexpr int kMaxDepth = 4;  // a signature of an attestation of an SBOM of a model

// What cosign makes of a digest when it does not use referrers.
constexpr std::string_view kCosignSuffixes[] = {".sig", ".att", ".sbom"};

}  // namespace

void RegistryCopy::on(const content::Event& event) {
  if (event.kind == content::Event::Kind::kMounted) mounted_ += event.blob.size;
  bridge_.on(event);
}

rt::Task<Status> RegistryCopy::copy(rt::Op& op, oci::Descriptor root) {
  content::CopyOptions options = options_;
  options.look_below = true;
  options.inspect = [this](const oci::Descriptor&, const oci::Manifest& manifest) -> Status {
    for (const oci::Descriptor& layer : manifest.layers) {
      const std::string title = layer.annotation(oci::annotation::kTitle);
      if (!title.empty()) bridge_.name(layer.digest, title);
    }
    return {};
  };
  co_return co_await content::copy_graph(op, loop_, from_, to_, std::move(root), *this,
                                         std::move(options));
}

rt::Task<Status> RegistryCopy::copy_referrers(rt::Op& op, oci::Descriptor subject) {
  CO_TRY_OK(co_await copy_referrers_of(op, subject, 0));
  if (!oci::media::is_index(subject.media_type)) co_return Status();
  CO_TRY(const std::string bytes,
         co_await content::read_small(op, from_, subject, oci::kMaxManifestBytes));
  CO_TRY(const oci::Index index, oci::parse_index(bytes, subject.media_type));
  for (const oci::Descriptor& child : index.manifests) {
    CO_TRY_OK(co_await copy_referrers_of(op, child, 0));
  }
  co_return Status();
}

rt::Task<Status> RegistryCopy::copy_referrers_of(rt::Op& op, oci::Descriptor subject, int depth) {
  if (depth >= kMaxDepth) co_return Status();
  CO_TRY(const auto referrers, co_await from_.referrers(op, subject.digest, ""));
  for (const oci::Descriptor& referrer : referrers) {
    CO_TRY_OK(co_await copy_referrer(op, referrer, depth));
  }
  co_return co_await copy_cosign_tags(op, subject.digest);
}

rt::Task<Status> RegistryCopy::copy_referrer(rt::Op& op, oci::Descriptor referrer, int depth) {
  if (!seen_.insert(referrer.digest).second) co_return Status();
  if (seen_.size() > kMaxReferrers) {
    co_return fail(Code::kTooLarge,
                   "more than {} artifacts refer to it: copy it without --referrers",
                   kMaxReferrers);
  }
  CO_TRY_OK(co_await copy(op, referrer));
  co_return co_await copy_referrers_of(op, std::move(referrer), depth + 1);
}

rt::Task<Status> RegistryCopy::copy_cosign_tags(rt::Op& op, oci::Digest subject) {
  for (const std::string_view suffix : kCosignSuffixes) {
    oci::Reference tag;
    tag.repository = from_.name();
    tag.tag = fmt::format("{}-{}{}", subject.algorithm_name(), subject.hex(), suffix);
    if (!oci::is_tag(tag.tag)) continue;  // of a sha512 it is too long to be one
    const auto found = co_await from_.resolve(op, tag);
    if (!found && found.error().code() == Code::kNotFound) continue;
    if (!found) co_return std::unexpected(found.error());
    seen_.insert(found->digest);
    CO_TRY_OK(co_await copy(op, *found));
    tag.repository = to_.name();
    CO_TRY_OK(co_await to_.tag(op, *found, tag));
  }
  co_return Status();
}

}  // namespace berth::local
