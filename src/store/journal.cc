#include "store/journal.h"

#include <array>
#include <bit>
#include <cstddef>
#include <zlib.h>

#include "base/assert.h"

namespace berth::store {
namespace {

constexpr std::array<char, 8> kMagic = {'B', 'E', 'R', 'T', 'H', 'J', 'R', 'N'};
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kDigestText = 144;  // "sha512:" and 128 digits fit

using BootId = std::array<char, 36>;

// Of the running system: what was in the page cache of another one is gone. Zeros where it is not
// told: then every open is like one after a restart.
BootId boot_id() {
  BootId id{};
  const auto folder = fs::Dir::open("/proc/sys/kernel/random");
  if (!folder) return id;
  const auto file = folder->open_read("boot_id");  // whose size is told as 0
  BootId read{};
  const auto count =
      file ? file->read_at(0, std::as_writable_bytes(std::span(read))) : Result<std::size_t>(0);
  return count && *count == read.size() ? read : id;
}

std::uint32_t crc(const void* data, std::size_t size, std::uint32_t start) {
  return static_cast<std::uint32_t>(
      ::crc32(start, static_cast<const Bytef*>(data), static_cast<uInt>(size)));
}

template <class T>
Bytes bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

}  // namespace

// Little endian on disk, as all machines that Berth runs on.
static_assert(std::endian::native == std::endian::little);

struct Journal::Header {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t check = 0;  // of all that follows
  std::array<char, kDigestText> digest{};
  std::uint64_t blob_bytes = 0;
  std::uint64_t unit_bytes = 0;
  BootId boot{};
  std::array<char, 4> reserved{};

  Header(const oci::Descriptor& blob, std::uint64_t unit)
      : blob_bytes(blob.size), unit_bytes(unit), boot(boot_id()) {
    blob.digest.string().copy(digest.data(), digest.size() - 1);
    check = computed_check();
  }
  std::uint32_t computed_check() const {
    return crc(&digest, sizeof(Header) - offsetof(Header, digest), version);
  }
  std::uint64_t units() const { return (blob_bytes + unit_bytes - 1) / unit_bytes; }
  std::uint64_t length(std::uint64_t unit) const {
    return std::min(unit_bytes, blob_bytes - unit * unit_bytes);
  }
};

struct Journal::Record {
  std::uint64_t received = 0;
  std::uint64_t sealed = 0;
  std::uint32_t check = 0;  // of `sealed` and the unit's number
  std::uint32_t reserved = 0;

  static std::uint64_t place(std::uint64_t unit) { return sizeof(Header) + unit * sizeof(Record); }
  std::uint32_t computed_check(std::uint64_t unit) const {
    return crc(&sealed, sizeof sealed, static_cast<std::uint32_t>(unit) + 1);
  }
};

Journal::Journal(fs::File file, Header header)
    : file_(std::move(file)), held_(header.units(), 0), sealed_(header.units(), 0) {}

Result<Journal> Journal::open(const fs::Dir& root, const std::string& name,
                              const oci::Descriptor& blob, std::uint64_t unit_bytes) {
  static_assert(sizeof(Header) == 216 && sizeof(Record) == 24, "docs/dev/journal-format.md");
  const Header header(blob, unit_bytes);
  TRY(fs::File file, root.open_or_create(name));
  Journal journal(std::move(file), header);
  TRY(const bool fits, journal.fits(header));
  TRY_OK(fits ? journal.take_over(header) : journal.begin(header));
  return journal;
}

// Whether the file is one of this blob, whatever start of the machine it is from.
Result<bool> Journal::fits(const Header& wanted) {
  TRY(const fs::FileInfo info, file_.info());
  if (info.size != Record::place(wanted.units())) return false;
  Header found = wanted;
  TRY_OK(file_.read_at(0, std::as_writable_bytes(std::span(&found, 1))));
  return found.magic == kMagic && found.version == kVersion &&
         found.check == found.computed_check() && found.digest == wanted.digest &&
         found.blob_bytes == wanted.blob_bytes && found.unit_bytes == wanted.unit_bytes;
}

Status Journal::begin(const Header& header) {
  TRY_OK(file_.truncate(0));
  TRY_OK(file_.truncate(Record::place(header.units())));
  return file_.write_at(0, bytes_of(header));
}

// What an earlier process left. After a restart of the machine only what was sealed is there, and
// the records say so before the header names this start.
Status Journal::take_over(const Header& header) {
  Header found = header;
  TRY_OK(file_.read_at(0, std::as_writable_bytes(std::span(&found, 1))));
  const bool same_boot = header.boot != BootId{} && found.boot == header.boot;
  std::vector<Record> records(header.units());
  TRY_OK(file_.read_at(Record::place(0), std::as_writable_bytes(std::span(records))));
  for (std::uint64_t unit = 0; unit < records.size(); ++unit) {
    Record& record = records[unit];
    const bool right = record.check == record.computed_check(unit);
    const std::uint64_t sealed = right && record.sealed <= header.length(unit) ? record.sealed : 0;
    const std::uint64_t held = same_boot ? record.received : sealed;
    held_[unit] = held <= header.length(unit) ? held : 0;
    sealed_[unit] = sealed;
    record.received = held_[unit];
  }
  if (same_boot) return {};
  TRY_OK(file_.write_at(Record::place(0), std::as_bytes(std::span(records))));
  TRY_OK(file_.sync());
  TRY_OK(file_.write_at(0, bytes_of(header)));
  return file_.sync();
}

Status Journal::received(std::uint64_t unit, std::uint64_t bytes) {
  return file_.write_at(Record::place(unit) + offsetof(Record, received), bytes_of(bytes));
}

Status Journal::seal(const Extents& extents) {
  BERTH_ASSERT(extents.size() == sealed_.size());
  for (std::uint64_t unit = 0; unit < extents.size(); ++unit) {
    if (sealed_[unit] == extents[unit]) continue;
    Record record{.sealed = extents[unit]};
    record.check = record.computed_check(unit);
    // All but `received`, which another thread may be writing.
    TRY_OK(file_.write_at(Record::place(unit) + offsetof(Record, sealed),
                          bytes_of(record).subspan(offsetof(Record, sealed))));
    sealed_[unit] = extents[unit];
  }
  return file_.sync();
}

Status Journal::reset() {
  std::vector<Record> records(held_.size());
  TRY_OK(file_.write_at(Record::place(0), std::as_bytes(std::span(records))));
  held_.assign(held_.size(), 0);
  sealed_.assign(sealed_.size(), 0);
  return file_.sync();
}

}  // namespace berth::store
