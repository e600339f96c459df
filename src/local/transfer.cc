// Transfers::transfer: from registry to registry.
#include "local/registry_copy.h"
#include "local/transfers.h"
#include "oci/media_types.h"

namespace berth::local {
namespace {

// One manifest of an index, or the whole.
rt::Task<Result<oci::Descriptor>> choose(rt::Op& op, remote::Repository& from, oci::Descriptor root,
                                         std::string platform) {
  if (platform.empty()) co_return root;
  CO_TRY(const oci::Platform wanted, oci::parse_platform(platform));
  if (!oci::media::is_index(root.media_type)) {
    co_return fail(Code::kNotFound,
                   "it is a single artifact, not an index of several platforms: leave --platform "
                   "out");
  }
  CO_TRY(const std::string bytes,
         co_await content::read_small(op, from, root, oci::kMaxManifestBytes));
  CO_TRY(const oci::Index index, oci::parse_index(bytes, root.media_type));
  co_return oci::pick_platform(index, wanted);
}

}  // namespace

rt::Task<Result<control::TransferResult>> Transfers::transfer(rt::Op& op,
                                                              control::TransferRequest request,
                                                              control::Events& events) {
  CO_TRY(const oci::Reference source, remote_reference(shared_, request.source));
  CO_TRY(const oci::Reference target, remote_reference(shared_, request.target));
  CO_TRY(const auto from, shared_.registries.repository(source));
  CO_TRY(const auto to, shared_.registries.repository(target));
  CO_TRY(const oci::Descriptor resolved, co_await from->resolve(op, source));
  CO_TRY(const oci::Descriptor root, co_await choose(op, *from, resolved, request.platform));
  if (target.digest && *target.digest != root.digest) {
    co_return fail(Code::kInvalid, "{} is {}, so it cannot become {}",
                   printable(request.source, 200), root.digest.string(),
                   printable(request.target, 200));
  }
  content::CopyOptions options;
  options.concurrency = shared_.settings.registry.parallel;
  if (source.registry == target.registry && source.repository != target.repository)
    options.mount_from.push_back(source.repository);
  RegistryCopy copy(shared_.loop, *from, *to, events, std::move(options));
  CO_TRY_OK(co_await copy.copy(op, root));
  // A signature that comes before the name can be checked as soon as the name is there.
  if (request.referrers) CO_TRY_OK(co_await copy.copy_referrers(op, root));
  if (!target.tag.empty()) CO_TRY_OK(co_await to->tag(op, root, target));
  co_return control::TransferResult{.source = source.string(),
                                    .target = target.string(),
                                    .digest = root.digest.string(),
                                    .transferred = copy.transferred(),
                                    .mounted = copy.mounted(),
                                    .referrers = copy.referrers()};
}

}  // namespace berth::local
