// A stored manifest as a model: what its manifest and config say.
//
// Loop thread; disk and parsing on the pool.
#pragma once

#include <memory>
#include <optional>

#include "depot/depot.h"
#include "fs/file.h"
#include "model/model.h"
#include "rt/loop.h"

namespace berth::atlas {

// nullopt: it is no model. kInvalid, with a sentence for whoever pushed it: its config is missing,
// or one of the two is malformed.
rt::Task<Result<std::optional<model::Model>>> model_of(
    rt::Op& op, rt::Loop& loop, depot::Blobs& blobs, std::string repository,
    std::shared_ptr<const depot::StoredManifest> stored);

// Blocking. kTooLarge over `most` bytes.
Result<std::string> read_whole(const fs::File& file, std::uint64_t size, std::size_t most);

}  // namespace berth::atlas
