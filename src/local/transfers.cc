#include "local/transfers.h"

#include "base/failpoint.h"
#include "content/copy.h"
#include "local/partial.h"
#include "model/archive.h"
#include "model/codec.h"
#include "model/dmr_store.h"
#include "rt/async.h"

namespace berth::local {
namespace {

// A registry whose small documents were read already: they are not asked for twice.
class Known : public content::Fetcher {
 public:
  explicit Known(content::Fetcher& below) : below_(below) {}

  void add(std::string bytes) {
    const oci::Digest digest = oci::Digest::of(as_bytes(bytes));
    documents_.insert_or_assign(digest, std::move(bytes));
  }

  rt::Task<Result<content::Source>> fetch(rt::Op& op, oci::Descriptor blob,
                                          content::ByteRange range) override {
    const auto at = documents_.find(blob.digest);
    if (at == documents_.end()) co_return co_await below_.fetch(op, std::move(blob), range);
    content::BytesFetcher bytes(at->second);
    co_return co_await bytes.fetch(op, std::move(blob), range);
  }

 private:
  content::Fetcher& below_;
  std::map<oci::Digest, std::string> documents_;
};

// Repositories on the same registry that hold this model under another name: a push can mount from
// there.
std::vector<std::string> other_repositories(const store::Record& record,
                                            const oci::Reference& target) {
  std::vector<std::string> names;
  for (const oci::Reference& tag : record.tags) {
    if (tag.registry == target.registry && tag.repository != target.repository)
      names.push_back(tag.repository);
  }
  return names;
}

Result<oci::Reference> pushable(const store::Found& found, const Shared& shared,
                                std::string_view model) {
  if (found.tag) return *found.tag;
  auto reference = oci::parse_reference(model, shared.defaults);
  const bool named = reference && !reference->digest && found.record.tags.empty();
  if (named) return *reference;
  return fail(Code::kInvalid, "{} is an id; push a name, as in: berth tag {} registry/name:tag",
              printable(model, 200), printable(model, 200));
}

// A name from outside that is none is not worth failing for.
std::vector<oci::Reference> usable(const std::vector<std::string>& names,
                                   const oci::ReferenceDefaults& defaults) {
  std::vector<oci::Reference> tags;
  for (const std::string& name : names) {
    auto reference = oci::parse_reference(name, defaults);
    if (reference && !reference->digest) tags.push_back(std::move(*reference));
  }
  return tags;
}

std::vector<std::string> texts_of(const std::vector<oci::Reference>& tags) {
  std::vector<std::string> texts;
  for (const oci::Reference& tag : tags) texts.push_back(tag.string());
  return texts;
}

// A folder of models that stays open as long as something is read from it.
class FolderSource : public content::Fetcher {
 public:
  FolderSource(rt::Loop& loop, fs::Dir folder)
      : folder_(std::move(folder)), files_(model::folder_fetcher(loop, folder_)) {}
  rt::Task<Result<content::Source>> fetch(rt::Op& op, oci::Descriptor blob,
                                          content::ByteRange range) override {
    return files_->fetch(op, std::move(blob), range);
  }

 private:
  fs::Dir folder_;
  std::unique_ptr<content::Fetcher> files_;
};

// One damaged model is no reason to leave the others; when all are, its sentence is the answer.
Result<std::vector<model::FolderModel>> sound_models(const fs::Dir& folder, std::string& problems) {
  TRY(std::vector<model::FolderModel> all, model::read_model_folder(folder));
  std::vector<model::FolderModel> sound;
  for (model::FolderModel& found : all) {
    if (found.problem.empty()) {
      sound.push_back(std::move(found));
    } else {
      problems += fmt::format("{}{} is left out: {}", problems.empty() ? "" : "; ",
                              found.names.empty() ? "a model" : found.names.front(), found.problem);
    }
  }
  if (sound.empty() && !problems.empty())
    return fail(Code::kCorrupt, "{}", printable(problems, 1000));
  return sound;
}

// `bridge` outlives the repository's calls.
remote::Repository::Manner manner(std::uint64_t limit_rate, EventBridge& bridge) {
  const auto warn = [&bridge](const std::string& what) { bridge.warning(what); };
  return {.limit_rate = limit_rate, .on_wait = warn, .on_warning = warn};
}

}  // namespace

rt::Task<Status> Transfers::settle(rt::Op& op, const model::Loaded& loaded,
                                   std::vector<oci::Reference> tags) {
  const oci::Descriptor root = loaded.index.value_or(loaded.manifest);
  if (loaded.index)
    CO_TRY_OK(co_await shared_.store->set_selected(op, root.digest, loaded.manifest.digest));
  BERTH_FAILPOINT("local.settle.before_tag");
  for (const oci::Reference& tag : tags) CO_TRY_OK(co_await shared_.store->tag(op, root, tag));
  BERTH_FAILPOINT("local.settle.after_tag");
  CO_TRY_OK(co_await shared_.store->set_metadata(op, loaded.manifest.digest,
                                                 model::to_text(model::summarize(loaded.model))));
  co_return co_await shared_.store->write_index(op);
}

rt::Task<Result<control::PullResult>> Transfers::pull(rt::Op& op, control::PullRequest request,
                                                      control::Events& events) {
  CO_TRY(const oci::Reference reference, remote_reference(shared_, request.model));
  CO_TRY(const auto include, parse_patterns(request.include));
  CO_TRY(const auto repository, shared_.registries.repository(reference));
  std::optional<oci::Platform> platform;
  if (!request.platform.empty()) {
    CO_TRY(platform, oci::parse_platform(request.platform));
  }
  EventBridge bridge(events);
  repository->set_manner(manner(request.limit_rate, bridge));
  CO_TRY(const oci::Descriptor root, co_await repository->resolve(op, reference));
  CO_TRY(const auto lease,
         co_await shared_.store->lease(op, store::Lease::Kind::kTransfer, {root.digest}));
  // Nothing moves before the artifact is known to be a model.
  CO_TRY(const model::Loaded loaded,
         co_await model::load_model(op, shared_.loop, *repository, root, platform));
  CO_TRY(const model::Selection selection,
         co_await choose_files(op, shared_.loop, loaded.model, include));
  for (const std::string& pattern : selection.unmatched)
    bridge.warning(fmt::format("no file of the model matches {}", printable(pattern, 120)));
  bridge.name(loaded.model);
  Known known(*repository);
  known.add(loaded.manifest_bytes);
  known.add(loaded.config_bytes);
  content::CopyOptions options;
  options.concurrency = shared_.settings.registry.parallel;
  options.inspect = [](const oci::Descriptor&, const oci::Manifest& manifest) {
    return model::check_is_model(manifest);
  };
  options.select = [id = loaded.manifest.digest](const oci::Descriptor& child) {
    return child.digest == id;
  };
  options.wants = [&selection](const oci::Descriptor& blob) {
    return !selection.unwanted.contains(blob.digest);
  };
  PartialStore store(*shared_.store, loaded.manifest.digest, selection.unwanted);
  CO_TRY_OK(co_await content::copy_graph(op, shared_.loop, known, store, root, bridge,
                                         std::move(options)));
  CO_TRY_OK(co_await settle(op, loaded, {reference}));
  CO_TRY(const auto left_out, co_await shared_.store->left_out(op, loaded.manifest.digest));
  co_return control::PullResult{.reference = reference.string(),
                                .digest = root.digest.string(),
                                .id = loaded.manifest.digest.string(),
                                .size = loaded.model.size,
                                .transferred = bridge.transferred(),
                                .cached = bridge.transferred() == 0,
                                .left_out = model::paths_of(loaded.model, left_out).size()};
}

rt::Task<Result<control::PushResult>> Transfers::push(rt::Op& op, control::PushRequest request,
                                                      control::Events& events) {
  CO_TRY(const store::Found found, co_await find_model(shared_, op, request.model));
  CO_TRY(const oci::Reference reference, pushable(found, shared_, request.model));
  CO_TRY_OK(remote_reference(shared_, reference.string()));
  CO_TRY(const oci::Descriptor root, co_await shared_.store->resolve(op, reference));
  CO_TRY(const auto lease, co_await shared_.store->lease(op, store::Lease::Kind::kTransfer,
                                                         {root.digest, found.record.id}));
  CO_TRY_OK(co_await shared_.store->check_model(op, found.record.id));
  CO_TRY(const model::Loaded loaded, co_await load_local(shared_, op, found.record.id));
  CO_TRY_OK(co_await check_whole(shared_, op, loaded.model, found));
  CO_TRY(const auto repository, shared_.registries.repository(reference));
  EventBridge bridge(events);
  repository->set_manner(manner(request.limit_rate, bridge));
  bridge.name(loaded.model);
  content::CopyOptions options;
  options.concurrency = shared_.settings.registry.parallel;
  options.mount_from = other_repositories(found.record, reference);
  options.look_below = true;
  options.select = [id = found.record.id](const oci::Descriptor& child) {
    return child.digest == id;
  };
  CO_TRY_OK(co_await content::copy_graph(op, shared_.loop, *shared_.store, *repository, root,
                                         bridge, std::move(options)));
  BERTH_FAILPOINT("local.push.before_tag");
  CO_TRY_OK(co_await repository->tag(op, root, reference));
  BERTH_FAILPOINT("local.push.after_tag");
  co_return control::PushResult{.reference = reference.string(),
                                .digest = root.digest.string(),
                                .size = loaded.model.size,
                                .transferred = bridge.transferred()};
}

rt::Task<Result<std::unique_ptr<rt::Reader>>> Transfers::export_tar(rt::Op& op, std::string model) {
  CO_TRY(const store::Found found, co_await find_model(shared_, op, model));
  CO_TRY_OK(co_await shared_.store->check_model(op, found.record.id));
  CO_TRY(const model::Loaded loaded, co_await load_local(shared_, op, found.record.id));
  CO_TRY_OK(co_await check_whole(shared_, op, loaded.model, found));
  std::vector<std::string> names;
  if (found.tag) names.push_back(found.tag->string());
  CO_TRY(model::Export tar, model::export_model(*shared_.store, loaded, names));
  co_return std::move(tar.reader);
}

rt::Task<Result<std::vector<std::string>>> Transfers::name_imported(
    rt::Op& op, oci::Descriptor manifest, std::vector<std::string> names) {
  CO_TRY(const model::Loaded loaded,
         co_await model::load_model(op, shared_.loop, *shared_.store, manifest));
  std::vector<oci::Reference> tags = usable(names, shared_.defaults);
  if (!tags.empty()) {
    std::vector<std::string> shown = texts_of(tags);
    CO_TRY_OK(co_await settle(op, loaded, std::move(tags)));
    co_return shown;
  }
  // Untagged, as DMR's load leaves it: kept by its id until it is tagged or removed. The store
  // knows a model by a tag that it once had.
  const oci::Reference once{.registry = shared_.defaults.registry,
                            .repository = "imported",
                            .tag = "",
                            .digest = manifest.digest};
  CO_TRY_OK(co_await settle(op, loaded, {once}));
  CO_TRY_OK(co_await shared_.store->untag(op, once));
  CO_TRY_OK(co_await shared_.store->write_index(op));
  co_return std::vector<std::string>{loaded.manifest.digest.string()};
}

rt::Task<Result<std::vector<std::string>>> Transfers::import_tar(rt::Op& op, rt::Reader& tar,
                                                                 control::Events& events) {
  CO_TRY(const auto lease, co_await shared_.store->lease(op, store::Lease::Kind::kTransfer, {}));
  EventBridge bridge(events);
  CO_TRY(const auto models,
         co_await model::import_archive(op, shared_.loop, tar, *shared_.store, bridge));
  std::vector<std::string> all;
  for (const model::ImportedModel& imported : models) {
    CO_TRY(const auto names, co_await name_imported(op, imported.manifest, imported.names));
    all.insert(all.end(), names.begin(), names.end());
  }
  co_return all;
}

rt::Task<Result<std::vector<std::string>>> Transfers::import_folder(rt::Op& op, std::string path,
                                                                    control::Events& events) {
  CO_TRY(const auto lease, co_await shared_.store->lease(op, store::Lease::Kind::kTransfer, {}));
  CO_TRY(const fs::Dir folder, fs::open_user_dir(path));
  std::string problems;
  CO_TRY(const auto models,
         co_await rt::blocking(shared_.loop, [&] { return sound_models(folder, problems); }));
  const auto fetcher = model::folder_fetcher(shared_.loop, folder);
  EventBridge bridge(events);
  if (!problems.empty()) bridge.warning(problems);
  std::vector<std::string> all;
  for (const model::FolderModel& found : models) {
    CO_TRY_OK(co_await content::copy_graph(op, shared_.loop, *fetcher, *shared_.store,
                                           found.manifest, bridge, {}));
    CO_TRY(const auto names, co_await name_imported(op, found.manifest, found.names));
    all.insert(all.end(), names.begin(), names.end());
  }
  co_return all;
}

rt::Task<Result<std::vector<Outgoing>>> Transfers::open_folder(rt::Op& op, std::string path,
                                                               control::Events& events) {
  CO_TRY(const fs::Dir folder, fs::open_user_dir(path));
  std::string problems;
  CO_TRY(const auto models,
         co_await rt::blocking(shared_.loop, [&] { return sound_models(folder, problems); }));
  if (!problems.empty()) EventBridge(events).warning(problems);
  std::vector<Outgoing> all;
  for (const model::FolderModel& found : models) {
    CO_TRY(fs::Dir own, fs::open_user_dir(path));
    auto source = std::make_unique<FolderSource>(shared_.loop, std::move(own));
    CO_TRY(Outgoing model,
           co_await outgoing(op, shared_.loop, std::move(source), found.manifest, events));
    model.names = texts_of(usable(found.names, shared_.defaults));
    all.push_back(std::move(model));
  }
  co_return all;
}

}  // namespace berth::local
