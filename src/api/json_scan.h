// Finds a few members in JSON text without building it: request and answer bodies pass through
// unchanged, however long they are. Pure. Private to api.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::api {

// The string member `key` of the object that `text` is. nullopt when it is absent, kInvalid when
// the text is no object, `key` is no string or there twice, or the nesting is deeper than 64. What
// else the text holds is the engine's to check.
Result<std::optional<std::string>> top_level_string(std::string_view text, std::string_view key);

// Replaces the value of the first member "model" of compact JSON. An unescaped "model": can only be
// a key, so the text of an answer, which is inside a string, is never touched. `quoted_model` is
// what json_quoted() makes of it, once for all the events of a stream.
void replace_model(std::string& text, std::string_view quoted_model);
std::string json_quoted(std::string_view text);  // as a JSON string

// The number after the last `"key":`.
std::optional<std::uint64_t> last_number(std::string_view text, std::string_view key);

}  // namespace berth::api
