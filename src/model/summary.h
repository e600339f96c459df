// The few facts of a model that listings show, as text for the store's cache: no gguf map, no file
// list. Pure; quick, because a listing reads one for every model. Failure: kCorrupt for text that
// this Berth did not write (the caller then reads the model again).
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "model/model.h"

namespace berth::model {

struct Summary {
  Kind kind = Kind::kDockerV01;
  std::string format;
  std::string architecture;
  std::string parameters;
  std::string quantization;
  std::uint64_t size = 0;
  std::string config_size;  // "98.36MB": the size as the model's config says it
  std::optional<std::uint64_t> context_size;
  std::optional<std::uint64_t> context_length;
  std::optional<std::chrono::sys_seconds> created;
  oci::Digest config = oci::Digest::of({});

  friend bool operator==(const Summary&, const Summary&) = default;
};

Summary summarize(const Model& model);
std::string to_text(const Summary& summary);
Result<Summary> summary_from_text(std::string_view text);

}  // namespace berth::model
