#include "engine/explain.h"

#include <csignal>
#include <string>

#include "base/text.h"
#include "engine/sandbox.h"

namespace berth::engine {
namespace {

constexpr std::size_t kShownLines = 8;

struct Pattern {
  std::string_view needle;
  Code code;
  std::string_view sentence;
};

// The first that is found counts: causes before their consequences.
constexpr Pattern kPatterns[] = {
    {"unknown model architecture", Code::kUnsupported,
     "the engine does not know this model's architecture: install a newer one with berth "
     "install-runner"},
    {"failed to allocate", Code::kExhausted,
     "the engine could not get the memory it needs: use a smaller context or model"},
    {"unable to allocate", Code::kExhausted,
     "the engine could not get the memory it needs: use a smaller context or model"},
    {"cudaMalloc failed", Code::kExhausted,
     "the GPU has too little free memory: use fewer layers on it (--gpu none) or a smaller "
     "context"},
    {"ErrorOutOfDeviceMemory", Code::kExhausted,
     "the GPU has too little free memory: use fewer layers on it (--gpu none) or a smaller "
     "context"},
    {"std::bad_alloc", Code::kExhausted,
     "the engine could not get the memory it needs: use a smaller context or model"},
    {"out of memory", Code::kExhausted,
     "the engine could not get the memory it needs: use a smaller context or model"},
    {"no backends are loaded", Code::kUnsupported,
     "the engine has no backend for this machine's processor"},
    {"error while handling argument", Code::kInvalid, "the engine refused one of its options"},
    {"invalid argument:", Code::kInvalid, "the engine refused one of its options"},
    {"failed to load model", Code::kCorrupt, "the engine cannot load the model"},
    {"error loading model", Code::kCorrupt, "the engine cannot load the model"},
    {"failed to parse chat template", Code::kCorrupt, "the engine cannot use the chat template"},
    {"error while loading shared libraries", Code::kUnsupported,
     "the engine's libraries are missing: install one with berth install-runner"},
};

// A killed process inside bwrap is 128 + the signal.
bool was_killed(const process::ExitStatus& status) {
  return status.signal == SIGKILL || status.code == 128 + SIGKILL;
}

Error with_lines(Code code, std::string_view sentence, const process::Tail& output) {
  const std::string lines = output.last_lines(kShownLines);
  if (lines.empty()) return {code, std::string(sentence)};
  std::string shown;
  for (const std::string& line : split(lines, '\n')) shown += "\n  " + printable(line, 300);
  return {code, fmt::format("{}; its last lines:{}", sentence, shown)};
}

std::string_view line_with(std::string_view text, std::string_view needle) {
  const std::size_t at = text.find(needle);
  const std::size_t begin = text.rfind('\n', at) + 1;
  return text.substr(begin, text.find('\n', at) - begin);
}

}  // namespace

Error explain_end(const process::ExitStatus& status, const process::Tail& output,
                  bool out_of_memory) {
  const std::string text = output.text();
  if (out_of_memory) {
    return with_lines(Code::kExhausted,
                      "the engine was stopped because it used more memory than its limit: use a "
                      "smaller context or model",
                      output);
  }
  if (text.starts_with("bwrap: ") && text.find("execvp") == std::string::npos) {
    return sandbox_refused(line_with(text, "bwrap: ").substr(7));
  }
  for (const Pattern& pattern : kPatterns) {
    if (text.find(pattern.needle) == std::string::npos) continue;
    const std::string_view words = trim(line_with(text, pattern.needle));
    return with_lines(pattern.code,
                      fmt::format("{} (\"{}\")", pattern.sentence, printable(words, 200)), output);
  }
  if (was_killed(status)) {
    return with_lines(Code::kUnavailable,
                      "the engine was killed, perhaps because the machine ran out of memory",
                      output);
  }
  return with_lines(Code::kUnavailable,
                    fmt::format("the engine ended by itself ({})", status.to_string()), output);
}

}  // namespace berth::engine
