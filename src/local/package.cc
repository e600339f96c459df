// Transfers::package and repackage: plan, take the files in (or send them straight away), write
// config and manifest.
#include <cstdlib>
#include <filesystem>

#include "base/failpoint.h"
#include "content/copy.h"
#include "fs/file.h"
#include "local/file_reader.h"
#include "local/partial.h"
#include "local/transfers.h"
#include "local/unpackaged.h"
#include "rt/async.h"

namespace berth::local {
namespace {

Result<std::optional<control::Time>> created_time(const control::PackageRequest& request) {
  if (request.created) return request.created;
  const char* epoch = std::getenv("SOURCE_DATE_EPOCH");
  if (!epoch || !*epoch) return std::nullopt;
  TRY(const control::Time time, model::parse_source_date_epoch(epoch));
  return time;
}

Result<model::PackageRequest> plan_request(const control::PackageRequest& request) {
  model::PackageRequest plan;
  plan.gguf = request.gguf;
  plan.safetensors_dir = request.safetensors_dir;
  plan.mmproj = request.mmproj;
  plan.loras = request.loras;
  plan.chat_template = request.chat_template;
  plan.licenses = request.licenses;
  plan.context_size = request.context_size;
  for (const auto& [key, value] : request.annotations) plan.annotations[key] = value;
  plan.format = request.format == control::PackageFormat::kModelPack
                    ? model::PackageFormat::kModelPack
                    : model::PackageFormat::kDocker;
  TRY(plan.created, created_time(request));
  return plan;
}

// What `package` does with its files, in their order.
struct Taken {
  std::vector<model::StoredFile> stored;
  std::vector<std::pair<std::string, std::string>> ways;
};

// The files stay where they are; `way` is what becomes of them later.
rt::Task<Result<Taken>> hash_files(rt::Loop& loop, const model::Plan& plan, Unpackaged& unpackaged,
                                   std::string way, EventBridge& bridge) {
  Taken taken;
  for (const model::PlannedFile& file : plan.files) {
    if (file.existing) continue;
    CO_TRY(const model::StoredFile hashed,
           co_await rt::blocking(loop, [&] { return hash_file(file.source); }));
    bridge.name(hashed.digest, file.path);
    unpackaged.add_file(hashed.digest, file.source);
    taken.stored.push_back(hashed);
    taken.ways.emplace_back(file.path, way);
  }
  co_return taken;
}

rt::Task<Result<Taken>> adopt_files(rt::Op& op, store::Store& store, const model::Plan& plan,
                                    store::Adoption mode, EventBridge& bridge) {
  Taken taken;
  for (const model::PlannedFile& file : plan.files) {
    if (file.existing) continue;
    CO_TRY(const store::Adopted adopted,
           co_await store.adopt(op, std::filesystem::absolute(file.source).string(), mode, bridge));
    taken.stored.push_back({adopted.digest, adopted.size});
    taken.ways.emplace_back(file.path, store::to_string(adopted.way));
  }
  co_return taken;
}

control::PackageResult result_of(const oci::Reference& target, const model::Package& made,
                                 Taken taken) {
  std::uint64_t size = 0;
  for (const oci::Descriptor& layer : made.layers) size += layer.size;
  return {.reference = target.string(),
          .digest = made.manifest_descriptor.digest.string(),
          .size = size,
          .ways = std::move(taken.ways)};
}

Result<oci::Reference> package_target(const Shared& shared, const std::string& name) {
  TRY(oci::Reference target, remote_reference(shared, name));
  if (!target.digest) return target;
  return fail(Code::kInvalid, "{} names a digest; package makes a name:tag", name);
}

}  // namespace

rt::Task<Result<model::Plan>> Transfers::plan(rt::Op& op, control::PackageRequest request,
                                              control::Events& events) {
  CO_TRY(model::PackageRequest wanted, plan_request(request));
  if (!request.from.empty()) {
    auto found = co_await find_model(shared_, op, request.from);
    if (!found && found.error().code() == Code::kNotFound) {
      CO_TRY_OK(co_await pull(op, {.model = request.from}, events));
      found = co_await find_model(shared_, op, request.from);
    }
    if (!found) co_return std::unexpected(std::move(found.error()));
    CO_TRY_OK(co_await shared_.store->check_model(op, found->record.id));
    CO_TRY(model::Loaded loaded, co_await load_local(shared_, op, found->record.id));
    CO_TRY_OK(co_await check_whole(shared_, op, loaded.model, *found));
    wanted.from = model::Existing{std::move(loaded.model), std::move(loaded.config_bytes)};
    if (request.format == control::PackageFormat::kDocker) wanted.format.reset();
  }
  co_return co_await rt::blocking(shared_.loop, [&] { return model::plan_package(wanted); });
}

rt::Task<Result<control::PackageResult>> Transfers::package(rt::Op& op,
                                                            control::PackageRequest request,
                                                            control::Events& events) {
  CO_TRY(const oci::Reference target, package_target(shared_, request.target));
  CO_TRY(const auto lease, co_await shared_.store->lease(op, store::Lease::Kind::kTransfer, {}));
  CO_TRY(const model::Plan planned, co_await plan(op, request, events));
  EventBridge bridge(events);
  if (request.push) {
    Unpackaged unpackaged(shared_.loop, *shared_.store);
    CO_TRY(Taken taken, co_await hash_files(shared_.loop, planned, unpackaged, "pushed", bridge));
    CO_TRY(const model::Package made, model::assemble(planned, taken.stored));
    unpackaged.add_document(made.config);
    unpackaged.add_document(made.manifest);
    CO_TRY(const auto repository, shared_.registries.repository(target));
    content::CopyOptions options;
    options.concurrency = shared_.settings.registry.parallel;
    options.look_below = true;
    CO_TRY_OK(co_await content::copy_graph(op, shared_.loop, unpackaged, *repository,
                                           made.manifest_descriptor, bridge, std::move(options)));
    CO_TRY_OK(co_await repository->tag(op, made.manifest_descriptor, target));
    co_return result_of(target, made, std::move(taken));
  }
  const auto mode = request.link ? store::Adoption::kLink : store::Adoption::kReflinkOrCopy;
  CO_TRY(Taken taken, co_await adopt_files(op, *shared_.store, planned, mode, bridge));
  CO_TRY(const model::Package made, model::assemble(planned, taken.stored));
  BERTH_FAILPOINT("local.package.before_documents");
  CO_TRY_OK(co_await shared_.store->put_bytes(op, made.config_descriptor.media_type, made.config));
  CO_TRY_OK(
      co_await shared_.store->put_bytes(op, made.manifest_descriptor.media_type, made.manifest));
  BERTH_FAILPOINT("local.package.before_tag");
  CO_TRY(const model::Loaded loaded,
         co_await load_local(shared_, op, made.manifest_descriptor.digest));
  CO_TRY_OK(co_await settle(op, loaded, {target}));
  co_return result_of(target, made, std::move(taken));
}

rt::Task<Result<OutgoingPackage>> Transfers::pack(rt::Op& op, control::PackageRequest request,
                                                  control::Events& events) {
  CO_TRY(const oci::Reference target, package_target(shared_, request.target));
  CO_TRY(const model::Plan planned, co_await plan(op, request, events));
  EventBridge bridge(events);
  auto unpackaged = std::make_unique<Unpackaged>(shared_.loop, *shared_.store);
  CO_TRY(Taken taken, co_await hash_files(shared_.loop, planned, *unpackaged, "sent", bridge));
  CO_TRY(const model::Package made, model::assemble(planned, taken.stored));
  unpackaged->add_document(made.config);
  unpackaged->add_document(made.manifest);
  CO_TRY(Outgoing model, co_await outgoing(op, shared_.loop, std::move(unpackaged),
                                           made.manifest_descriptor, events));
  co_return OutgoingPackage{std::move(model), result_of(target, made, std::move(taken))};
}

namespace {
struct Silent : control::Events {
  void on(const control::Event&) override {}
};
}  // namespace

rt::Task<Result<std::string>> Transfers::repackage(rt::Op& op, std::string source,
                                                   std::string target, std::uint64_t context_size) {
  // What is here already is meant, and nothing is pulled for it.
  CO_TRY_OK(co_await find_model(shared_, op, source));
  Silent silent;
  control::PackageRequest request{
      .target = std::move(target), .from = std::move(source), .context_size = context_size};
  CO_TRY(const control::PackageResult result, co_await package(op, std::move(request), silent));
  co_return result.reference;
}

}  // namespace berth::local
