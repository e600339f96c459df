#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "engine/cpu_backend.h"
#include "engine/explain.h"
#include "engine/gpu.h"
#include "engine/install.h"
#include "engine/installation.h"
#include "engine/launch.h"
#include "engine/llama.h"
#include "rt/async.h"

namespace berth::engine {
namespace {

namespace files = std::filesystem;

// A folder to build fake roots and device trees in.
class Engine : public testing::Test {
 protected:
  Engine() {
    char name[] = "/tmp/bertXXXXXX";
    folder = ::mkdtemp(name);
  }
  ~Engine() override { files::remove_all(folder); }

  void put(const std::string& name, const std::string& text = "") {
    files::create_directories(files::path(folder + "/" + name).parent_path());
    std::ofstream(folder + "/" + name) << text;
  }
  void put_program(const std::string& name, const std::string& text = "#!/bin/sh\n") {
    put(name, text);
    ::chmod((folder + "/" + name).c_str(), 0755);
  }
  void put_root(const std::string& name, const std::string& version = "1:0.7.0+dfsg-2") {
    put_program(name + "/usr/bin/llama-server");
    put(name + "/.packages", "libc6 2.43\nllama.cpp-tools " + version + "\n");
    put(name + "/usr/lib/x86_64-linux-gnu/ggml/backends0/libggml-cpu-x64.so");
  }

  std::string folder;
  rt::Loop loop;
  rt::Op op;
};

bool holds(const std::vector<std::string>& words, std::initializer_list<std::string> part) {
  return std::search(words.begin(), words.end(), part.begin(), part.end()) != words.end();
}

// ---- where the engine is
// -------------------------------------------------------------------------

TEST_F(Engine, IsFoundInOrder) {
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

TEST_F(Engine, MayBeConfiguredAsBinaryOrFolder) {
  put_program("build/bin/llama-server");
  EXPECT_EQ(find_llama({folder + "/build/bin", "", ""})->program,
            folder + "/build/bin/llama-server");
  EXPECT_EQ(find_llama({folder + "/build/bin/llama-server", "", ""})->program,
            folder + "/build/bin/llama-server");
}

TEST_F(Engine, AWrongConfiguredPathIsAnErrorAndNotSkipped) {
  put_program("bin/llama-server");
  const auto found = find_llama({folder + "/typo", "", folder + "/bin"});
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().message().find("typo"), std::string::npos);
}

TEST_F(Engine, BackendsAreNamedByTheirFiles) {
  put_root("r");
  for (const char* name : {"libggml-vulkan.so", "libggml-hip.so", "libggml-base.so", "readme"}) {
    put(std::string("r/usr/lib/x86_64-linux-gnu/ggml/backends0/") + name);
  }
  EXPECT_EQ(find_llama({folder + "/r", "", ""})->backends, Backends({"hip", "vulkan"}));
}

TEST_F(Engine, ProbeRunsABinaryForItsVersion) {
  put_program("bin/llama-server", "#!/bin/sh\necho 'version: 9.9 (build 1)' >&2\n");
  Llama llama(loop, {.configured = folder + "/bin"});
  EXPECT_EQ(loop.run(llama.probe(op))->version, "llama.cpp 9.9 (build 1)");
  put_program("bin/llama-server", "#!/bin/sh\necho broken >&2; exit 4\n");
  EXPECT_NE(loop.run(llama.probe(op)).error().message().find("broken"), std::string::npos);
}

// ---- arguments
// -----------------------------------------------------------------------------------

LaunchRequest tiny_request() {
  LaunchRequest request;
  request.files.model = {"/store/blobs/abc", "model.gguf"};
  request.shape = {.layers = 30,
                   .weight_bytes = 90'000'000,
                   .kv_bytes_per_token = 1000,
                   .trained_context = 2048};
  return request;
}

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

// ---- launches
// ------------------------------------------------------------------------------------

class Launching : public Engine {
 protected:
  Result<Launch> launch(LaunchRequest request) {
    put_root("root");
    return make_launch(*root_at(folder + "/root", Installation::Origin::kConfigured),
                       {folder + "/run", "/usr/bin/bwrap", folder + "/devices"}, request);
  }
};

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
  for (const char* word : {"--unshare-all", "--die-with-parent", "--new-session", "--seccomp"}) {
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

// ---- devices
// -------------------------------------------------------------------------------------

class Devices : public Launching {
 protected:
  void put_amd() {
    put("devices/dev/dri/renderD128");
    put("devices/usr/share/vulkan/icd.d/radeon_icd.json", "{}");
    put("devices/usr/lib/x86_64-linux-gnu/libvulkan_radeon.so");
    put("devices/sys/class/drm/renderD128/device/uevent", "DRIVER=amdgpu\n");
    put("devices/sys/class/drm/renderD128/device/mem_info_vram_total", "8589934592\n");
    put("devices/sys/class/drm/renderD128/device/mem_info_vram_used", "1073741824\n");
  }
  void put_nvidia() {
    for (const char* node : {"nvidia0", "nvidiactl", "nvidia-uvm"})
      put(std::string("devices/dev/") + node);
    put("devices/usr/lib/x86_64-linux-gnu/libcuda.so.1");
  }
  GpuFindings find(GpuChoice choice, Backends backends) {
    return find_gpus(choice, backends, folder + "/devices");
  }
};

TEST_F(Devices, NoneAreFoundWhereThereAreNone) {
  const auto findings = find(GpuChoice::kAuto, {"vulkan", "cuda", "hip"});
  EXPECT_TRUE(findings.devices.empty());
  EXPECT_EQ(findings.fallback, "");
}

TEST_F(Devices, AnAmdCardByVulkan) {
  put_amd();
  const auto findings = find(GpuChoice::kAuto, {"vulkan"});
  ASSERT_EQ(findings.devices.size(), 1u);
  EXPECT_EQ(findings.devices[0].kind, GpuChoice::kVulkan);
  EXPECT_EQ(findings.devices[0].name, "amdgpu renderD128");
  EXPECT_EQ(findings.devices[0].memory_free, 7516192768u);
  EXPECT_EQ(findings.mounts[0].access, Mount::Access::kDevice);
  EXPECT_EQ(findings.mounts[0].inside, "/dev/dri/renderD128");
}

TEST_F(Devices, TheVendorsOwnInterfaceIsPreferred) {
  put_amd();
  put("devices/dev/kfd");
  put_nvidia();
  EXPECT_EQ(find(GpuChoice::kAuto, {"vulkan", "hip"}).devices[0].kind, GpuChoice::kRocm);
  EXPECT_EQ(find(GpuChoice::kAuto, {"cuda", "hip"}).devices[0].kind, GpuChoice::kCuda);
  EXPECT_EQ(find(GpuChoice::kVulkan, {"vulkan", "hip"}).devices[0].kind, GpuChoice::kVulkan);
}

TEST_F(Devices, AnUnusableOneFallsBackWithASentence) {
  put_amd();
  const auto findings = find(GpuChoice::kAuto, {});
  EXPECT_TRUE(findings.devices.empty());
  EXPECT_TRUE(findings.mounts.empty());
  EXPECT_NE(findings.fallback.find("no Vulkan backend"), std::string::npos) << findings.fallback;
  EXPECT_NE(find(GpuChoice::kCuda, {"cuda"}).fallback.find("--gpu cuda"), std::string::npos);
}

TEST_F(Devices, NoneIsNone) {
  put_amd();
  EXPECT_TRUE(find(GpuChoice::kNone, {"vulkan"}).mounts.empty());
}

TEST_F(Devices, TheSoftwareRendererIsNoDriver) {
  put("devices/dev/dri/renderD128");
  put("devices/usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "{}");
  EXPECT_NE(find(GpuChoice::kAuto, {"vulkan"}).fallback.find("no Vulkan driver"),
            std::string::npos);
}

TEST_F(Devices, ALaunchBindsThemAndOffloadsWhatFits) {
  put_amd();
  put("root/usr/lib/x86_64-linux-gnu/ggml/backends0/libggml-vulkan.so");
  const auto launched = launch(tiny_request());
  ASSERT_TRUE(launched) << launched.error().message();
  EXPECT_EQ(launched->placement.device, "amdgpu renderD128");
  EXPECT_EQ(launched->placement.gpu_layers, 31u);
  const auto& words = launched->command.arguments;
  EXPECT_TRUE(
      holds(words, {"--dev-bind", folder + "/devices/dev/dri/renderD128", "/dev/dri/renderD128"}));
  EXPECT_TRUE(holds(words, {"--gpu-layers", "31"}));
  EXPECT_TRUE(std::ranges::any_of(launched->command.environment, [](const auto& entry) {
    return entry.first == "VK_DRIVER_FILES";
  }));
}

TEST_F(Devices, WithUnknownMemoryTheEngineDecides) {
  put_nvidia();
  put("root/usr/lib/x86_64-linux-gnu/ggml/backends0/libggml-cuda.so");
  const auto launched = launch(tiny_request());
  ASSERT_TRUE(launched);
  EXPECT_EQ(launched->placement.device, "NVIDIA nvidia0");
  EXPECT_TRUE(holds(launched->command.arguments, {"--fit", "on"}));
  EXPECT_FALSE(holds(launched->command.arguments, {"--fit", "off"}));
}

TEST_F(Devices, AFullCardMeansTheCpuWithASentence) {
  put_amd();
  put("devices/sys/class/drm/renderD128/device/mem_info_vram_used", "8589934592\n");
  put("root/usr/lib/x86_64-linux-gnu/ggml/backends0/libggml-vulkan.so");
  const auto launched = launch(tiny_request());
  EXPECT_EQ(launched->placement.device, "CPU");
  EXPECT_EQ(launched->placement.gpu_layers, 0u);
  EXPECT_NE(launched->placement.fallback.find("not one layer"), std::string::npos);
}

TEST(Layers, AllSomeOrNone) {
  const ModelShape shape{
      .layers = 31, .weight_bytes = 32ULL << 30, .kv_bytes_per_token = 31ULL << 10};
  EXPECT_EQ(layers_that_fit(shape, 1024, 100ULL << 30), 32u);
  EXPECT_EQ(layers_that_fit(shape, 1024, 17ULL << 30), 16u);
  EXPECT_LT(layers_that_fit(shape, 1 << 20, 17ULL << 30), 16u);  // a long context takes its share
  EXPECT_EQ(layers_that_fit(shape, 1024, 1ULL << 20), 0u);
  EXPECT_EQ(layers_that_fit({}, 1024, 100ULL << 30), 0u);
}

TEST(Gpu, ChoicesHaveNames) {
  for (const char* name : {"auto", "none", "vulkan", "cuda", "rocm"}) {
    EXPECT_EQ(to_string(*gpu_choice_from_string(name)), name);
  }
  EXPECT_FALSE(gpu_choice_from_string("metal"));
}

// ---- processors
// ----------------------------------------------------------------------------------

TEST(CpuBackend, TheBestThatTheProcessorHas) {
  const std::vector<std::string> all{"libggml-cpu-haswell.so", "libggml-cpu-x64.so",
                                     "libggml-cpu-zen4.so", "libggml-cpu-sse42.so"};
  EXPECT_EQ(best_cpu_backend("flags\t\t: sse4_2 avx avx2 fma f16c bmi2\n", all),
            "libggml-cpu-haswell.so");
  EXPECT_EQ(best_cpu_backend("flags : sse4_2 avx\n", all), "libggml-cpu-sse42.so");
  EXPECT_EQ(best_cpu_backend("flags : avx512f avx512cd avx512bw avx512vl avx512dq avx512vbmi "
                             "avx512_vnni avx512_bf16 avx2 fma f16c bmi2 sse4_2\n",
                             all),
            "libggml-cpu-zen4.so");
  EXPECT_EQ(best_cpu_backend("", all), "libggml-cpu-x64.so");
  EXPECT_EQ(best_cpu_backend("flags : avx2\n", {}), "");
}

// ---- last words
// ----------------------------------------------------------------------------------

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

// ---- the sandbox, for real
// -----------------------------------------------------------------------

class RealSandbox : public Engine {
 protected:
  void SetUp() override {
    if (!process::find_program("bwrap", "/usr/bin:/bin"))
      GTEST_SKIP() << "bubblewrap is not installed";
    const Status works = loop.run(probe_namespaces(op, loop, "/usr/bin/bwrap"));
    if (!works) GTEST_SKIP() << works.error().message();
  }
  process::Finished inside(const std::string& script, std::vector<Mount> more = {}) {
    SandboxPlan plan{.mounts = {{.host = "/usr", .inside = "/usr"}},
                     .links = {{"usr/lib", "/lib"}, {"usr/lib64", "/lib64"}, {"usr/bin", "/bin"}},
                     .environment = {{"PATH", "/usr/bin"}},
                     .program = "/bin/sh",
                     .arguments = {"-c", script}};
    plan.mounts.insert(plan.mounts.end(), more.begin(), more.end());
    auto command = sandboxed("/usr/bin/bwrap", std::move(plan));
    EXPECT_TRUE(command);
    auto finished = loop.run(process::run_to_end(op, loop, std::move(*command)));
    EXPECT_TRUE(finished);
    return finished.value_or(process::Finished{});
  }
};

TEST_F(RealSandbox, HasNoCapabilitiesAndTheFilter) {
  const std::string status = inside("cat /proc/self/status").output;
  EXPECT_NE(status.find("CapEff:\t0000000000000000"), std::string::npos) << status;
  EXPECT_NE(status.find("CapBnd:\t0000000000000000"), std::string::npos) << status;
  EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos);
  EXPECT_NE(status.find("Seccomp:\t2"), std::string::npos);
}
TEST_F(RealSandbox, SeesNeitherHomeNorNetworkNorOtherProcesses) {
  EXPECT_EQ(inside("ls /home /root /var /etc 2>/dev/null | wc -l").output, "0\n");
  EXPECT_EQ(inside("cat /proc/net/route 2>/dev/null | wc -l").output, "1\n");  // the heading
  EXPECT_EQ(inside("ls -d /proc/[0-9]* | wc -l").output.size(), 2u);           // fewer than ten
}
TEST_F(RealSandbox, WritesOnlyToTmpAndItsFolder) {
  files::create_directories(folder + "/rw");
  put("ro/file", "x");
  const auto finished = inside(
      "echo 1 > /tmp/a && echo 2 > /run/berth/b; echo 3 > /usr/c; echo 4 > /models/m; cat "
      "/models/m",
      {{.host = folder + "/ro/file", .inside = "/models/m"},
       {Mount::Access::kReadWrite, folder + "/rw", "/run/berth"}});
  EXPECT_EQ(finished.output, "x");
  EXPECT_TRUE(files::exists(folder + "/rw/b"));
  EXPECT_FALSE(files::exists("/usr/c"));
}
rt::Task<Result<std::string>> output_of(rt::Loop& loop, rt::Op& op, process::Command command) {
  CO_TRY(process::Child child, process::Child::start(loop, command));
  CO_TRY_OK(co_await child.wait(op));
  co_return child.output().text();
}
TEST_F(RealSandbox, ABinaryOfTheHostRunsWithTheHostsLibraries) {
  put_program("build/bin/llama-server",
              "#!/bin/sh\necho \"$0\" $(cat /models/model.gguf) $(ls / | grep -c home)\n");
  put("blob", "weights");
  LaunchRequest request = tiny_request();
  request.files.model.host = folder + "/blob";
  const auto found = find_llama({folder + "/build/bin", "", ""});
  auto launched = make_launch(*found, {folder + "/run", "/usr/bin/bwrap", "/"}, request);
  ASSERT_TRUE(launched) << launched.error().message();
  EXPECT_EQ(loop.run(output_of(loop, op, launched->command)).value(),
            "/engine/llama-server weights 0\n");
}
TEST_F(RealSandbox, CannotMakeNamespacesOfItsOwn) {
  EXPECT_NE(inside("unshare -Ur true").status.code, 0);
}
TEST_F(Engine, APlaceThatClimbsIsRefused) {
  EXPECT_FALSE(sandboxed("/usr/bin/bwrap", {.mounts = {{.host = "/", .inside = "/a/../../b"}}}));
  EXPECT_FALSE(sandboxed("/usr/bin/bwrap", {.mounts = {{.host = "/", .inside = "relative"}}}));
}
TEST_F(Engine, AMachineWithoutNamespacesIsDeniedWithAWayOut) {
  put_program("bwrap",
              "#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n");
  const Status status = loop.run(probe_namespaces(op, loop, folder + "/bwrap"));
  EXPECT_EQ(status.error().code(), Code::kDenied);
  EXPECT_NE(status.error().message().find("--no-sandbox"), std::string::npos);
}
TEST_F(Engine, WithoutBubblewrapPlanningSaysSo) {
  put_root("root");
  Llama llama(
      loop, {.configured = folder + "/root", .path = "/nonexistent", .runtime_dir = folder + "/r"});
  const auto report = loop.run(llama.sandbox_report(op, Isolation::kSandbox));
  EXPECT_EQ(report.error().code(), Code::kNotFound);
  EXPECT_TRUE(loop.run(llama.sandbox_report(op, Isolation::kNone)));
}

// ---- installation
// --------------------------------------------------------------------------------

TEST_F(Engine, AnUnpackedRootIsPutInPlaceAndBecomesCurrent) {
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

TEST_F(Engine, ARootWithoutTheServerIsNotInstalled) {
  put("unpacked/usr/bin/something");
  const auto installed =
      loop.run(install_root(op, loop, folder + "/engines", folder + "/unpacked", "x"));
  EXPECT_EQ(installed.error().code(), Code::kInvalid);
  EXPECT_TRUE(installed_runners(folder + "/engines")->empty());
}

TEST_F(Engine, AVersionCannotLeaveTheFolder) {
  put_root("unpacked", "1.0");
  const auto installed = loop.run(
      install_root(op, loop, folder + "/engines", folder + "/unpacked", "../../../escape"));
  ASSERT_TRUE(installed);
  EXPECT_TRUE(installed->root.starts_with(folder + "/engines/llama.cpp/")) << installed->root;
  EXPECT_EQ(installed->root.find(".."), std::string::npos);
}

TEST_F(Engine, WhatIsInstalledAlreadyIsNotFetchedAgain) {
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

TEST_F(Engine, ASuiteIsAWord) {
  const auto installed =
      loop.run(install_runner(op, loop, {.engines_dir = folder + "/e", .suite = "-f; id"}, {}));
  EXPECT_EQ(installed.error().code(), Code::kInvalid);
}

}  // namespace
}  // namespace berth::engine
