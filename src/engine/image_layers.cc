#include "engine/image_layers.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "base/text.h"
#include "fs/archive_library.h"

namespace berth::engine {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

// The entries of one layer, from its beginning.
class Entries {
 public:
  explicit Entries(const fs::File& layer) : input_{layer}, reader_(fs::libarchive().read_new()) {}

  Status open() {
    fs::libarchive().read_support_format_tar(reader_.get());
    fs::libarchive().read_support_filter_gzip(reader_.get());
    fs::libarchive().read_support_filter_zstd(reader_.get());
    if (fs::libarchive().read_open(reader_.get(), &input_, nullptr, fs::pull_archive, nullptr) !=
        ARCHIVE_OK)
      return broken();
    return {};
  }

  // nullptr at the end. A name that is not in the locale's letters is only a warning: the bytes are
  // what counts.
  Result<archive_entry*> next() {
    archive_entry* entry = nullptr;
    const int state = fs::libarchive().read_next_header(reader_.get(), &entry);
    if (state == ARCHIVE_EOF) return nullptr;
    if (state != ARCHIVE_OK && state != ARCHIVE_WARN) return broken();
    return entry;
  }

  Status write_blocks(fs::File& file, std::uint64_t size) {
    for (;;) {
      const void* data = nullptr;
      std::size_t length = 0;
      la_int64_t offset = 0;
      const int state = fs::libarchive().read_data_block(reader_.get(), &data, &length, &offset);
      if (state == ARCHIVE_EOF) return file.truncate(size);  // sparse entries end in a hole
      if (state != ARCHIVE_OK) return broken();
      const auto at = static_cast<std::uint64_t>(offset);
      if (offset < 0 || at > size || length > size - at)
        return fail(Code::kCorrupt, "a layer of the image holds more of a file than it declares");
      TRY_OK(file.write_at(at, Bytes(static_cast<const std::byte*>(data), length)));
    }
  }

 private:
  std::unexpected<Error> broken() {
    if (input_.failure) return std::unexpected(std::move(*input_.failure));
    const char* reason = fs::libarchive().error_string(reader_.get());
    return fail(Code::kCorrupt, "a layer of the image cannot be read: {}",
                printable(reason == nullptr ? "damaged" : reason, 200));
  }

  fs::ArchiveInput input_;
  fs::ArchiveReader reader_;
};

std::string_view text_or_empty(const char* text) { return text == nullptr ? "" : text; }

// "./a/b/" -> "a/b"; "" for the root itself.
std::string clean(std::string_view name) {
  while (name.starts_with("./")) name.remove_prefix(2);
  while (name.ends_with('/')) name.remove_suffix(1);
  return std::string(name == "." ? "" : name);
}

std::string name_of(archive_entry* entry) {
  const char* utf8 = fs::libarchive().entry_pathname_utf8(entry);
  return clean(text_or_empty(utf8 != nullptr ? utf8 : fs::libarchive().entry_pathname(entry)));
}

Status check_name(const std::string& path) {
  const Status safe = fs::check_relative_path(path);
  if (safe) return {};
  return fail(Code::kCorrupt, "a layer of the image has an unsafe name: {}",
              safe.error().message());
}

std::pair<std::string, std::string> split_name(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

// What a name stands for, links not followed; nullopt when there is nothing.
enum class There { kFolder, kFile, kOther };
Result<std::optional<There>> look(const fs::Dir& dir, const std::string& name) {
  struct stat info{};
  if (::fstatat(dir.fd(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return std::nullopt;
    return fail_errno(errno, fmt::format("cannot look at {}", printable(name, 200)));
  }
  return S_ISDIR(info.st_mode)   ? There::kFolder
         : S_ISREG(info.st_mode) ? There::kFile
                                 : There::kOther;
}

enum class Absent { kIsMade, kIsSkipped };

// One component after the other: a link in the middle is never followed.
Result<std::optional<fs::Dir>> folder_at(const fs::Dir& root, const std::string& path,
                                         Absent absent) {
  TRY(fs::Dir at, fs::Dir::open(root.path()));
  if (path.empty()) return std::optional(std::move(at));
  for (const std::string& part : split(path, '/')) {
    if (absent == Absent::kIsSkipped) {
      auto next = at.subdir(part);
      if (!next) return std::nullopt;
      at = std::move(*next);
      continue;
    }
    TRY(const auto there, look(at, part));
    if (there && *there != There::kFolder) {
      return fail(Code::kCorrupt,
                  "a layer of the image writes below {}, which is a link or a file there",
                  printable(path, 200));
    }
    TRY(at, at.make_subdir(part, 0755));
  }
  return std::optional(std::move(at));
}

// ---- whiteouts ---------------------------------------------------------------------------------

// They hide what the layers below have, so they come before everything of their own layer.
Status hide(const fs::Dir& root, const std::string& path) {
  const auto [folder, name] = split_name(path);
  const std::string hidden = name.substr(kWhiteout.size());
  if (name != kOpaque) TRY_OK(check_name(hidden));
  TRY(const auto parent, folder_at(root, folder, Absent::kIsSkipped));
  if (!parent) return {};
  if (name == kOpaque) {
    TRY(const auto children, parent->list());
    for (const std::string& child : children) TRY_OK(parent->remove_tree(child));
    return {};
  }
  return parent->remove_tree(hidden);
}

bool is_whiteout(const std::string& path) { return split_name(path).second.starts_with(kWhiteout); }

// ---- what a layer brings -----------------------------------------------------------------------

Status make_way(const fs::Dir& parent, const std::string& name) {
  TRY(const auto there, look(parent, name));
  return there ? parent.remove_tree(name) : Status();
}

Status put_folder(const fs::Dir& root, const std::string& path) {
  const auto [folder, name] = split_name(path);
  TRY(const auto parent, folder_at(root, folder, Absent::kIsMade));
  TRY(const auto there, look(*parent, name));
  if (there == There::kFolder) return {};
  if (there) TRY_OK(parent->remove_tree(name));
  TRY(const fs::Dir made, parent->make_subdir(name, 0755));
  return {};
}

Status put_file(const fs::Dir& parent, const std::string& name, archive_entry* entry,
                std::uint64_t size, Entries& entries) {
  TRY_OK(make_way(parent, name));
  const bool runs = (fs::libarchive().entry_perm(entry) & 0111) != 0;
  TRY(fs::File file, parent.create_new(name, runs ? 0755 : 0644));
  return entries.write_blocks(file, size);
}

Status put_link(const fs::Dir& parent, const std::string& name, std::string_view target) {
  if (target.empty() || target.size() > fs::kMaxPath || target.find('\0') != std::string_view::npos)
    return fail(Code::kCorrupt, "a layer of the image has a link {} to nowhere",
                printable(name, 200));
  TRY_OK(make_way(parent, name));
  if (::symlinkat(std::string(target).c_str(), parent.fd(), name.c_str()) == 0) return {};
  return fail_errno(errno, fmt::format("cannot make the link {}", printable(name, 200)));
}

Status put_second_name(const fs::Dir& root, const fs::Dir& parent, const std::string& name,
                       const std::string& target) {
  TRY_OK(check_name(target));
  const auto [folder, first] = split_name(target);
  TRY(const auto source, folder_at(root, folder, Absent::kIsSkipped));
  std::optional<There> there;
  if (source) {
    TRY(there, look(*source, first));
  }
  if (there != There::kFile) {
    return fail(Code::kCorrupt, "a layer of the image gives {} a second name, which is no file",
                printable(target, 200));
  }
  if (source->path() == parent.path() && first == name) return {};
  TRY_OK(make_way(parent, name));
  return source->link(first, parent, name);
}

Status put(const fs::Dir& root, const std::string& path, archive_entry* entry, std::uint64_t size,
           Entries& entries) {
  const char* second = fs::libarchive().entry_hardlink(entry);
  const auto type = fs::libarchive().entry_filetype(entry);
  if (second == nullptr && type == AE_IFDIR) return put_folder(root, path);
  const auto [folder, name] = split_name(path);
  TRY(const auto parent, folder_at(root, folder, Absent::kIsMade));
  if (second != nullptr) return put_second_name(root, *parent, name, clean(second));
  if (type == AE_IFREG) return put_file(*parent, name, entry, size, entries);
  if (type == AE_IFLNK)
    return put_link(*parent, name, text_or_empty(fs::libarchive().entry_symlink(entry)));
  return fail(Code::kCorrupt,
              "a layer of the image holds {}, which is a device or a pipe: an engine needs none",
              printable(path, 200));
}

Status too_large(std::string_view what) {
  return fail(Code::kTooLarge, "the image would unpack to {}, more than an engine may be", what);
}

Status take_from(std::uint64_t& left, std::uint64_t amount, std::string_view what) {
  if (amount > left) return too_large(what);
  left -= amount;
  return {};
}

}  // namespace

Status ImageLayers::apply(const fs::File& layer) {
  TRY(const fs::FileInfo info, layer.info());
  std::uint64_t of_this = 0;
  if (__builtin_mul_overflow(info.size, limits_.ratio, &of_this) ||
      __builtin_add_overflow(of_this, limits_.free_bytes, &of_this))
    of_this = limits_.bytes;
  std::uint64_t seen = 0;
  Entries first(layer);
  TRY_OK(first.open());
  for (;;) {
    TRY(archive_entry* const entry, first.next());
    if (entry == nullptr) break;
    if (++seen > limits_.entries) return too_large("too many files");
    const std::string path = name_of(entry);
    if (!path.empty()) TRY_OK(check_name(path));
    // Skipping what is declared unpacks it as well: counted before it is done.
    const la_int64_t declared = std::max<la_int64_t>(fs::libarchive().entry_size(entry), 0);
    const auto size = static_cast<std::uint64_t>(declared);
    TRY_OK(take_from(of_this, size, "far more than its packed bytes account for"));
    TRY_OK(take_from(limits_.bytes, size, "too many bytes"));
    if (is_whiteout(path)) TRY_OK(hide(root_, path));
  }
  TRY_OK(take_from(limits_.entries, seen, "too many files"));
  Entries second(layer);
  TRY_OK(second.open());
  for (;;) {
    TRY(archive_entry* const entry, second.next());
    if (entry == nullptr) return {};
    const std::string path = name_of(entry);
    if (path.empty() || is_whiteout(path)) continue;
    const auto size =
        static_cast<std::uint64_t>(std::max<la_int64_t>(fs::libarchive().entry_size(entry), 0));
    TRY_OK(put(root_, path, entry, size, second));
  }
}

}  // namespace berth::engine
