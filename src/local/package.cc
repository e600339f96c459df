// Transfers::package and repackage: plan, take the files in (or send them straight away), write
// config and manifest.
#include <cstdlib>
#include <filesystem>

#include "base/failpoint.h"
#include "content/copy.h"
#include "fs/file.h"
#include "local/file_reader.h"
#include "local/transfers.h"
#include "rt/async.h"

namespace berth::local {
namespace {

constexpr std::size_t kHashBuffer = 4 * 1024 * 1024;

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

// One pass over a file for its digest, for a push without a local copy.
Result<model::StoredFile> hash_file(const std::string& path) {
  TRY(const fs::File file, fs::open_user_file(path));
  crypto::Hasher hasher(crypto::Algorithm::kSha256);
  std::vector<std::byte> buffer(kHashBuffer);
  std::uint64_t size = 0;
  while (true) {
    TRY(const std::size_t count, file.read_at(size, buffer));
    if (count == 0) break;
    hasher.update(Bytes(buffer).first(count));
    size += count;
  }
  return model::StoredFile{oci::Digest::from_hash(crypto::Algorithm::kSha256, hasher.finish()),
                           size};
}

// The artifact as it lies on the user's disk: files by digest, the two documents, and the layers of
// --from in the store.
class Unpackaged : public content::Fetcher {
 public:
  Unpackaged(rt::Loop& loop, content::Fetcher& store) : loop_(loop), store_(store) {}
  void add_file(const oci::Digest& digest, std::string path) { files_[digest] = std::move(path); }
  void add_document(std::string bytes) {
    documents_[oci::Digest::of(as_bytes(bytes))] = std::move(bytes);
  }

  rt::Task<Result<content::Source>> fetch(rt::Op& op, oci::Descriptor blob,
                                          content::ByteRange range) override {
    if (const auto document = documents_.find(blob.digest); document != documents_.end()) {
      content::BytesFetcher bytes(document->second);
      co_return co_await bytes.fetch(op, std::move(blob), range);
    }
    const auto file = files_.find(blob.digest);
    if (file == files_.end()) co_return co_await store_.fetch(op, std::move(blob), range);
    co_return open(file->second, blob.size, range);
  }

 private:
  Result<content::Source> open(const std::string& path, std::uint64_t size,
                               content::ByteRange range) {
    TRY(fs::File file, fs::open_user_file(path));
    TRY(const fs::FileInfo info, file.info());
    if (info.size != size)
      return fail(Code::kCorrupt, "{} changed while it was being pushed", path);
    if (range.offset > size)
      return fail(Code::kBadRange, "{} ends before byte {}", path, range.offset);
    const std::uint64_t end = range.length ? std::min(size, range.offset + *range.length) : size;
    content::Source source{.size = size, .offset = range.offset};
    source.reader = std::make_unique<FileReader>(loop_, std::move(file), range.offset, end);
    return source;
  }

  rt::Loop& loop_;
  content::Fetcher& store_;
  std::map<oci::Digest, std::string> files_;
  std::map<oci::Digest, std::string> documents_;
};

// What `package` does with its files, in this order.
struct Taken {
  std::vector<model::StoredFile> stored;
  std::vector<std::pair<std::string, std::string>> ways;
};

}  // namespace

rt::Task<Result<control::PackageResult>> Transfers::package(rt::Op& op,
                                                            control::PackageRequest request,
                                                            control::Events& events) {
  CO_TRY(const oci::Reference target, remote_reference(shared_, request.target));
  if (target.digest)
    co_return fail(Code::kInvalid, "{} names a digest; package makes a name:tag", request.target);
  CO_TRY(model::PackageRequest wanted, plan_request(request));
  CO_TRY(const auto lease, co_await shared_.store->lease(op, store::Lease::Kind::kTransfer, {}));
  if (!request.from.empty()) {
    auto found = co_await find_model(shared_, op, request.from);
    if (!found && found.error().code() == Code::kNotFound) {
      CO_TRY_OK(co_await pull(op, {.model = request.from}, events));
      found = co_await find_model(shared_, op, request.from);
    }
    if (!found) co_return std::unexpected(std::move(found.error()));
    CO_TRY_OK(co_await shared_.store->check_model(op, found->record.id));
    CO_TRY(model::Loaded loaded, co_await load_local(shared_, op, found->record.id));
    wanted.from = model::Existing{std::move(loaded.model), std::move(loaded.config_bytes)};
    if (request.format == control::PackageFormat::kDocker) wanted.format.reset();
  }
  CO_TRY(const model::Plan plan,
         co_await rt::blocking(shared_.loop, [&] { return model::plan_package(wanted); }));

  EventBridge bridge(events);
  Unpackaged unpackaged(shared_.loop, *shared_.store);
  Taken taken;
  const auto mode = request.link ? store::Adoption::kLink : store::Adoption::kReflinkOrCopy;
  for (const model::PlannedFile& file : plan.files) {
    if (file.existing) continue;
    if (request.push) {
      CO_TRY(const model::StoredFile hashed,
             co_await rt::blocking(shared_.loop, [&] { return hash_file(file.source); }));
      bridge.name(hashed.digest, file.path);
      unpackaged.add_file(hashed.digest, file.source);
      taken.stored.push_back(hashed);
      taken.ways.emplace_back(file.path, "pushed");
      continue;
    }
    CO_TRY(const store::Adopted adopted,
           co_await shared_.store->adopt(op, std::filesystem::absolute(file.source).string(), mode,
                                         bridge));
    taken.stored.push_back({adopted.digest, adopted.size});
    taken.ways.emplace_back(file.path, store::to_string(adopted.way));
  }
  CO_TRY(const model::Package made, model::assemble(plan, taken.stored));

  std::uint64_t size = 0;
  for (const oci::Descriptor& layer : made.layers) size += layer.size;
  const control::PackageResult result{.reference = target.string(),
                                      .digest = made.manifest_descriptor.digest.string(),
                                      .size = size,
                                      .ways = std::move(taken.ways)};
  if (request.push) {
    unpackaged.add_document(made.config);
    unpackaged.add_document(made.manifest);
    CO_TRY(const auto repository, shared_.registries.repository(target));
    content::CopyOptions options;
    options.concurrency = shared_.settings.registry.parallel;
    CO_TRY_OK(co_await content::copy_graph(op, shared_.loop, unpackaged, *repository,
                                           made.manifest_descriptor, bridge, std::move(options)));
    CO_TRY_OK(co_await repository->tag(op, made.manifest_descriptor, target));
    co_return result;
  }
  BERTH_FAILPOINT("local.package.before_documents");
  CO_TRY_OK(co_await shared_.store->put_bytes(op, made.config_descriptor.media_type, made.config));
  CO_TRY_OK(
      co_await shared_.store->put_bytes(op, made.manifest_descriptor.media_type, made.manifest));
  BERTH_FAILPOINT("local.package.before_tag");
  CO_TRY(const model::Loaded loaded,
         co_await load_local(shared_, op, made.manifest_descriptor.digest));
  CO_TRY_OK(co_await settle(op, loaded, {target}));
  co_return result;
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
