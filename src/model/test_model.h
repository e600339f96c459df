// A temporary folder, small model files and goldens for the tests of model. Test code only.
#pragma once

#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <stdlib.h>
#include <string>
#include <vector>

#include "formats/test_gguf.h"
#include "fs/file.h"
#include "model/codec.h"
#include "model/package.h"
#include "oci/media_types.h"

namespace berth::model::testing {

class Folder {
 public:
  Folder() {
    std::string pattern = ::testing::TempDir() + "berth-model-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  Folder(const Folder&) = delete;
  ~Folder() {
    const std::size_t slash = path_.rfind('/');
    if (const auto parent = fs::Dir::open(path_.substr(0, slash))) {
      static_cast<void>(parent->remove_tree(path_.substr(slash + 1)));
    }
  }

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  // Writes a file with its folders and returns its path.
  std::string write(std::string_view name, std::string_view bytes) const {
    const fs::Dir dir = fs::Dir::open(path_).value();
    if (const std::size_t slash = name.rfind('/'); slash != std::string_view::npos) {
      dir.make_subdir(name.substr(0, slash)).value();
    }
    std::ofstream(*this / name, std::ios::binary) << bytes;
    return *this / name;
  }

 private:
  std::string path_;
};

inline std::string read_file(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

inline std::string tiny_lora(std::string_view architecture = "llama") {
  return formats::testing::GgufBuilder()
      .text("general.type", "adapter")
      .text("adapter.type", "lora")
      .text("general.architecture", architecture)
      .tensor("blk.0.attn_q.weight.lora_a", {16, 2})
      .build();
}
inline std::string tiny_mmproj() {
  return formats::testing::GgufBuilder()
      .text("general.architecture", "clip")
      .tensor("v.patch", {16, 2})
      .build();
}

// Plans and assembles, with the digests of the files as they lie on disk.
inline Result<Package> make_package(const PackageRequest& request) {
  TRY(const Plan plan, plan_package(request));
  std::vector<StoredFile> stored;
  for (const PlannedFile& file : plan.files) {
    if (file.source.empty()) continue;
    const std::string bytes = read_file(file.source);
    stored.push_back({oci::Digest::of(as_bytes(bytes)), bytes.size()});
  }
  return assemble(plan, stored);
}

inline Result<Model> read_back(const Package& package) {
  return read_model(package.manifest, oci::media::kManifest, package.config);
}

// Compares with src/model/testdata/<name>; BERTH_ACCEPT_GOLDENS=1 writes it instead.
inline void expect_golden(std::string_view name, const std::string& text) {
  const std::string path = std::string(BERTH_SOURCE_DIR "/src/model/testdata/") + std::string(name);
  if (const char* accept = ::getenv("BERTH_ACCEPT_GOLDENS");
      accept != nullptr && std::string_view(accept) == "1") {
    std::ofstream(path, std::ios::binary) << text;
    return;
  }
  EXPECT_EQ(read_file(path), text) << "if this change is meant, run with BERTH_ACCEPT_GOLDENS=1";
}

// A manifest of layers whose bytes nobody needs.
struct TestLayer {
  std::string media_type;
  oci::Annotations annotations = {};
  std::string bytes = {};
};
struct TestArtifact {
  std::string manifest;
  std::string config;
  std::string media_type = std::string(oci::media::kManifest);
};
inline TestArtifact artifact(std::string_view config_type, std::string config,
                             const std::vector<TestLayer>& layers,
                             oci::Annotations annotations = {}, std::string artifact_type = {},
                             std::string_view manifest_type = oci::media::kManifest) {
  oci::Manifest manifest{.media_type = std::string(manifest_type),
                         .artifact_type = std::move(artifact_type),
                         .config = oci::describe(config, config_type),
                         .layers = {},
                         .subject = {},
                         .annotations = std::move(annotations)};
  for (const TestLayer& layer : layers) {
    oci::Descriptor descriptor =
        oci::describe(layer.bytes.empty() ? layer.media_type : layer.bytes, layer.media_type);
    descriptor.annotations = layer.annotations;
    manifest.layers.push_back(std::move(descriptor));
  }
  return {oci::serialize(manifest), std::move(config), std::string(manifest_type)};
}
inline Result<Model> read(const TestArtifact& artifact) {
  return read_model(artifact.manifest, artifact.media_type, artifact.config);
}

}  // namespace berth::model::testing
