// A file as a Reader: preads on the pool in large pieces. Loop thread.
#pragma once

#include <memory>

#include "fs/file.h"
#include "rt/loop.h"
#include "rt/reader.h"

namespace berth::store {

// Reads [offset, end of file or offset + length). Ends early when the file is shorter.
std::unique_ptr<rt::Reader> make_file_reader(rt::Loop& loop, fs::File file, std::uint64_t offset,
                                             std::uint64_t length);

}  // namespace berth::store
