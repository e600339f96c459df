#include "fs/archive_library.h"

#include <cerrno>

#include "base/shared_library.h"

namespace berth::fs {
namespace {

ArchiveFunctions load() {
  const SharedLibrary library("libarchive.so.13", "libarchive13");
  ArchiveFunctions archive{};
  library.bind(archive.entry_filetype, "archive_entry_filetype");
  library.bind(archive.entry_hardlink, "archive_entry_hardlink");
  library.bind(archive.entry_pathname, "archive_entry_pathname");
  library.bind(archive.entry_pathname_utf8, "archive_entry_pathname_utf8");
  library.bind(archive.entry_perm, "archive_entry_perm");
  library.bind(archive.entry_size, "archive_entry_size");
  library.bind(archive.entry_symlink, "archive_entry_symlink");
  library.bind(archive.error_string, "archive_error_string");
  library.bind(archive.read_data_block, "archive_read_data_block");
  library.bind(archive.read_free, "archive_read_free");
  library.bind(archive.read_new, "archive_read_new");
  library.bind(archive.read_next_header, "archive_read_next_header");
  library.bind(archive.read_open, "archive_read_open");
  library.bind(archive.read_support_filter_gzip, "archive_read_support_filter_gzip");
  library.bind(archive.read_support_filter_zstd, "archive_read_support_filter_zstd");
  library.bind(archive.read_support_format_tar, "archive_read_support_format_tar");
  library.bind(archive.set_error, "archive_set_error");
  return archive;
}

}  // namespace

const ArchiveFunctions& libarchive() {
  static const ArchiveFunctions functions = load();
  return functions;
}

la_ssize_t pull_archive(archive* reader, void* data, const void** bytes) {
  auto* input = static_cast<ArchiveInput*>(data);
  auto got = input->file.read_at(input->offset, input->buffer);
  if (!got) {
    input->failure = std::move(got.error());
    libarchive().set_error(reader, EIO, "read failed");
    return -1;
  }
  input->offset += *got;
  *bytes = input->buffer.data();
  return static_cast<la_ssize_t>(*got);
}

}  // namespace berth::fs
