// libarchive's functions, loaded when the first of them is needed (base/shared_library.h): the only
// loader of it, for whoever reads archives. Any thread.
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <memory>
#include <optional>
#include <vector>

#include "fs/file.h"

namespace berth::fs {

struct ArchiveFunctions {
  decltype(&::archive_entry_filetype) entry_filetype;
  decltype(&::archive_entry_hardlink) entry_hardlink;
  decltype(&::archive_entry_pathname) entry_pathname;
  decltype(&::archive_entry_pathname_utf8) entry_pathname_utf8;
  decltype(&::archive_entry_perm) entry_perm;
  decltype(&::archive_entry_size) entry_size;
  decltype(&::archive_entry_symlink) entry_symlink;
  decltype(&::archive_error_string) error_string;
  decltype(&::archive_read_data_block) read_data_block;
  decltype(&::archive_read_free) read_free;
  decltype(&::archive_read_new) read_new;
  decltype(&::archive_read_next_header) read_next_header;
  decltype(&::archive_read_open) read_open;
  decltype(&::archive_read_support_filter_gzip) read_support_filter_gzip;
  decltype(&::archive_read_support_filter_zstd) read_support_filter_zstd;
  decltype(&::archive_read_support_format_tar) read_support_format_tar;
  decltype(&::archive_set_error) set_error;
};

const ArchiveFunctions& libarchive();

struct FreeArchive {
  void operator()(archive* reader) const { libarchive().read_free(reader); }
};
using ArchiveReader = std::unique_ptr<archive, FreeArchive>;

// What libarchive pulls its bytes from: positional reads, so that the file's offset is nobody's
// business and an archive can be gone through twice.
struct ArchiveInput {
  const File& file;
  std::uint64_t offset = 0;
  std::vector<std::byte> buffer = std::vector<std::byte>(256 * 1024);
  std::optional<Error> failure = {};
};
// The callback for read_open(), whose data is an ArchiveInput.
la_ssize_t pull_archive(archive* reader, void* input, const void** bytes);

}  // namespace berth::fs
