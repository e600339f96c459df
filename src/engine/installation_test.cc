// Where the engine is found, and how one is put in place.
#include "engine/engine_fixture.h"
#include "engine/install.h"
#include "engine/llama.h"
#include "rt/async.h"

namespace berth::engine {
namespace {

TEST_F(EngineTest, IsFoundInOrder) {
  put_root("engines/llama.cpp/0.7.0");
  files::create_directory_symlink("0.7.0", folder + "/engines/llama.cpp/current");
  put_program("bin/llama-server");
  put_root("mine");
  SearchPlaces places{folder + "/mine", folder + "/engines", folder + "/bin"};
  EXPECT_EQ(find_llama(places)->origin, Installation::Origin::kConfigured);
  EXPECT_EQ(find_llama(places)->root, folder + "/mine");
  places.configured = "";
  EXPECT_EQ(find_llama(places)->origin, Installation::Origin::kInstalled);
  EXPECT_EQ(find_llama(places)->version, "llama.cpp 1:0.7.0+dfsg-2");
  EXPECT_EQ(find_llama(places)->root, folder + "/engines/llama.cpp/0.7.0");
  places.engines_dir = folder + "/nothing";
  EXPECT_EQ(find_llama(places)->origin, Installation::Origin::kOnPath);
  EXPECT_EQ(find_llama(places)->root, "");
  places.path = "/nonexistent";
  EXPECT_EQ(find_llama(places).error().code(), Code::kNotFound);
  EXPECT_NE(find_llama(places).error().message().find("install-runner"), std::string::npos);
}

TEST_F(EngineTest, MayBeConfiguredAsBinaryOrFolder) {
  put_program("build/bin/llama-server");
  EXPECT_EQ(find_llama({folder + "/build/bin", "", ""})->program,
            folder + "/build/bin/llama-server");
  EXPECT_EQ(find_llama({folder + "/build/bin/llama-server", "", ""})->program,
            folder + "/build/bin/llama-server");
}

TEST_F(EngineTest, AWrongConfiguredPathIsAnErrorAndNotSkipped) {
  put_program("bin/llama-server");
  const auto found = find_llama({folder + "/typo", "", folder + "/bin"});
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message().find("typo"), std::string::npos);
}

TEST_F(EngineTest, BackendsAreNamedByTheirFiles) {
  put_root("r");
  for (const char* name : {"libggml-vulkan.so", "libggml-hip.so", "libggml-base.so", "readme"}) {
    put(std::string("r/usr/lib/x86_64-linux-gnu/ggml/backends0/") + name);
  }
  EXPECT_EQ(find_llama({folder + "/r", "", ""})->backends, Backends({"hip", "vulkan"}));
}

TEST_F(EngineTest, ProbeRunsABinaryForItsVersion) {
  put_program("bin/llama-server", "#!/bin/sh\necho 'version: 9.9 (build 1)' >&2\n");
  Llama llama(loop, {.configured = folder + "/bin"});
  EXPECT_EQ(loop.run(llama.probe(op))->version, "llama.cpp 9.9 (build 1)");
  put_program("bin/llama-server", "#!/bin/sh\necho broken >&2; exit 4\n");
  EXPECT_NE(loop.run(llama.probe(op)).error().message().find("broken"), std::string::npos);
}

TEST_F(EngineTest, AnUnpackedRootIsPutInPlaceAndBecomesCurrent) {
  put_root("unpacked", "1.0");
  const std::string engines = folder + "/engines";
  const auto first =
      loop.run(install_root(op, loop, engines, folder + "/unpacked", "registry/engine:1"));
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_TRUE(first->current);
  put_root("unpacked", "2.0");
  const auto second = loop.run(install_root(op, loop, engines, folder + "/unpacked", ""));
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(second->version, "llama.cpp 2.0");

  const auto all = installed_runners(engines).value();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].root, second->root);
  EXPECT_TRUE(all[0].current);
  EXPECT_FALSE(all[1].current);
  EXPECT_EQ(find_llama({"", engines, ""})->root, second->root);

  EXPECT_EQ(uninstall_runner(engines, "9.9").error().code(), Code::kNotFound);
  EXPECT_GT(uninstall_runner(engines, "").value(), 0u);
  EXPECT_TRUE(installed_runners(engines)->empty());
  EXPECT_FALSE(find_llama({"", engines, ""}));
}

TEST_F(EngineTest, ARootWithoutTheServerIsNotInstalled) {
  put("unpacked/usr/bin/something");
  const auto installed =
      loop.run(install_root(op, loop, folder + "/engines", folder + "/unpacked", "x"));
  EXPECT_EQ(installed.error().code(), Code::kInvalid);
  EXPECT_TRUE(installed_runners(folder + "/engines")->empty());
}

TEST_F(EngineTest, AVersionCannotLeaveTheFolder) {
  put_root("unpacked", "1.0");
  const auto installed = loop.run(
      install_root(op, loop, folder + "/engines", folder + "/unpacked", "../../../escape"));
  ASSERT_TRUE(installed);
  EXPECT_TRUE(installed->root.starts_with(folder + "/engines/llama.cpp/")) << installed->root;
  EXPECT_EQ(installed->root.find(".."), std::string::npos);
}

TEST_F(EngineTest, WhatIsInstalledAlreadyIsNotFetchedAgain) {
  put_root("unpacked", "1.0");
  put("unpacked/.request",
      "forky\nllama.cpp-tools\nlibllama0\nlibggml0\nlibc6\nlibstdc++6\nlibgcc-s1\nlibgomp1\n"
      "libssl3t64|libssl3\nzlib1g\nlibzstd1\n");
  const std::string engines = folder + "/engines";
  ASSERT_TRUE(loop.run(install_root(op, loop, engines, folder + "/unpacked", "")));
  std::vector<std::string> lines;
  const auto again =
      loop.run(install_runner(op, loop, {.engines_dir = engines},
                              [&](std::string_view line) { lines.emplace_back(line); }));
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->version, "llama.cpp 1.0");
  EXPECT_TRUE(lines.empty());
}

TEST_F(EngineTest, ASuiteIsAWord) {
  const auto installed =
      loop.run(install_runner(op, loop, {.engines_dir = folder + "/e", .suite = "-f; id"}, {}));
  EXPECT_EQ(installed.error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace berth::engine
