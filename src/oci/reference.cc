#include "oci/reference.h"

#include <algorithm>

namespace berth::oci {
namespace {

constexpr std::size_t kMaxRepository = 255;
constexpr std::size_t kMaxTag = 128;

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }

// One separator of the grammar: ".", "_", "__" or any number of "-".
bool is_separator(std::string_view text) {
  return text == "." || text == "_" || text == "__" ||
         text.find_first_not_of('-') == std::string_view::npos;
}

bool is_component(std::string_view text) {
  if (text.empty() || !is_lower_alnum(text.front()) || !is_lower_alnum(text.back())) return false;
  for (std::size_t i = 0; i < text.size();) {
    if (is_lower_alnum(text[i])) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (!is_lower_alnum(text[end])) ++end;  // ends: the last character is alphanumeric
    if (!is_separator(text.substr(i, end - i))) return false;
    i = end;
  }
  return true;
}

bool is_port(std::string_view text) {
  const auto port = parse_u64(text);
  return port && *port > 0 && *port < 65536 && text.size() <= 5;
}

bool is_ipv6_host(std::string_view text) {
  const std::size_t close = text.find(']');
  if (!text.starts_with('[') || close == std::string_view::npos) return false;
  const std::string_view inside = text.substr(1, close - 1);
  const std::string_view after = text.substr(close + 1);
  const bool address =
      inside.find(':') != std::string_view::npos &&
      inside.find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
  return address && (after.empty() || (after.starts_with(':') && is_port(after.substr(1))));
}

bool is_registry(std::string_view text) {
  if (is_ipv6_host(text)) return true;
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos && !is_port(text.substr(colon + 1))) return false;
  const std::string_view host = text.substr(0, colon);
  if (host.empty() || host.size() > 253 || !is_alnum(host.front()) || !is_alnum(host.back()))
    return false;
  if (host.find("..") != std::string_view::npos) return false;
  return std::ranges::all_of(host, [](char c) { return is_alnum(c) || c == '.' || c == '-'; });
}

// A first segment names a registry when it looks like a host: a dot, a port, an IPv6 literal, or
// localhost.
bool looks_like_registry(std::string_view segment) {
  return segment.find_first_of(".:[") != std::string_view::npos || segment == "localhost";
}

std::string canonical_registry(std::string_view text) {
  const std::string lower = to_lower(text);
  if (lower == "index.docker.io" || lower == "registry-1.docker.io") return "docker.io";
  if (lower == "hf.co") return "huggingface.co";
  return lower;
}

Result<std::optional<Digest>> take_digest(std::string_view& rest) {
  const std::size_t at = rest.find('@');
  if (at == std::string_view::npos) return std::nullopt;
  TRY(Digest digest, Digest::parse(rest.substr(at + 1)));
  rest = rest.substr(0, at);
  return digest;
}

// The tag follows the last colon that is not part of a host's port.
std::optional<std::string_view> take_tag(std::string_view& rest) {
  const std::size_t colon = rest.rfind(':');
  const std::size_t slash = rest.rfind('/');
  if (colon == std::string_view::npos || (slash != std::string_view::npos && colon < slash))
    return std::nullopt;
  const std::string_view tag = rest.substr(colon + 1);
  rest = rest.substr(0, colon);
  return tag;
}

std::string with_organisation(std::string_view repository, const std::string& registry,
                              const ReferenceDefaults& defaults, bool explicit_registry) {
  const bool plain = repository.find('/') == std::string_view::npos;
  if (plain && !explicit_registry && registry == defaults.registry)
    return defaults.organisation + "/" + to_lower(repository);
  return to_lower(repository);
}

}  // namespace

bool is_tag(std::string_view text) {
  if (text.empty() || text.size() > kMaxTag || !(is_alnum(text[0]) || text[0] == '_')) return false;
  return std::ranges::all_of(
      text, [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_repository(std::string_view text) {
  if (text.size() > kMaxRepository) return false;
  const auto parts = split(text, '/');
  return std::ranges::all_of(parts, [](const std::string& part) { return is_component(part); });
}

Result<Reference> parse_reference(std::string_view given, const ReferenceDefaults& defaults) {
  const std::string_view text = trim(given);
  if (text.empty()) return fail(Code::kInvalid, "the model name is empty");
  std::string_view rest = text;
  Reference reference;
  TRY(reference.digest, take_digest(rest));
  const std::size_t slash = rest.find('/');
  const bool explicit_registry =
      slash != std::string_view::npos && looks_like_registry(rest.substr(0, slash));
  if (explicit_registry) {
    const std::string_view host = rest.substr(0, slash);
    if (!is_registry(host)) {
      return fail(Code::kInvalid, "\"{}\" in \"{}\" is not a registry host", printable(host, 80),
                  printable(text, 200));
    }
    reference.registry = canonical_registry(host);
    rest = rest.substr(slash + 1);
  } else {
    reference.registry = defaults.registry;
  }
  const auto tag = take_tag(rest);
  if (tag && !is_tag(*tag)) {
    return fail(Code::kInvalid,
                "\"{}\" in \"{}\" is not a tag (letters, digits, _ . -, at most 128)",
                printable(*tag, 140), printable(text, 300));
  }
  reference.tag = tag ? std::string(*tag) : reference.digest ? "" : "latest";
  reference.repository = with_organisation(rest, reference.registry, defaults, explicit_registry);
  if (!is_repository(reference.repository)) {
    return fail(Code::kInvalid,
                "\"{}\" is not a model name: expected [registry/]name[:tag][@sha256:…]",
                printable(text, 300));
  }
  return reference;
}

Result<ModelName> parse_model_name(std::string_view given, const ReferenceDefaults& defaults) {
  const std::string text(trim(given));
  ModelName name{.text = text};
  const std::string lower = to_lower(text);
  const bool prefixed = lower.starts_with("sha256:");
  const std::string_view hex = std::string_view(lower).substr(prefixed ? 7 : 0);
  if (is_lower_hex(hex) && (hex.size() == 64 || (!prefixed && hex.size() == 12))) {
    name.id = IdPrefix{std::string(hex)};
    if (hex.size() == 64) return name;
  }
  auto reference = parse_reference(text, defaults);
  if (reference) {
    name.reference = std::move(*reference);
  } else if (!name.id) {
    return std::unexpected(std::move(reference.error()));
  }
  return name;
}

std::string Reference::string() const {
  std::string text = repository_string();
  if (!tag.empty()) text += ":" + tag;
  if (digest && tag.empty()) text += "@" + digest->string();
  return text;
}

std::string Reference::manifest_reference() const { return digest ? digest->string() : tag; }

std::string Reference::familiar(const ReferenceDefaults& defaults) const {
  std::string text = registry == defaults.registry ? repository : repository_string();
  const std::string organisation = defaults.organisation + "/";
  if (registry == defaults.registry && text.starts_with(organisation))
    text = text.substr(organisation.size());
  if (!tag.empty() && tag != "latest") text += ":" + tag;
  if (digest && tag.empty()) text += "@" + digest->string();
  return text;
}

bool is_plain_http_host(std::string_view registry) {
  std::string_view host = registry;
  if (!host.starts_with('[')) host = host.substr(0, host.find(':'));
  if (host.starts_with("[::1]")) return true;
  return host == "localhost" || host.ends_with(".localhost") || host.ends_with(".local") ||
         (host.starts_with("127.") && std::ranges::count(host, '.') == 3 &&
          host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace berth::oci
