#include "local/partial.h"

#include "rt/async.h"

namespace berth::local {
namespace {

constexpr std::size_t kMaxPatterns = 64;
constexpr std::size_t kMostNames = 5;

std::unexpected<Error> partial(const Shared& shared, const store::Found& found,
                               const std::vector<std::string>& missing) {
  const std::string name = display_name(shared, found);
  return fail(Code::kConflict,
              "{} is here without some of its files ({}), which this needs; pull it whole with: "
              "berth pull {}",
              name, model::some_of(missing, kMostNames), name);
}

}  // namespace

Result<std::vector<Glob>> parse_patterns(const std::vector<std::string>& texts) {
  if (texts.size() > kMaxPatterns) {
    return fail(Code::kInvalid, "a pull takes {} patterns for files at most, not {}", kMaxPatterns,
                texts.size());
  }
  std::vector<Glob> globs;
  for (const std::string& text : texts) {
    TRY(Glob glob, Glob::parse(text));
    globs.push_back(std::move(glob));
  }
  return globs;
}

rt::Task<Result<model::Selection>> choose_files(rt::Op& op, rt::Loop& loop,
                                                const model::Model& model,
                                                const std::vector<Glob>& include) {
  CO_TRY_OK(op.check());
  if (include.empty()) co_return model::Selection{};
  co_return co_await rt::blocking(loop, [&] { return model::select_files(model, include); });
}

rt::Task<Result<content::Source>> PartialStore::fetch(rt::Op& op, oci::Descriptor blob,
                                                      content::ByteRange range) {
  co_return co_await store_.fetch(op, std::move(blob), range);
}

rt::Task<Result<bool>> PartialStore::has(rt::Op& op, oci::Descriptor blob) {
  if (blob.digest != manifest_) co_return co_await store_.has(op, std::move(blob));
  co_return co_await store_.has_without(op, std::move(blob), unwanted_);
}

rt::Task<Status> PartialStore::put(rt::Op& op, oci::Descriptor blob, content::Fetcher& from,
                                   content::Progress& progress) {
  if (blob.digest != manifest_) co_return co_await store_.put(op, std::move(blob), from, progress);
  co_return co_await store_.put_without(op, std::move(blob), from, unwanted_);
}

rt::Task<Status> check_whole(Shared& shared, rt::Op& op, const model::Model& model,
                             const store::Found& found) {
  CO_TRY(const auto left_out, co_await shared.store->left_out(op, found.record.id));
  if (left_out.empty()) co_return Status();
  co_return partial(shared, found, model::paths_of(model, left_out));
}

rt::Task<Result<model::Model>> enough_to_run(Shared& shared, rt::Op& op, model::Model model,
                                             const store::Found& found) {
  CO_TRY(const auto left_out, co_await shared.store->left_out(op, found.record.id));
  const auto missed = model::missed_by_engine(model, left_out);
  if (!missed.empty()) co_return partial(shared, found, missed);
  co_return model::without_files(std::move(model), left_out);
}

}  // namespace berth::local
