// Folders with models in them: an existing Docker Model Runner store, or an OCI image layout. Read
// only; nothing there is trusted, blobs are verified by whoever takes them.
//
// Failure: kCorrupt with the file that is wrong, kNotFound when the folder is neither, kUnsupported
// for another layout version.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "content/content.h"
#include "fs/file.h"
#include "rt/loop.h"

namespace berth::model {

struct FolderModel {
  oci::Descriptor manifest;
  std::vector<std::string> names;  // tags as written there, unchecked text
  // Why this one cannot be taken (its manifest is gone or damaged), else "". The others can.
  std::string problem;
};

// The models of a folder. Blocking (pool).
Result<std::vector<FolderModel>> read_model_folder(const fs::Dir& folder);

// Blobs and manifests of such a folder. Loop thread; the folder must outlive it.
std::unique_ptr<content::Fetcher> folder_fetcher(rt::Loop& loop, const fs::Dir& folder);

}  // namespace berth::model
