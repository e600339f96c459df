#include "atlas/inspector.h"

#include <algorithm>
#include <cmath>

#include "atlas/header.h"
#include "atlas/model_of.h"
#include "base/count.h"
#include "base/text.h"
#include "formats/safetensors.h"
#include "fs/file.h"
#include "model/codec.h"
#include "model/model.h"
#include "rt/async.h"

namespace berth::atlas {
namespace {

constexpr std::size_t kMostFindings = 20;
constexpr std::string_view kLicenses = "org.opencontainers.image.licenses";
constexpr std::string_view kTitle = "org.opencontainers.image.title";

// What is known so far. The headers of the weights count more than the config.
struct Findings {
  depot::ModelFacts facts;
  std::uint64_t gguf_files = 0;
  std::uint64_t split_count = 1;
  std::string class_name;  // as Hugging Face's config.json has it
  std::uint64_t class_context = 0;

  void add(std::string sentence) {
    if (facts.findings.size() < kMostFindings) facts.findings.push_back(printable(sentence, 600));
  }
};

bool has_header(const model::File& file) {
  return file.packing == model::Packing::kRaw &&
         (file.role == model::Role::kWeights || file.role == model::Role::kMmproj ||
          file.role == model::Role::kLora);
}

bool is_huggingface_config(const model::File& file) {
  return file.packing == model::Packing::kRaw && file.role == model::Role::kConfig &&
         file.path == "config.json";
}

std::string annotation_of(const oci::Annotations& annotations, std::string_view key) {
  const auto found = annotations.find(std::string(key));
  return found == annotations.end() ? "" : found->second;
}

// Configs round, and count embeddings or not; a quarter more or less is another model.
bool is_other_count(std::string_view said, std::uint64_t counted) {
  const auto count = parse_count(said);
  if (!count || counted == 0) return false;
  return std::abs(*count - static_cast<double>(counted)) > 0.25 * static_cast<double>(counted);
}

// "MOSTLY_Q4_K_M" and "IQ2_XXS/Q4_K_M" are ways to say Q4_K_M.
bool names_quantization(std::string_view said, std::string_view quantization) {
  return to_lower(said).find(to_lower(quantization)) != std::string::npos;
}

// Where the config and the weights contradict each other, somebody lies.
void compare(const model::Model& model, Findings& found) {
  const depot::ModelFacts& facts = found.facts;
  const auto differs = [&](std::string_view what, std::string_view said, std::string_view read) {
    found.add(fmt::format("its config says the {} is {}, but its weights say {}: package it again",
                          what, printable(said, 80), printable(read, 80)));
  };
  if (!model.format.empty() && !facts.format.empty() && model.format != facts.format)
    differs("format", model.format, facts.format);
  if (facts.format != "gguf") return;
  if (!model.architecture.empty() && !facts.architecture.empty() &&
      !iequals(model.architecture, facts.architecture))
    differs("architecture", model.architecture, facts.architecture);
  if (!model.quantization.empty() && !facts.quantization.empty() &&
      !names_quantization(model.quantization, facts.quantization))
    differs("quantization", model.quantization, facts.quantization);
  if (is_other_count(model.parameters, facts.parameters))
    differs("number of parameters", model.parameters,
            format_count(static_cast<double>(facts.parameters)));
  if (model.context_length && facts.context_length != 0 &&
      *model.context_length != facts.context_length)
    differs("context length", fmt::to_string(*model.context_length),
            fmt::to_string(facts.context_length));
  if (found.split_count > 1 && found.split_count != found.gguf_files) {
    found.add(fmt::format("its weights are split in {} files, and the manifest names {}: push all",
                          found.split_count, found.gguf_files));
  }
}

void take(const model::File& file, const Header& header, Findings& found) {
  if (file.role != model::Role::kWeights) return;
  depot::ModelFacts& facts = found.facts;
  const auto first = [](std::string& kept, const std::string& read) {
    if (kept.empty()) kept = printable(read, 200);
  };
  first(facts.format, header.format);
  first(facts.name, header.name);
  first(facts.architecture, header.architecture);
  first(facts.license, header.license);
  first(facts.quantization, header.quantization);
  if (__builtin_add_overflow(facts.parameters, header.parameters, &facts.parameters))
    facts.parameters = INT64_MAX;
  if (facts.context_length == 0) facts.context_length = header.context_length;
  if (header.format == "gguf") ++found.gguf_files;
  found.split_count = std::max(found.split_count, header.split_count);
}

// What the headers did not say.
void complete(const model::Model& model, Findings& found) {
  depot::ModelFacts& facts = found.facts;
  const auto otherwise = [](std::string& kept, const std::string& said) {
    if (kept.empty()) kept = printable(said, 200);
  };
  otherwise(facts.format, model.format);
  otherwise(facts.architecture, found.class_name);
  otherwise(facts.architecture, model.architecture);
  otherwise(facts.quantization, model.quantization);
  otherwise(facts.name, annotation_of(model.annotations, kTitle));
  otherwise(facts.license, fmt::format("{}", fmt::join(model.licenses, ", ")));
  otherwise(facts.license, annotation_of(model.annotations, kLicenses));
  if (facts.parameters == 0)
    facts.parameters =
        static_cast<std::uint64_t>(std::min(parse_count(model.parameters).value_or(0), 1e18));
  if (facts.context_length == 0) facts.context_length = found.class_context;
  if (facts.context_length == 0) facts.context_length = model.context_length.value_or(0);
  facts.size = model.size;
}

void read_file(const model::File& file, const fs::File& blob, std::uint64_t size, Findings& found) {
  if (size != file.descriptor.size) {
    found.add(fmt::format("the manifest says that {} has {} bytes, but it has {}", shown(file),
                          file.descriptor.size, size));
  }
  if (is_huggingface_config(file)) {
    const auto text = read_whole(blob, size, model::kMaxConfigBytes);
    const auto config =
        text ? formats::read_huggingface_config(*text) : std::unexpected(text.error());
    if (!config) {
      found.add(fmt::format("{}: {}", shown(file), printable(config.error().message(), 300)));
      return;
    }
    found.class_name = printable(config->architecture, 200);
    found.class_context = config->context_length.value_or(0);
    return;
  }
  const auto header = read_header(file, blob);
  if (!header) {
    found.add(header.error().message());
  } else if (*header) {
    take(file, **header, found);
  }
}

}  // namespace

rt::Task<Result<std::optional<depot::ModelFacts>>> Inspector::inspect(
    rt::Op& op, std::string repository, std::shared_ptr<const depot::StoredManifest> stored) {
  Findings found;
  const auto read = co_await model_of(op, loop_, blobs_, repository, std::move(stored));
  if (!read && read.error().code() != Code::kInvalid) co_return std::unexpected(read.error());
  if (!read) {
    found.add(read.error().message());
    co_return std::move(found.facts);
  }
  const std::optional<model::Model>& model = *read;
  if (!model) co_return std::nullopt;
  for (const model::File& file : model->files) {
    if (!has_header(file) && !is_huggingface_config(file)) continue;
    CO_TRY_OK(op.check());
    CO_TRY(auto blob, co_await blobs_.open_blob(op, repository, file.descriptor.digest));
    if (!blob) {
      found.add(
          fmt::format("{} is not in the repository: push it and the manifest again", shown(file)));
      continue;
    }
    const std::uint64_t size = blob->size;
    const fs::File opened(std::move(blob->file), file.path);
    CO_TRY_OK(co_await rt::blocking(loop_, [&]() -> Status {
      read_file(file, opened, size, found);
      return {};
    }));
  }
  compare(*model, found);
  complete(*model, found);
  co_return std::move(found.facts);
}

}  // namespace berth::atlas
