#include "engine/gpu.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/text.h"

namespace berth::engine {
namespace {

namespace files = std::filesystem;

constexpr std::string_view kChoices[] = {"auto", "none", "vulkan", "cuda", "rocm"};

// Where the sandbox sees the host's driver libraries, after its own (LD_LIBRARY_PATH below).
constexpr std::string_view kHostLibraries = "/gpu/lib";
constexpr std::string_view kHostIcds = "/gpu/icd.d";

// Left free on a device for buffers that the estimate does not know.
constexpr std::uint64_t kDeviceReserve = 512ULL << 20;

class Tree {
 public:
  explicit Tree(const std::string& root) : root_(root == "/" ? "" : root) {}

  std::string at(const std::string& path) const { return root_ + path; }
  bool has(const std::string& path) const {
    std::error_code ignored;
    return files::exists(at(path), ignored);
  }
  std::string text(const std::string& path) const {
    std::ifstream file(at(path));
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::optional<std::uint64_t> number(const std::string& path) const {
    return parse_u64(trim(text(path)));
  }
  // Sorted full paths of a folder's entries that begin and end so.
  std::vector<std::string> list(const std::string& folder, std::string_view begin,
                                std::string_view end = "") const {
    std::vector<std::string> found;
    std::error_code ignored;
    for (const auto& entry : files::directory_iterator(at(folder), ignored)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(begin) && name.ends_with(end)) found.push_back(folder + "/" + name);
    }
    std::ranges::sort(found);
    return found;
  }

 private:
  std::string root_;
};

std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool built_with(const Backends& backends, std::string_view name) {
  return std::ranges::find(backends, name) != backends.end();
}

std::vector<std::string> nvidia_nodes(const Tree& tree) {
  std::vector<std::string> nodes = tree.list("/dev", "nvidia");
  const std::vector<std::string> caps = tree.list("/dev/nvidia-caps", "nvidia-cap");
  nodes.insert(nodes.end(), caps.begin(), caps.end());
  return nodes;
}

// A card: /dev/nvidia0; the rest are control nodes.
bool is_nvidia_card(const std::string& node) {
  const std::string number = node.substr(std::string("/dev/nvidia").size());
  return !number.empty() &&
         std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
}

Gpu describe_node(const Tree& tree, const std::string& node, GpuChoice kind) {
  const std::string device = "/sys/class/drm/" + name_of(node) + "/device";
  Gpu gpu{.kind = kind};
  std::string driver;
  for (const std::string& line : split(tree.text(device + "/uevent"), '\n')) {
    if (line.starts_with("DRIVER=")) driver = line.substr(7);
  }
  gpu.name = (driver.empty() ? "" : printable(driver, 32) + " ") + name_of(node);
  gpu.memory_total = tree.number(device + "/mem_info_vram_total");
  const auto used = tree.number(device + "/mem_info_vram_used");
  if (gpu.memory_total && used) {
    gpu.memory_free = *gpu.memory_total - std::min(*used, *gpu.memory_total);
  }
  return gpu;
}

void bind_device(const Tree& tree, const std::string& node, GpuFindings& findings) {
  findings.mounts.push_back({Mount::Access::kDevice, tree.at(node), node});
}

std::string library_folder(const Tree& tree) {
  for (const char* folder :
       {"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"}) {
    if (tree.has(folder)) return folder;
  }
  return "/usr/lib";
}

// The host's driver libraries beside the engine's own, which come first: an engine root has a newer
// C library than the host, and drivers built for the older one work with it, never the reverse.
void bind_libraries(const Tree& tree, GpuFindings& findings) {
  const std::string folder = library_folder(tree);
  findings.mounts.push_back(
      {Mount::Access::kReadOnly, tree.at(folder), std::string(kHostLibraries)});
  findings.mounts.push_back(
      {Mount::Access::kReadOnly, tree.at("/sys"), "/sys", Mount::Missing::kIsSkipped});
  findings.environment.emplace_back("LD_LIBRARY_PATH",
                                    fmt::format("{0}:{0}/llama:{1}", folder, kHostLibraries));
}

std::vector<std::string> vulkan_icds(const Tree& tree) {
  std::vector<std::string> icds = tree.list("/etc/vulkan/icd.d", "", ".json");
  for (const std::string& icd : tree.list("/usr/share/vulkan/icd.d", "", ".json")) {
    // Mesa's software renderer is a slower CPU, not a device.
    if (name_of(icd).find("lvp_icd") == std::string::npos) icds.push_back(icd);
  }
  return icds;
}

std::string find_vulkan(const Tree& tree, const Backends& backends, GpuFindings& findings) {
  const std::vector<std::string> nodes = tree.list("/dev/dri", "renderD");
  const std::vector<std::string> nvidia = nvidia_nodes(tree);
  if (nodes.empty() && nvidia.empty()) return "there is no graphics device (/dev/dri)";
  const std::vector<std::string> icds = vulkan_icds(tree);
  if (icds.empty()) return "no Vulkan driver is installed (/usr/share/vulkan/icd.d)";
  if (!built_with(backends, "vulkan")) {
    return "the engine has no Vulkan backend (berth install-runner --gpu vulkan brings it)";
  }
  for (const std::string& node : nodes) {
    findings.devices.push_back(describe_node(tree, node, GpuChoice::kVulkan));
    bind_device(tree, node, findings);
  }
  for (const std::string& node : nvidia) bind_device(tree, node, findings);
  bind_libraries(tree, findings);
  std::string drivers;
  for (const std::string& icd : icds) {
    const std::string inside = std::string(kHostIcds) + "/" + name_of(icd);
    findings.mounts.push_back({Mount::Access::kReadOnly, tree.at(icd), inside});
    drivers += (drivers.empty() ? "" : ":") + inside;
  }
  findings.environment.emplace_back("VK_DRIVER_FILES", drivers);
  return "";
}

std::string find_cuda(const Tree& tree, const Backends& backends, GpuFindings& findings) {
  const std::vector<std::string> nodes = nvidia_nodes(tree);
  if (std::ranges::none_of(nodes, is_nvidia_card))
    return "there is no NVIDIA device (/dev/nvidia0)";
  if (tree.list(library_folder(tree), "libcuda.so").empty()) {
    return "NVIDIA's driver library (libcuda.so.1) is not installed";
  }
  if (!built_with(backends, "cuda")) return "the engine has no CUDA backend";
  for (const std::string& node : nodes) {
    if (is_nvidia_card(node)) {
      findings.devices.push_back({.kind = GpuChoice::kCuda, .name = "NVIDIA " + name_of(node)});
    }
    bind_device(tree, node, findings);
  }
  bind_libraries(tree, findings);
  return "";
}

std::string find_rocm(const Tree& tree, const Backends& backends, GpuFindings& findings) {
  const std::vector<std::string> nodes = tree.list("/dev/dri", "renderD");
  if (!tree.has("/dev/kfd") || nodes.empty()) return "there is no ROCm device (/dev/kfd)";
  if (!built_with(backends, "hip")) return "the engine has no ROCm backend";
  bind_device(tree, "/dev/kfd", findings);
  for (const std::string& node : nodes) {
    findings.devices.push_back(describe_node(tree, node, GpuChoice::kRocm));
    bind_device(tree, node, findings);
  }
  bind_libraries(tree, findings);
  return "";
}

struct Kind {
  GpuChoice choice;
  std::string (*find)(const Tree&, const Backends&, GpuFindings&);  // "" or why not
};
// In order of preference: a vendor's own interface is faster than Vulkan.
constexpr Kind kKinds[] = {{GpuChoice::kCuda, find_cuda},
                           {GpuChoice::kRocm, find_rocm},
                           {GpuChoice::kVulkan, find_vulkan}};

bool has_any_device(const Tree& tree) {
  return !tree.list("/dev/dri", "renderD").empty() || !nvidia_nodes(tree).empty();
}

GpuFindings find_best(const Tree& tree, const Backends& backends) {
  std::string reason;
  for (const Kind& kind : kKinds) {
    GpuFindings findings;
    reason = kind.find(tree, backends, findings);
    if (reason.empty()) return findings;
  }
  GpuFindings none;
  if (has_any_device(tree)) {
    none.fallback = fmt::format("the GPU of this machine is not used, the CPU is: {}", reason);
  }
  return none;
}

}  // namespace

std::string_view to_string(GpuChoice choice) { return kChoices[static_cast<int>(choice)]; }

std::optional<GpuChoice> gpu_choice_from_string(std::string_view name) {
  for (int i = 0; i < 5; ++i) {
    if (kChoices[i] == name) return static_cast<GpuChoice>(i);
  }
  return std::nullopt;
}

GpuFindings find_gpus(GpuChoice choice, const Backends& backends, const std::string& root) {
  const Tree tree(root);
  if (choice == GpuChoice::kNone) return {};
  if (choice == GpuChoice::kAuto) return find_best(tree, backends);
  GpuFindings findings;
  for (const Kind& kind : kKinds) {
    if (kind.choice != choice) continue;
    const std::string reason = kind.find(tree, backends, findings);
    if (reason.empty()) return findings;
    return {.fallback = fmt::format("--gpu {} cannot be met, the CPU is used: {}",
                                    to_string(choice), reason)};
  }
  return findings;
}

std::uint64_t layers_that_fit(const ModelShape& shape, std::uint64_t context, std::uint64_t free) {
  if (shape.layers == 0 || free <= kDeviceReserve) return 0;
  const std::uint64_t all = shape.layers + 1;  // and the output layer
  const std::uint64_t kv = shape.kv_bytes_per_token * context;
  const std::uint64_t each = shape.weight_bytes / all + kv / shape.layers + 1;
  return std::min(all, (free - kDeviceReserve) / each);
}

}  // namespace berth::engine
