// Devices: found in a fake device tree, chosen, offloaded to.
#include "engine/gpu.h"

#include "engine/cpu_backend.h"
#include "engine/engine_fixture.h"

namespace berth::engine {
namespace {

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

}  // namespace
}  // namespace berth::engine
