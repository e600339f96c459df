// Why an engine ended, from its last words.
#include "engine/explain.h"

#include "engine/engine_fixture.h"

namespace berth::engine {
namespace {

Error explained(std::string_view text, process::ExitStatus status = {.code = 1}, bool oom = false) {
  process::Tail tail;
  tail.append(text);
  return explain_end(status, tail, oom);
}

TEST(Explain, CausesBeforeConsequences) {
  const Error unknown =
      explained("I loading\nE unknown model architecture: 'xyz'\nE failed to load model\n");
  EXPECT_EQ(unknown.code(), Code::kUnsupported);
  EXPECT_NE(unknown.message().find("'xyz'"), std::string::npos);
  EXPECT_EQ(explained("E failed to load model\n").code(), Code::kCorrupt);
  EXPECT_EQ(explained("ggml: failed to allocate buffer\nE failed to load model\n").code(),
            Code::kExhausted);
  EXPECT_EQ(explained("error while handling argument \"-x\"\n").code(), Code::kInvalid);
}
TEST(Explain, ForbiddenNamespacesNameTheWayOut) {
  const Error error = explained("bwrap: setting up uid map: Permission denied\n");
  EXPECT_EQ(error.code(), Code::kDenied);
  EXPECT_NE(error.message().find("--no-sandbox"), std::string::npos);
  EXPECT_NE(error.message().find("uid map"), std::string::npos);
}
TEST(Explain, AFileThatWentAwayIsNoForbiddenSandbox) {
  const Error error =
      explained("bwrap: Can't find source path /x/model: No such file or directory\n");
  EXPECT_EQ(error.code(), Code::kUnavailable);
  EXPECT_EQ(error.message().find("--no-sandbox"), std::string::npos);
  EXPECT_NE(error.message().find("/x/model"), std::string::npos);
}
TEST(Explain, KilledForMemoryOrByAnyone) {
  EXPECT_EQ(explained("", {.signal = 9}, true).code(), Code::kExhausted);
  EXPECT_NE(explained("", {.code = 137}).message().find("killed"), std::string::npos);
}
TEST(Explain, LastLinesArePrintable) {
  const Error error = explained("a\x1b[2Jb\n");
  EXPECT_EQ(error.code(), Code::kUnavailable);
  EXPECT_EQ(error.message().find('\x1b'), std::string::npos);
  EXPECT_NE(error.message().find("last lines"), std::string::npos);
}

}  // namespace
}  // namespace berth::engine
