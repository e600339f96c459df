#include "engine/launch.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "base/text.h"
#include "engine/cpu_backend.h"
#include "engine/image_root.h"
#include "engine/installation.h"
#include "fs/file.h"
#include "fs/scratch.h"

namespace berth::engine {
namespace {

namespace files = std::filesystem;

constexpr const char* kSocketName = "s.sock";
constexpr const char* kEngineInside = "/engine";
constexpr std::uint64_t kMaxTasks = 4096;  // threads count

// llama-server keeps prompts of idle slots in memory, 8 GiB unless told otherwise: more than many a
// machine has, and in no estimate.
constexpr std::int64_t kPromptCacheMiB = 256;

void add(std::vector<std::string>& arguments, std::initializer_list<std::string> words) {
  arguments.insert(arguments.end(), words);
}

// ---- the runtime folder ------------------------------------------------------------------------

Result<std::shared_ptr<fs::Scratch>> make_runtime_folder(const std::string& below) {
  const std::string pattern = below + "/e-XXXXXX";
  if (pattern.size() + 1 + std::string_view(kSocketName).size() > kMaxSocketPath) {
    return fail(Code::kInvalid,
                "the runtime folder {} is too long for a socket: a path of at most {} bytes is "
                "needed (set XDG_RUNTIME_DIR or BERTH_HOME to a shorter one)",
                below, kMaxSocketPath - 16);
  }
  return fs::Scratch::make(below, "e-");
}

// ---- the model's files -------------------------------------------------------------------------

std::vector<ModelFile> all_files(const ModelFiles& model) {
  std::vector<ModelFile> all{model.model};
  all.insert(all.end(), model.shards.begin(), model.shards.end());
  all.insert(all.end(), model.draft_shards.begin(), model.draft_shards.end());
  all.insert(all.end(), model.adapters.begin(), model.adapters.end());
  for (const auto& file : {model.projector, model.chat_template, model.draft}) {
    if (file) all.push_back(*file);
  }
  return all;
}

Status check_files(const ModelFiles& model) {
  std::set<std::string> names;
  for (const ModelFile& file : all_files(model)) {
    TRY_OK(fs::check_relative_path(file.name));
    if (!file.host.starts_with('/')) {
      return fail(Code::kInvalid, "the model file {} has no absolute path", printable(file.name));
    }
    if (!names.insert(file.name).second) {
      return fail(Code::kInvalid, "the model has two files named {}", printable(file.name));
    }
  }
  for (const ModelFile& adapter : model.adapters) {
    // llama-server splits its list of adapters at commas.
    if (adapter.name.find(',') != std::string::npos) {
      return fail(Code::kInvalid, "the adapter {} cannot be used: its name has a comma",
                  printable(adapter.name));
    }
  }
  return {};
}

Status link_files(const ModelFiles& model, const std::string& folder) {
  for (const ModelFile& file : all_files(model)) {
    const files::path at = files::path(folder) / file.name;
    std::error_code failed;
    files::create_directories(at.parent_path(), failed);
    files::create_symlink(file.host, at, failed);
    if (failed) {
      return fail_errno(failed.value(), fmt::format("cannot link the model file {}", file.name));
    }
  }
  return {};
}

// ---- where it runs -----------------------------------------------------------------------------

struct Devices {
  GpuFindings findings;
  Placement placement;
  bool engine_decides = false;  // a device whose memory we cannot see
};

std::string device_names(const std::vector<Gpu>& devices) {
  std::string names;
  for (const Gpu& gpu : devices) names += (names.empty() ? "" : ", ") + gpu.name;
  return names;
}

void place_by_estimate(const LaunchRequest& request, Devices& devices) {
  const ModelShape& shape = request.shape;
  std::uint64_t free = 0;
  for (const Gpu& gpu : devices.findings.devices) {
    if (!gpu.memory_free || shape.layers == 0) {
      devices.engine_decides = true;
      return;
    }
    free += *gpu.memory_free;
  }
  devices.placement.gpu_layers = layers_that_fit(shape, context_of(request), free);
  if (devices.placement.gpu_layers == 0) {
    devices.placement.fallback = fmt::format(
        "not one layer of the model fits into the {} that are free on {}: the CPU is used",
        format_size(free), device_names(devices.findings.devices));
  }
}

Devices place(const Installation& installation, const std::string& root,
              const LaunchRequest& request) {
  Devices devices;
  devices.placement.layers = request.shape.layers;
  const bool loader_only = !installation.root.empty() && request.isolation == Isolation::kNone;
  devices.findings = find_gpus(request.gpu, installation.backends, root);
  if (loader_only && !devices.findings.devices.empty()) {
    devices.findings = {};
    devices.placement.fallback =
        "without the sandbox the engine can load one backend only: the CPU is used";
    return devices;
  }
  devices.placement.fallback = devices.findings.fallback;
  if (devices.findings.devices.empty()) return devices;
  const auto wanted = request.options.gpu_layers;
  if (wanted && *wanted == 0) {
    devices.findings = {};
    return devices;
  }
  place_by_estimate(request, devices);
  if (wanted) devices.placement.gpu_layers = *wanted < 0 ? request.shape.layers + 1 : *wanted;
  if (devices.placement.gpu_layers > 0 || devices.engine_decides) {
    devices.placement.device = device_names(devices.findings.devices);
  }
  return devices;
}

// ---- the command -------------------------------------------------------------------------------

std::vector<std::pair<std::string, std::string>> environment(const LaunchRequest& request,
                                                             const std::string& home) {
  std::vector<std::pair<std::string, std::string>> variables{
      {"PATH", "/usr/bin:/bin"}, {"HOME", home}, {"TMPDIR", home}, {"LANG", "C.UTF-8"}};
  // llama-server of build 11669 loads a draft model and does not use it unless it is told how. A
  // variable, since an older one drafts by itself and does not know the flag.
  if (request.files.draft) variables.emplace_back("LLAMA_ARG_SPEC_TYPE", "draft-simple");
  return variables;
}

void show_root(const Installation& installation, SandboxPlan& plan) {
  const std::string& root = installation.root;
  plan.links = {{"usr/lib", "/lib"}, {"usr/lib64", "/lib64"}, {"usr/bin", "/bin"}};
  plan.mounts.push_back({.host = root + "/usr", .inside = "/usr"});
  plan.mounts.push_back(
      {.host = root + "/etc", .inside = "/etc", .missing = Mount::Missing::kIsSkipped});
  plan.program = installation.program.substr(root.size());
}

// The host's programs and libraries; nothing of /etc, /home or /var.
void show_host(const Installation& installation, SandboxPlan& plan) {
  plan.mounts.push_back({.host = "/usr", .inside = "/usr"});
  for (const std::string name : {"lib", "lib64", "bin"}) {
    std::error_code failed;
    const files::path target = files::read_symlink("/" + name, failed);
    if (!failed) {
      plan.links.emplace_back(target.string(), "/" + name);
    } else {
      plan.mounts.push_back(
          {.host = "/" + name, .inside = "/" + name, .missing = Mount::Missing::kIsSkipped});
    }
  }
  for (const char* file : {"/etc/ld.so.cache", "/etc/alternatives"}) {
    plan.mounts.push_back({.host = file, .inside = file, .missing = Mount::Missing::kIsSkipped});
  }
  plan.program = installation.program;
  if (installation.program.starts_with("/usr/")) return;
  const std::size_t slash = installation.program.rfind('/');
  plan.mounts.push_back({.host = installation.program.substr(0, slash), .inside = kEngineInside});
  plan.program = kEngineInside + installation.program.substr(slash);
}

void show_installation(const Installation& installation, SandboxPlan& plan) {
  if (installation.image) return show_image(installation, plan);
  installation.root.empty() ? show_host(installation, plan) : show_root(installation, plan);
}

void add_variable(SandboxPlan& plan, const std::pair<std::string, std::string>& variable) {
  for (auto& [name, value] : plan.environment) {
    if (name != variable.first) continue;
    value += ":" + variable.second;  // only lists of folders come twice
    return;
  }
  plan.environment.push_back(variable);
}

void show_devices(const Installation& installation, const GpuFindings& findings,
                  SandboxPlan& plan) {
  // With the host's own /usr its drivers are there already.
  const bool has_drivers = installation.root.empty();
  for (const Mount& mount : findings.mounts) {
    if (!has_drivers || !mount.inside.starts_with("/gpu/")) plan.mounts.push_back(mount);
  }
  if (has_drivers) return;
  for (const auto& variable : findings.environment) add_variable(plan, variable);
}

Result<process::Command> in_sandbox(const Installation& installation, const LaunchPlaces& places,
                                    const LaunchRequest& request, const Devices& devices,
                                    const std::string& folder) {
  SandboxPlan plan{.environment = environment(request, "/tmp")};
  show_installation(installation, plan);
  show_devices(installation, devices.findings, plan);
  for (const ModelFile& file : all_files(request.files)) {
    plan.mounts.push_back(
        {.host = file.host, .inside = fmt::format("{}/{}", kModelsInside, file.name)});
  }
  plan.mounts.push_back({Mount::Access::kReadWrite, folder, kRuntimeInside});
  const SeenPaths seen{kModelsInside, fmt::format("{}/{}", kRuntimeInside, kSocketName)};
  plan.arguments =
      llama_arguments(installation, request, devices.placement, seen, context_of(request));
  if (devices.engine_decides && !request.options.fit) add(plan.arguments, {"--fit", "on"});
  return sandboxed(places.bwrap, std::move(plan));
}

std::string slurp(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : files::directory_iterator(folder, ignored)) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

// An engine root's programs need its own, newer C library: they are run by its loader
// (facts/engine.md).
Status run_by_loader(const Installation& installation, process::Command& command) {
  const std::string libraries = library_folder(installation.root);
  std::string loader;
  for (const std::string& name : names_in(libraries)) {
    if (name.starts_with("ld-linux-")) loader = libraries + "/" + name;
  }
  if (loader.empty()) {
    return fail(Code::kCorrupt,
                "the engine root {} has no loader: install it again with berth "
                "install-runner",
                installation.root);
  }
  const std::string folder = libraries + "/ggml/backends0";
  const std::string backend = best_cpu_backend(slurp("/proc/cpuinfo"), names_in(folder));
  if (!backend.empty())
    command.environment.emplace_back("GGML_BACKEND_PATH", folder + "/" + backend);
  command.arguments = {"--library-path", fmt::format("{0}:{0}/llama", libraries),
                       installation.program};
  command.program = loader;
  return {};
}

Result<process::Command> unprotected(const Installation& installation, const LaunchRequest& request,
                                     const Devices& devices, const std::string& folder) {
  if (installation.image) {
    return fail(
        Code::kUnsupported,
        "the engine in use came as a container image, which runs in the sandbox only: leave "
        "out --no-sandbox, or install the packaged one with berth install-runner");
  }
  const std::string models = folder + "/models";
  TRY_OK(link_files(request.files, models));
  process::Command command{.program = installation.program,
                           .environment = environment(request, folder)};
  if (!installation.root.empty()) TRY_OK(run_by_loader(installation, command));
  const std::vector<std::string> arguments =
      llama_arguments(installation, request, devices.placement,
                      {models, fmt::format("{}/{}", folder, kSocketName)}, context_of(request));
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  if (devices.engine_decides && !request.options.fit && !installation.root.empty()) {
    add(command.arguments, {"--fit", "on"});
  }
  // What can be had without namespaces is kept: no capabilities to gain, no calls into the kernel's
  // darker corners, no network.
  TRY(auto filter, process::SystemCallFilter::deny_list(process::Network::kUnixOnly));
  command.filter = std::make_shared<const process::SystemCallFilter>(std::move(filter));
  return command;
}

}  // namespace

std::uint64_t context_of(const LaunchRequest& request) {
  ContextChoice choice;
  if (request.options.context_size) {
    choice.asked = static_cast<std::uint64_t>(*request.options.context_size);
  }
  if (request.shape.trained_context > 0) choice.trained = request.shape.trained_context;
  return choose_context(choice);
}

std::vector<std::string> llama_arguments(const Installation& installation,
                                         const LaunchRequest& request, const Placement& placement,
                                         const SeenPaths& seen, std::uint64_t context) {
  const auto path = [&](const ModelFile& file) { return seen.models + "/" + file.name; };
  const ModelFiles& model = request.files;
  std::vector<std::string> words{"--model",   path(model.model), "--host",
                                 seen.socket, "--metrics",       "--no-webui"};
  if (model.projector) add(words, {"--mmproj", path(*model.projector)});
  std::string adapters;
  for (const ModelFile& file : model.adapters)
    adapters += (adapters.empty() ? "" : ",") + path(file);
  if (!adapters.empty()) add(words, {"--lora", adapters});
  if (model.draft) add(words, {"--model-draft", path(*model.draft)});
  EngineOptions options = request.options;
  // Before the template: only with it are all templates accepted.
  if (!options.jinja) options.jinja = true;
  options.context_size = static_cast<std::int64_t>(context);
  if (request.gpu == GpuChoice::kNone && !options.device) options.device = "none";
  if (placement.gpu_layers > 0)
    options.gpu_layers = static_cast<std::int64_t>(placement.gpu_layers);
  if (!installation.root.empty()) {
    // Flags that an older llama-server found on PATH may not know. Fitting loads the model twice.
    if (!options.cache_ram) options.cache_ram = kPromptCacheMiB;
    if (!options.fit && placement.device == "CPU") options.fit = "off";
  }
  const std::vector<std::string> flags = to_flags(options);
  words.insert(words.end(), flags.begin(), flags.end());
  if (model.chat_template) add(words, {"--chat-template-file", path(*model.chat_template)});
  if (options.mode != Mode::kCompletion) words.emplace_back("--embeddings");
  if (options.mode == Mode::kReranking) words.emplace_back("--reranking");
  return words;
}

Result<Launch> make_launch(const Installation& installation, const LaunchPlaces& places,
                           const LaunchRequest& request) {
  TRY_OK(check_files(request.files));
  TRY(const auto folder, make_runtime_folder(places.runtime_dir));
  const Devices devices = place(installation, places.devices, request);
  const bool boxed = request.isolation == Isolation::kSandbox;
  TRY(auto command, boxed ? in_sandbox(installation, places, request, devices, folder->path())
                          : unprotected(installation, request, devices, folder->path()));
  const std::string name = "berth-" + folder->path().substr(folder->path().rfind('/') + 1);
  TRY(auto cgroup, process::Cgroup::create(name, {request.memory_limit, kMaxTasks}));
  Launch launch{.command = std::move(command),
                .installation = installation,
                .socket = folder->path() + "/" + kSocketName,
                .context_size = context_of(request),
                .placement = devices.placement,
                .cgroup = std::move(cgroup),
                .runtime_folder = folder};
  if (launch.cgroup) launch.command.cgroup_procs = launch.cgroup->procs();
  launch.sandbox = sandbox_report(request.isolation, launch.cgroup ? "" : process::why_no_cgroup());
  return launch;
}

SandboxReport sandbox_report(Isolation isolation, const std::string& no_cgroup) {
  const std::string calls =
      fmt::format("deny-list of {} (seccomp)", process::SystemCallFilter::denied_calls().size());
  SandboxReport report;
  if (isolation == Isolation::kSandbox) {
    report = {{"sandbox", "bubblewrap"},
              {"namespaces", "user, mount, pid, network, ipc, uts, cgroup"},
              {"files", "engine and model read-only, private /tmp"},
              {"network", "none (unix socket only)"},
              {"capabilities", "none"}};
  } else {
    report = {{"sandbox", "off (--no-sandbox)"},
              {"network", "none (unix sockets only, by seccomp)"}};
  }
  report.insert(report.end(), {{"environment", "cleared"},
                               {"new privileges", "none"},
                               {"system calls", calls},
                               {"resource limits", "no core files, open files bounded"},
                               {"memory and process limits",
                                no_cgroup.empty() ? "cgroup v2" : "not in force: " + no_cgroup}});
  return report;
}

}  // namespace berth::engine
