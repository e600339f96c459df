// What an engine is started with: arguments, what it sees, what stays behind.
#include "base/text.h"
#include "engine/engine_fixture.h"

namespace berth::engine {
namespace {

std::vector<std::string> arguments(const LaunchRequest& request, const std::string& root = "/r") {
  return llama_arguments({.program = root + "/usr/bin/llama-server", .root = root}, request, {},
                         {"/models", "/run/berth/s.sock"}, context_of(request));
}

TEST(Arguments, HoldModelSocketAndContext) {
  const auto words = arguments(tiny_request());
  EXPECT_TRUE(holds(words, {"--model", "/models/model.gguf", "--host", "/run/berth/s.sock"}));
  EXPECT_TRUE(holds(words, {"--ctx-size", "2048"}));
  EXPECT_TRUE(holds(words, {"--jinja"}));
  EXPECT_TRUE(holds(words, {"--metrics", "--no-webui"}));
  EXPECT_TRUE(holds(words, {"--cache-ram", "256"}));
  EXPECT_FALSE(holds(words, {"--embeddings"}));
}

TEST(Arguments, HoldEveryFileOfTheArtifact) {
  LaunchRequest request = tiny_request();
  request.files.projector = {"/s/1", "mmproj.gguf"};
  request.files.adapters = {{"/s/2", "a.gguf"}, {"/s/3", "b.gguf"}};
  request.files.chat_template = {"/s/4", "template.jinja"};
  request.files.draft = {"/s/5", "draft.gguf"};
  const auto words = arguments(request);
  EXPECT_TRUE(holds(words, {"--mmproj", "/models/mmproj.gguf"}));
  EXPECT_TRUE(holds(words, {"--lora", "/models/a.gguf,/models/b.gguf"}));
  EXPECT_TRUE(holds(words, {"--chat-template-file", "/models/template.jinja"}));
  EXPECT_TRUE(holds(words, {"--model-draft", "/models/draft.gguf"}));
  EXPECT_LT(std::ranges::find(words, "--jinja"), std::ranges::find(words, "--chat-template-file"));
}

TEST(Arguments, SayTheMode) {
  LaunchRequest request = tiny_request();
  request.options.mode = Mode::kEmbedding;
  EXPECT_TRUE(holds(arguments(request), {"--embeddings"}));
  request.options.mode = Mode::kReranking;
  EXPECT_TRUE(holds(arguments(request), {"--embeddings", "--reranking"}));
}

TEST(Arguments, AForeignBinaryGetsNoNewFlags) {
  const auto words = llama_arguments({.program = "/usr/bin/llama-server"}, tiny_request(), {},
                                     {"/models", "/s"}, 100);
  EXPECT_FALSE(holds(words, {"--fit"}));
  EXPECT_FALSE(holds(words, {"--cache-ram"}));
}

TEST(Arguments, NoGpuMeansNoDevice) {
  LaunchRequest request = tiny_request();
  request.gpu = GpuChoice::kNone;
  EXPECT_TRUE(holds(arguments(request), {"--device", "none"}));
}

TEST_F(Launching, ADraftModelIsBoundAndUsed) {
  LaunchRequest request = tiny_request();
  request.files.draft = {"/s/5", "draft/model-00001-of-00002.gguf"};
  request.files.draft_shards = {{"/s/6", "draft/model-00002-of-00002.gguf"}};
  request.options.draft_max = 6;
  const auto launched = launch(request);
  ASSERT_TRUE(launched) << launched.error().message();
  const auto& words = launched->command.arguments;
  EXPECT_TRUE(holds(words, {"--ro-bind", "/s/5", "/models/draft/model-00001-of-00002.gguf"}));
  EXPECT_TRUE(holds(words, {"--ro-bind", "/s/6", "/models/draft/model-00002-of-00002.gguf"}));
  EXPECT_TRUE(holds(words, {"--spec-draft-n-max", "6"}));
  const std::pair<std::string, std::string> how{"LLAMA_ARG_SPEC_TYPE", "draft-simple"};
  EXPECT_EQ(std::ranges::count(launched->command.environment, how), 1);
  const auto plain = launch(tiny_request());
  EXPECT_EQ(std::ranges::count(plain->command.environment, how), 0);
}

TEST_F(Launching, TheSandboxSeesTheModelAndLittleElse) {
  const auto launched = launch(tiny_request());
  ASSERT_TRUE(launched) << launched.error().message();
  const auto& words = launched->command.arguments;
  EXPECT_EQ(launched->command.program, "/usr/bin/bwrap");
  for (const char* word : {"--unshare-all", "--die-with-parent", "--seccomp"}) {
    EXPECT_TRUE(holds(words, {word})) << word;
  }
  EXPECT_TRUE(holds(words, {"--cap-drop", "ALL"}));
  EXPECT_TRUE(holds(words, {"--ro-bind", folder + "/root/usr", "/usr"}));
  EXPECT_TRUE(holds(words, {"--ro-bind", "/store/blobs/abc", "/models/model.gguf"}));
  EXPECT_TRUE(holds(words, {"--tmpfs", "/tmp"}));
  EXPECT_TRUE(holds(words, {"--", "/usr/bin/llama-server", "--model", "/models/model.gguf"}));
  // One folder to write to, and no more.
  EXPECT_EQ(std::ranges::count(words, "--bind"), 1);
  EXPECT_FALSE(holds(words, {"--share-net"}));
  EXPECT_EQ(launched->command.fds.size(), 1u);
  for (const auto& [name, value] : launched->command.environment) {
    EXPECT_TRUE(name == "PATH" || name == "HOME" || name == "TMPDIR" || name == "LANG") << name;
  }
}

TEST_F(Launching, TheRuntimeFolderGoesWithTheLaunch) {
  std::string runtime;
  {
    const auto launched = launch(tiny_request());
    runtime = files::path(launched->socket).parent_path();
    struct stat info{};
    ASSERT_EQ(::stat(runtime.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700u);
    EXPECT_LE(launched->socket.size(), kMaxSocketPath);
  }
  EXPECT_FALSE(files::exists(runtime));
}

TEST_F(Launching, WhatAKilledProcessLeftIsRemovedAndWhatIsUsedStays) {
  put("run/e-dead00/.lock");
  put("run/e-dead00/s.sock");
  put("run/other/.lock");
  const auto used = launch(tiny_request());
  ASSERT_TRUE(used) << used.error().message();
  EXPECT_FALSE(files::exists(folder + "/run/e-dead00"));
  EXPECT_TRUE(files::exists(folder + "/run/other"));
  const auto second = launch(tiny_request());
  EXPECT_TRUE(files::exists(files::path(used->socket).parent_path()));
  EXPECT_TRUE(files::exists(files::path(second->socket).parent_path()));
}

TEST_F(Launching, WithoutTheSandboxTheLoaderRunsItUnderTheFilter) {
  put("root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
  LaunchRequest request = tiny_request();
  request.isolation = Isolation::kNone;
  const auto launched = launch(request);
  ASSERT_TRUE(launched) << launched.error().message();
  EXPECT_TRUE(launched->command.program.ends_with("/ld-linux-x86-64.so.2"));
  EXPECT_TRUE(launched->command.filter != nullptr);
  EXPECT_TRUE(holds(launched->command.arguments, {"--library-path"}));
  const files::path model = files::path(launched->socket).parent_path() / "models/model.gguf";
  EXPECT_EQ(files::read_symlink(model), "/store/blobs/abc");
  EXPECT_EQ(launched->sandbox[0].second, "off (--no-sandbox)");
}

TEST_F(Launching, NamesThatLeaveTheirFolderAreRefused) {
  for (const char* name : {"../x", "/etc/passwd", "a/../../b", "", "a//b", "a\nb", "."}) {
    LaunchRequest request = tiny_request();
    request.files.model.name = name;
    const auto launched = launch(request);
    EXPECT_FALSE(launched) << name;
  }
}

TEST_F(Launching, TwoFilesOfOneNameAreRefused) {
  LaunchRequest request = tiny_request();
  request.files.adapters = {{"/s/2", "model.gguf"}};
  EXPECT_EQ(launch(request).error().code(), Code::kInvalid);
}

TEST_F(Launching, AnAdapterWithACommaIsRefused) {
  LaunchRequest request = tiny_request();
  request.files.adapters = {{"/s/2", "a,b.gguf"}};
  EXPECT_EQ(launch(request).error().code(), Code::kInvalid);
}

TEST_F(Launching, ARelativeHostPathIsRefused) {
  LaunchRequest request = tiny_request();
  request.files.model.host = "blob";
  EXPECT_EQ(launch(request).error().code(), Code::kInvalid);
}

TEST_F(Launching, ATooLongRuntimePathIsRefusedWithASentence) {
  put_root("root");
  const auto launched =
      make_launch(*root_at(folder + "/root", Installation::Origin::kConfigured),
                  {folder + "/" + std::string(100, 'x'), "/usr/bin/bwrap", "/"}, tiny_request());
  ASSERT_FALSE(launched);
  EXPECT_NE(launched.error().message().find("too long"), std::string::npos);
}

TEST_F(Launching, ABinaryOutsideUsrIsShownWithItsFolder) {
  put_program("build/bin/llama-server");
  const auto found = find_llama({folder + "/build/bin", "", ""});
  const auto launched =
      make_launch(*found, {folder + "/run", "/usr/bin/bwrap", "/"}, tiny_request());
  ASSERT_TRUE(launched);
  const auto& words = launched->command.arguments;
  EXPECT_TRUE(holds(words, {"--ro-bind", folder + "/build/bin", "/engine"}));
  EXPECT_TRUE(holds(words, {"--ro-bind", "/usr", "/usr"}));
  EXPECT_TRUE(holds(words, {"--", "/engine/llama-server"}));
}

}  // namespace
}  // namespace berth::engine
