// A model as Ollama's client reads it: a Docker schema 2 manifest with Ollama's layer types over
// the same blobs. Only the manifest and a small config are made; the weights are the very blob.
//
// Pure. Source: facts/oci.md B4 (Ollama 0.33's server/images.go and download.go).
#pragma once

#include <optional>
#include <string>

#include "depot/depot.h"
#include "model/model.h"

namespace berth::atlas {

struct OllamaView {
  depot::StoredManifest manifest;
  std::string config;  // has to be in the repository as a blob
  oci::Digest config_digest = oci::Digest::of({});
};

// nullopt: Ollama cannot run it (its weights are not one whole GGUF file).
std::optional<OllamaView> ollama_view(const model::Model& model, const depot::ModelFacts& facts);

}  // namespace berth::atlas
