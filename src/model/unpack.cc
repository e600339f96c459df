#include "model/unpack.h"

#include <algorithm>
#include <memory>
#include <set>

#include "base/text.h"
#include "fs/archive_library.h"

namespace berth::model {
namespace {

class Unpacker {
 public:
  Unpacker(const fs::File& file, const fs::Dir& into, UnpackLimits limits)
      : input_{file}, into_(into), limits_(limits), reader_(fs::libarchive().read_new()) {}

  Result<std::vector<std::string>> run(Packing packing);

 private:
  Status open(Packing packing);
  Status take(archive_entry* entry);
  Status take_file(const std::string& path, archive_entry* entry);
  Status write_blocks(fs::File& file, const std::string& path, std::uint64_t size);
  Status count(std::uint64_t bytes);
  std::unexpected<Error> broken();

  fs::ArchiveInput input_;
  const fs::Dir& into_;
  UnpackLimits limits_;
  fs::ArchiveReader reader_;
  std::uint64_t total_ = 0;
  std::size_t entries_ = 0;
  std::vector<std::string> files_;
};

std::unexpected<Error> Unpacker::broken() {
  if (input_.failure) return std::unexpected(std::move(*input_.failure));
  const char* reason = fs::libarchive().error_string(reader_.get());
  return fail(Code::kCorrupt, "the packed layer cannot be read: {}",
              printable(reason == nullptr ? "damaged" : reason));
}

Status Unpacker::open(Packing packing) {
  fs::libarchive().read_support_format_tar(reader_.get());
  if (packing == Packing::kTarGzip) fs::libarchive().read_support_filter_gzip(reader_.get());
  if (packing == Packing::kTarZstd) fs::libarchive().read_support_filter_zstd(reader_.get());
  if (fs::libarchive().read_open(reader_.get(), &input_, nullptr, fs::pull_archive, nullptr) !=
      ARCHIVE_OK)
    return broken();
  return {};
}

Result<std::vector<std::string>> Unpacker::run(Packing packing) {
  TRY(const fs::FileInfo info, input_.file.info());
  std::uint64_t allowed = 0;
  if (__builtin_mul_overflow(info.size, limits_.ratio, &allowed)) allowed = limits_.bytes;
  limits_.bytes = std::min(limits_.bytes, allowed + limits_.free_bytes);
  TRY_OK(open(packing));
  archive_entry* entry = nullptr;
  for (;;) {
    const int state = fs::libarchive().read_next_header(reader_.get(), &entry);
    if (state == ARCHIVE_EOF) return std::move(files_);
    // A warning is a name or a header that was only half understood: not good enough for a model.
    if (state != ARCHIVE_OK) return broken();
    TRY_OK(take(entry));
  }
}

// "./a/b/" -> "a/b"; "" for the root itself.
std::string clean_name(archive_entry* entry) {
  const char* utf8 = fs::libarchive().entry_pathname_utf8(entry);
  const char* raw = utf8 != nullptr ? utf8 : fs::libarchive().entry_pathname(entry);
  std::string_view name = raw != nullptr ? raw : "";
  while (name.starts_with("./")) name.remove_prefix(2);
  while (name.ends_with('/')) name.remove_suffix(1);
  return std::string(name == "." ? "" : name);
}

Status Unpacker::take(archive_entry* entry) {
  if (++entries_ > limits_.entries) {
    return fail(Code::kTooLarge, "the packed layer holds more than {} entries", limits_.entries);
  }
  const std::string path = clean_name(entry);
  const bool plain = fs::libarchive().entry_hardlink(entry) == nullptr &&
                     fs::libarchive().entry_symlink(entry) == nullptr;
  if (plain && fs::libarchive().entry_filetype(entry) == AE_IFDIR) {
    if (path.empty()) return {};
    TRY_OK(in_context(fs::check_relative_path(path), "the packed layer has an unsafe name"));
    TRY(const fs::Dir made, into_.make_subdir(path));
    return {};
  }
  TRY_OK(in_context(fs::check_relative_path(path), "the packed layer has an unsafe name"));
  if (plain && fs::libarchive().entry_filetype(entry) == AE_IFREG) return take_file(path, entry);
  return fail(
      Code::kCorrupt,
      "the packed layer holds {}, which is a link or a device: only files and folders are unpacked",
      printable(path));
}

Status Unpacker::count(std::uint64_t bytes) {
  if (!__builtin_add_overflow(total_, bytes, &total_) && total_ <= limits_.bytes) return {};
  return fail(Code::kTooLarge,
              "the packed layer would unpack to more than {}, which its {} do not account for",
              format_size(limits_.bytes),
              format_size(input_.file.info().value_or(fs::FileInfo{}).size));
}

Status Unpacker::take_file(const std::string& path, archive_entry* entry) {
  const la_int64_t declared = fs::libarchive().entry_size(entry);
  if (declared < 0)
    return fail(Code::kCorrupt, "the packed layer does not say how big {} is", printable(path));
  const auto size = static_cast<std::uint64_t>(declared);
  TRY_OK(count(size));
  if (const std::size_t slash = path.rfind('/'); slash != std::string::npos) {
    TRY(const fs::Dir made, into_.make_subdir(path.substr(0, slash)));
  }
  auto file = into_.create_new(path);
  if (!file && file.error().code() == Code::kConflict) {
    return fail(Code::kCorrupt, "the packed layer holds {} twice", printable(path));
  }
  if (!file) return std::unexpected(std::move(file.error()));
  TRY_OK(write_blocks(*file, path, size));
  files_.push_back(path);
  return file->sync();
}

Status Unpacker::write_blocks(fs::File& file, const std::string& path, std::uint64_t size) {
  for (;;) {
    const void* data = nullptr;
    std::size_t length = 0;
    la_int64_t offset = 0;
    const int state = fs::libarchive().read_data_block(reader_.get(), &data, &length, &offset);
    if (state == ARCHIVE_EOF) return file.truncate(size);  // sparse entries end in a hole
    if (state != ARCHIVE_OK) return broken();
    const auto at = static_cast<std::uint64_t>(offset);
    if (offset < 0 || at > size || length > size - at) {
      return fail(Code::kCorrupt, "the packed layer holds more of {} than it declares",
                  printable(path));
    }
    TRY_OK(file.write_at(at, Bytes(static_cast<const std::byte*>(data), length)));
  }
}

}  // namespace

Result<std::vector<std::string>> unpack(const fs::File& archive, Packing packing,
                                        const fs::Dir& into, UnpackLimits limits) {
  return Unpacker(archive, into, limits).run(packing);
}

}  // namespace berth::model
