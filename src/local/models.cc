#include "local/models.h"

#include <set>

namespace berth::local {

rt::Task<Result<std::vector<control::Model>>> Models::list(rt::Op& op) {
  CO_TRY(std::vector<store::Record> records, co_await shared_.store->list(op));
  std::vector<control::Model> models;
  models.reserve(records.size());
  for (const store::Record& record : records) {
    auto summary = model::summary_from_text(record.metadata);
    if (!summary) summary = co_await summary_of(shared_, op, record);
    if (!summary) co_return std::unexpected(std::move(summary.error()));
    models.push_back(show(record, *summary));
  }
  co_return models;
}

rt::Task<Result<control::ModelDetail>> Models::inspect(rt::Op& op, std::string model, bool remote) {
  if (remote) co_return co_await inspect_remote(op, std::move(model));
  CO_TRY(const store::Found found, co_await find_model(shared_, op, std::move(model)));
  CO_TRY(const model::Loaded loaded, co_await load_local(shared_, op, found.record.id));
  control::ModelDetail detail = show_detail(loaded);
  for (const oci::Reference& tag : found.record.tags) detail.model.tags.push_back(tag.string());
  detail.model.created = found.record.added;
  CO_TRY(const auto left_out, co_await shared_.store->left_out(op, found.record.id));
  detail.model.partial = !left_out.empty();
  std::set<std::string> missing;
  for (const oci::Digest& digest : left_out) missing.insert(digest.string());
  for (control::ModelFile& file : detail.files) file.left_out = missing.contains(file.digest);
  if (found.tag) {
    CO_TRY(const oci::Descriptor root, co_await shared_.store->resolve(op, *found.tag));
    if (root.digest != found.record.id) detail.index_digest = root.digest.string();
  }
  co_return detail;
}

rt::Task<Result<control::ModelDetail>> Models::inspect_remote(rt::Op& op, std::string model) {
  CO_TRY(const oci::Reference reference, remote_reference(shared_, model));
  CO_TRY(const auto repository, shared_.registries.repository(reference));
  CO_TRY(const oci::Descriptor root, co_await repository->resolve(op, reference));
  CO_TRY(const model::Loaded loaded,
         co_await model::load_model(op, shared_.loop, *repository, root));
  co_return show_detail(loaded);
}

rt::Task<Result<std::string>> Models::tag(rt::Op& op, std::string source, std::string target) {
  CO_TRY(oci::Reference reference, oci::parse_reference(target, shared_.defaults));
  if (reference.digest) {
    co_return fail(Code::kInvalid, "{} names a digest; a tag has the form name:tag",
                   printable(target, 200));
  }
  CO_TRY(const store::Found found, co_await find_model(shared_, op, std::move(source)));
  // A tag of an index goes on standing for the index.
  oci::Reference from =
      found.tag
          ? *found.tag
          : oci::Reference{.registry = "local", .repository = "model", .digest = found.record.id};
  CO_TRY(const oci::Descriptor root, co_await shared_.store->resolve(op, from));
  CO_TRY_OK(co_await shared_.store->tag(op, root, reference));
  CO_TRY_OK(co_await shared_.store->write_index(op));
  co_return reference.string();
}

rt::Task<Result<control::RemoveResult>> Models::remove(rt::Op& op, std::string model, bool force) {
  CO_TRY(const oci::ModelName name, oci::parse_model_name(model, shared_.defaults));
  CO_TRY(auto there, co_await shared_.store->find(op, name));
  if (!there) {
    // An rm that died after it removed the model has left the view old, and this is its repeat.
    (void)co_await shared_.store->write_index(op);
    // Nobody pulls a model to remove it, so nothing is advised.
    co_return not_here(name.text, "");
  }
  store::Found found = std::move(*there);
  const bool last = found.record.tags.size() <= 1;
  if (found.tag && !last) co_return co_await untag(op, *found.tag);
  if (!found.tag && !last && !force) {
    co_return fail(Code::kConflict,
                   "unable to delete {} (must be forced) due to multiple tag references",
                   printable(model, 200));
  }
  CO_TRY(const bool running, co_await shared_.store->in_use(op, found.record.id));
  if (running && !force) {
    co_return fail(Code::kConflict,
                   "{} is running; stop it with: berth unload {}, or remove it with --force",
                   printable(model, 200), printable(model, 200));
  }
  co_return co_await remove_whole(op, std::move(found.record));
}

rt::Task<Result<control::RemoveResult>> Models::untag(rt::Op& op, oci::Reference tag) {
  CO_TRY_OK(co_await shared_.store->untag(op, tag));
  CO_TRY_OK(co_await shared_.store->write_index(op));
  co_return control::RemoveResult{.removed = {{"Untagged", tag.string()}}};
}

rt::Task<Result<control::RemoveResult>> Models::remove_whole(rt::Op& op, store::Record record) {
  CO_TRY(const store::Freed freed, co_await shared_.store->remove(op, record.id));
  CO_TRY_OK(co_await shared_.store->write_index(op));
  control::RemoveResult result{.freed = freed.bytes};
  for (const oci::Reference& tag : record.tags)
    result.removed.push_back({"Untagged", tag.string()});
  result.removed.push_back({"Deleted", record.id.string()});
  co_return result;
}

rt::Task<Result<control::RemoveResult>> Models::purge(rt::Op& op) {
  CO_TRY(const store::Freed freed, co_await shared_.store->purge(op));
  CO_TRY_OK(co_await shared_.store->write_index(op));
  control::RemoveResult result{.freed = freed.bytes};
  for (const oci::Digest& id : freed.models) result.removed.push_back({"Deleted", id.string()});
  co_return result;
}

rt::Task<Result<control::PruneResult>> Models::prune(rt::Op& op, bool dry_run) {
  const store::PruneOptions options{.dry_run = dry_run ? store::DryRun::kYes : store::DryRun::kNo};
  CO_TRY(const store::Freed freed, co_await shared_.store->prune(op, options));
  if (!dry_run) CO_TRY_OK(co_await shared_.store->write_index(op));
  control::PruneResult result{.dry_run = dry_run, .ingests = freed.ingests, .freed = freed.bytes};
  for (const oci::Digest& blob : freed.blobs) result.blobs.push_back(blob.string());
  co_return result;
}

}  // namespace berth::local
