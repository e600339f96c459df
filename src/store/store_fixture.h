// For tests: a store in a folder of its own, and content to put there.
#pragma once

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <string>

#include "content/memory_target.h"
#include "oci/media_types.h"
#include "rt/async.h"
#include "store/store.h"
#include "store/temp_folder.h"

namespace berth::store {

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline oci::Reference reference(const std::string& text) {
  return oci::parse_reference(text).value();
}

// A model made of the given layers, in a memory target that stands for a registry.
inline oci::Descriptor make_model(content::MemoryTarget& from,
                                  const std::vector<std::string>& layers) {
  oci::Manifest manifest;
  manifest.media_type = oci::media::kManifest;
  manifest.config = from.add("{}", "application/config+json");
  for (const std::string& layer : layers)
    manifest.layers.push_back(from.add(layer, "application/weights"));
  return from.add(oci::serialize(manifest), oci::media::kManifest);
}
inline oci::Descriptor make_index(content::MemoryTarget& from,
                                  std::vector<oci::Descriptor> manifests) {
  oci::Index index;
  index.media_type = oci::media::kIndex;
  index.manifests = std::move(manifests);
  return from.add(oci::serialize(index), oci::media::kIndex);
}

// What everyone who brings a model does: children, manifest, tag.
inline Task<Status> bring(rt::Op& op, Store& store, content::MemoryTarget& from,
                          oci::Descriptor root, std::string name) {
  content::NoProgress quiet;
  CO_TRY(const std::string bytes,
         co_await content::read_small(op, from, root, oci::kMaxManifestBytes));
  CO_TRY(const auto children, oci::children(bytes, root.media_type));
  for (const oci::Descriptor& child : children) {
    if (oci::media::is_manifest(child.media_type)) {
      CO_TRY_OK(co_await bring(op, store, from, child, ""));
    } else {
      CO_TRY_OK(co_await store.put(op, child, from, quiet));
    }
  }
  CO_TRY_OK(co_await store.put(op, root, from, quiet));
  if (name.empty()) co_return Status();
  co_return co_await store.tag(op, root, reference(name));
}

class StoreTest : public testing::Test {
 protected:
  void SetUp() override { open(); }

  void open(bool read_only = false) {
    store_.reset();
    if (!loop_) loop_.emplace();
    auto opened = Store::open(*loop_, {.root = root(), .read_only = read_only});
    ASSERT_TRUE(opened) << opened.error().message();
    store_ = std::move(*opened);
  }

  rt::Loop& loop() { return *loop_; }
  // Ends every thread, so that a child can be forked; open() goes on afterwards.
  void stop() {
    store_.reset();
    loop_.reset();
  }

  std::string root() const { return folder_.path() + "/store"; }
  std::string blob_file(const oci::Digest& digest) const {
    return root() + "/blobs/" + digest.path();
  }
  bool exists(const oci::Digest& digest) const {
    return std::filesystem::exists(blob_file(digest));
  }
  std::size_t ingests() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(root() + "/ingest"), {}));
  }

  template <class T>
  T run(Task<T> task) {
    return loop_->run(std::move(task));
  }
  Status put(const oci::Descriptor& blob) { return run(store_->put(op_, blob, from_, quiet_)); }
  Status bring(const oci::Descriptor& root, const std::string& name) {
    return run(store::bring(op_, *store_, from_, root, name));
  }
  std::optional<Found> find(const std::string& name) {
    return run(store_->find(op_, oci::parse_model_name(name).value())).value();
  }
  std::vector<Record> list() { return run(store_->list(op_)).value(); }

  TempFolder folder_;
  std::optional<rt::Loop> loop_;
  rt::Op op_;
  content::MemoryTarget from_;
  content::NoProgress quiet_;
  std::unique_ptr<Store> store_;
};

}  // namespace berth::store
