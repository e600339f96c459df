#include "remote/upload_journal.h"

#include <chrono>
#include <sys/file.h>

#include "base/log.h"
#include "fs/file.h"
#include "json/json.h"
#include "oci/digest.h"
#include "rt/async.h"

namespace berth::remote {
namespace {

constexpr std::size_t kMaxRecord = 16 * 1024;
constexpr std::size_t kMaxUrl = 8 * 1024;
constexpr std::size_t kMaxSwept = 10'000;
constexpr std::int64_t kLifetime = 24 * 3600;
constexpr int kVersion = 1;

std::int64_t now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string name_of(const UploadKey& key) {
  const std::string whole = key.registry + "\n" + key.repository + "\n" + key.digest;
  return std::string(oci::Digest::of(as_bytes(whole)).hex()) + ".json";
}

bool try_lock(const fs::File& file) { return ::flock(file.fd(), LOCK_EX | LOCK_NB) == 0; }

// The record's file, held by this process alone; no file when somebody else holds it. A file that
// was removed between opening and locking is another's past, so it is opened again.
Result<std::optional<fs::File>> lock_record(const fs::Dir& dir, const std::string& name) {
  for (int tries = 0; tries < 3; ++tries) {
    TRY(fs::File file, dir.open_or_create(name));
    if (!try_lock(file)) return std::nullopt;
    TRY(const fs::FileInfo mine, file.info());
    TRY(const auto named, dir.find(name));
    if (named && named->inode == mine.inode) return std::optional(std::move(file));
  }
  return std::nullopt;
}

std::string to_text(const UploadKey& key, const SavedUpload& upload) {
  return json::serialize(json::Object{{"version", kVersion},
                                      {"since", now()},
                                      {"registry", key.registry},
                                      {"repository", key.repository},
                                      {"digest", key.digest},
                                      {"url", upload.url},
                                      {"held", upload.held}});
}

struct Record {
  UploadKey key;
  SavedUpload upload;
  std::int64_t since = 0;
};
Result<Record> parse_record(std::string_view text) {
  TRY(const json::Value value, json::parse(text, "upload", {.bytes = kMaxRecord, .depth = 4}));
  const json::View view(value, "upload");
  Record record;
  TRY(const std::uint64_t version, view.u64("version"));
  if (version != kVersion) return fail(Code::kCorrupt, "another version");
  TRY(record.since, view.i64_or("since", 0));
  TRY(record.key.registry, view.string("registry"));
  TRY(record.key.repository, view.string("repository"));
  TRY(record.key.digest, view.string("digest"));
  TRY(record.upload.url, view.string("url"));
  TRY(record.upload.held, view.u64("held"));
  return record;
}

Result<std::string> read_whole(const fs::File& file) {
  TRY(const fs::FileInfo info, file.info());
  std::string text(std::min<std::uint64_t>(info.size, kMaxRecord), '\0');
  TRY(const std::size_t count,
      file.read_at(0, std::as_writable_bytes(std::span(text.data(), text.size()))));
  text.resize(count);
  return text;
}

bool is_fresh(std::int64_t since) { return since <= now() && now() - since < kLifetime; }

// What a file says about this very upload; nothing when it is torn, old or about another.
std::optional<SavedUpload> read_record(const fs::File& file, const UploadKey& key) {
  const auto text = read_whole(file);
  const auto record = text ? parse_record(*text) : std::unexpected(text.error());
  if (!record || !is_fresh(record->since) || record->upload.url.size() > kMaxUrl)
    return std::nullopt;
  const bool same = record->key.registry == key.registry &&
                    record->key.repository == key.repository && record->key.digest == key.digest;
  return same ? std::optional(record->upload) : std::nullopt;
}

Status write_record(fs::File& file, const std::string& text) {
  TRY_OK(file.truncate(0));
  return file.write_at(0, as_bytes(text));
}

// Removes what nobody will ask for again.
Status sweep(const fs::Dir& dir) {
  TRY(const auto names, dir.list());
  std::size_t seen = 0;
  for (const std::string& name : names) {
    if (++seen > kMaxSwept) break;
    if (!name.ends_with(".json")) continue;
    TRY(const auto info, dir.find(name));
    if (!info || is_fresh(info->mtime_ns / 1'000'000'000)) continue;
    TRY(const auto mine, lock_record(dir, name));
    if (mine) TRY_OK(dir.remove(name));
  }
  return {};
}

class FileClaim : public UploadClaim {
 public:
  FileClaim(rt::Loop& loop, fs::Dir dir, fs::File file, UploadKey key,
            std::optional<SavedUpload> found)
      : loop_(loop),
        dir_(std::move(dir)),
        file_(std::move(file)),
        key_(std::move(key)),
        found_(std::move(found)) {}

  std::optional<SavedUpload> found() const override { return found_; }

  Task<void> keep(rt::Op&, SavedUpload upload) override {
    const std::string text = to_text(key_, upload);
    if (upload.url.size() > kMaxUrl) co_return;
    const Status written =
        co_await rt::blocking(loop_, [this, &text] { return write_record(file_, text); });
    if (!written) log::info("this upload could not be resumed: {}", written.error().message());
  }

  Task<void> forget(rt::Op&) override {
    found_.reset();
    const Status removed =
        co_await rt::blocking(loop_, [this] { return dir_.remove(name_of(key_)); });
    if (!removed) log::info("an upload's record stays: {}", removed.error().message());
  }

 private:
  rt::Loop& loop_;
  fs::Dir dir_;
  fs::File file_;
  UploadKey key_;
  std::optional<SavedUpload> found_;
};

struct Opened {
  fs::Dir dir;
  std::optional<fs::File> file;
  std::optional<SavedUpload> found;
};
Result<Opened> open_record(const std::string& folder, const UploadKey& key, bool sweep_first) {
  TRY(fs::Dir dir, fs::Dir::create(folder));
  if (sweep_first) TRY_OK(sweep(dir));
  TRY(auto file, lock_record(dir, name_of(key)));
  auto found = file ? read_record(*file, key) : std::nullopt;
  return Opened{std::move(dir), std::move(file), std::move(found)};
}

}  // namespace

Task<std::unique_ptr<UploadClaim>> FileUploadJournal::claim(rt::Op&, UploadKey key) {
  const bool sweep_first = !std::exchange(swept_, true);
  auto opened = co_await rt::blocking(
      loop_, [this, &key, sweep_first] { return open_record(folder_, key, sweep_first); });
  if (!opened) {
    log::info("uploads cannot be resumed: {}", opened.error().message());
    co_return nullptr;
  }
  if (!opened->file) co_return nullptr;
  co_return std::make_unique<FileClaim>(loop_, std::move(opened->dir), std::move(*opened->file),
                                        std::move(key), std::move(opened->found));
}

}  // namespace berth::remote
