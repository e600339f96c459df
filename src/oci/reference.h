// Names of models: what a user types, and what it means. Docker Model Runner's rules (facts 3.4):
// trim; hf.co is huggingface.co; an id or its prefix; else [registry/]repository[:tag][@digest]
// with `ai/` and `latest` by default.
//
// Pure, thread-safe. Failure: kInvalid with the part that is wrong. Grammar: distribution-spec 1.1
// (names, tags).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/error.h"
#include "oci/digest.h"

namespace berth::oci {

struct ReferenceDefaults {
  std::string registry = "docker.io";  // DEFAULT_REGISTRY
  std::string organisation = "ai";
};

struct Reference {
  std::string registry;    // "docker.io", "localhost:5000"
  std::string repository;  // "ai/smollm2"
  std::string tag;         // "" only when a digest is given without a tag
  std::optional<Digest> digest;

  // Fully qualified: docker.io/ai/smollm2:latest, or …@sha256:… when there is a digest and no tag.
  std::string string() const;
  std::string repository_string() const { return registry + "/" + repository; }
  // What goes into /v2/<name>/manifests/<this>: the digest when there is one, else the tag.
  std::string manifest_reference() const;
  // As listings show it: without the default registry, `ai/` and `:latest`.
  std::string familiar(const ReferenceDefaults& defaults = {}) const;

  friend auto operator<=>(const Reference&, const Reference&) = default;
};

// A whole reference; ids are not looked at ("012345678901" is the repository ai/012345678901).
Result<Reference> parse_reference(std::string_view text, const ReferenceDefaults& defaults = {});

// 12 to 64 hex characters of a model id, lower case.
struct IdPrefix {
  std::string hex;
};

// What a user or an API client calls a model that may be local: an id (12 or 64 hex, or sha256:64
// hex) or a reference. A 12-hex name is both; the caller tries the id first.
struct ModelName {
  std::optional<IdPrefix> id;
  std::optional<Reference> reference;
  std::string text;  // as given, trimmed
};
Result<ModelName> parse_model_name(std::string_view text, const ReferenceDefaults& defaults = {});

bool is_tag(std::string_view text);  // [A-Za-z0-9_][A-Za-z0-9._-]{0,127}
bool is_repository(
    std::string_view text);  // path components of [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*, at most 255

// Whether plain HTTP is used without being asked for: localhost, *.localhost, 127.0.0.0/8, [::1],
// *.local.
bool is_plain_http_host(std::string_view registry);

}  // namespace berth::oci
