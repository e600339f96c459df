// For tests: the product's verbs over a few models in memory.
#pragma once

#include <algorithm>
#include <csignal>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/output.h"
#include "rt/async.h"

namespace berth::cli {

inline constexpr std::chrono::sys_seconds kFakeNow{std::chrono::seconds(1800000000)};

inline control::Model fake_model(std::string name, char hex) {
  control::Model model;
  model.id = "sha256:" + std::string(64, hex);
  model.tags = {std::move(name)};
  model.created = kFakeNow - std::chrono::minutes(3);
  model.format = "gguf";
  model.architecture = "llama";
  model.parameters = "134.52M";
  model.quantization = "Q4_1";
  model.context_size = 8192;
  model.size = 91739808;
  model.config = {{"format", "gguf"}, {"gguf", {{"general.name", "SmolLM2"}, {"evil", "\x1b[2J"}}}};
  return model;
}

class FakeReader : public rt::Reader {
 public:
  explicit FakeReader(std::string text) : text_(std::move(text)) {}
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    CO_TRY_OK(op.check());
    const std::size_t n = std::min({into.size(), text_.size() - at_, std::size_t(7)});
    std::copy_n(as_bytes(text_).data() + at_, n, into.data());
    at_ += n;
    co_return n;
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
};

inline rt::Task<Result<std::string>> drain(rt::Op& op, rt::Reader& reader) {
  std::string text;
  std::array<std::byte, 64> block{};
  while (true) {
    CO_TRY(const std::size_t n, co_await reader.read(op, block));
    if (n == 0) co_return text;
    text.append(as_text(std::span(block).first(n)));
  }
}

// What is here, what a registry has, what runs. Tests set it up and look at it afterwards.
struct FakeState {
  std::vector<control::Model> here;
  std::vector<control::Model> remote;
  std::vector<control::RunningModel> running;
  std::vector<control::Configuration> configurations;
  std::vector<control::ChatRequest> chats;
  std::vector<std::string> included;  // the patterns of the last pull
  std::vector<control::PackageRequest> packages;
  std::vector<control::TransferRequest> transfers;
  control::CheckResult check;
  std::vector<control::LoginRequest> logins;
  control::LoginResult login_result{.where = "pass"};
  bool daemon = false;  // one listens on the user's socket
  std::vector<control::TokenInfo> tokens;
  std::map<std::string, std::string> answers;  // by the last message's text
  std::string reasoning;
  std::string imported;
  control::StatusReport status;
  std::optional<Error> fail_with;  // what pull, push and login answer
  std::string requests = "[]";
  std::vector<control::RegistryModel> registry_models;
  std::vector<control::RegistryTag> registry_tags;
  std::vector<control::RegistryMove> registry_moves;
  std::vector<control::RegistryUsage> registry_usage;
  std::vector<control::RegistryPruned> registry_pruned;
  control::RegistryVerification registry_verified;
  control::RegistryEvents registry_events;
  // What the last command asked: the registry, and the conditions of a search.
  std::string registry_asked;
  control::RegistryQuery registry_query;
  bool hang_chat = false;  // waits for a cancel after the first words
  bool signal_during_pull = false;
  int connected = 0;
  int closed = 0;

  control::Model* find(const std::string& name) {
    for (control::Model& model : here) {
      if (model.id == name) return &model;
      for (const std::string& tag : model.tags) {
        if (tag == name || tag == "docker.io/ai/" + name + ":latest" ||
            tag == "docker.io/" + name + ":latest")
          return &model;
      }
    }
    return nullptr;
  }
};

class FakeModels : public control::Models {
 public:
  explicit FakeModels(FakeState& state) : state_(state) {}
  rt::Task<Result<std::vector<control::Model>>> list(rt::Op&) override { co_return state_.here; }
  rt::Task<Result<control::ModelDetail>> inspect(rt::Op&, std::string name, bool remote) override {
    control::ModelDetail detail;
    if (remote && !state_.remote.empty()) {
      detail.model = state_.remote[0];
      co_return detail;
    }
    const control::Model* model = state_.find(name);
    if (model == nullptr) co_return fail(Code::kNotFound, "no model {} here", name);
    detail.model = *model;
    detail.artifact = "docker.ai v0.1";
    detail.media_type = "application/vnd.oci.image.manifest.v1+json";
    detail.manifest_digest = model->id;
    detail.config_digest = "sha256:" + std::string(64, 'c');
    detail.annotations = {{"org.opencontainers.image.source", "https://example.com"}};
    detail.files = {{"model.gguf",
                     "weights",
                     "application/vnd.docker.ai.gguf.v3",
                     "sha256:" + std::string(64, 'f'),
                     91739808,
                     {},
                     false}};
    if (model->partial) {
      detail.files.push_back({.path = "LICENSE",
                              .role = "license",
                              .media_type = "application/vnd.docker.ai.license",
                              .digest = "sha256:" + std::string(64, 'e'),
                              .size = 1234,
                              .left_out = true});
    }
    detail.raw_manifest = "{\"schemaVersion\": 2}\n";
    co_return detail;
  }
  rt::Task<Result<std::string>> tag(rt::Op&, std::string source, std::string target) override {
    control::Model* model = state_.find(source);
    if (model == nullptr) co_return fail(Code::kNotFound, "no model {} here", source);
    model->tags.push_back(target);
    co_return target;
  }
  rt::Task<Result<control::RemoveResult>> remove(rt::Op&, std::string name, bool force) override {
    const control::Model* model = state_.find(name);
    if (model == nullptr) co_return fail(Code::kNotFound, "no model {} here", name);
    if (!state_.running.empty() && !force) co_return fail(Code::kConflict, "{} is running", name);
    control::RemoveResult result{{{"Untagged", model->tags[0]}, {"Deleted", model->id}},
                                 model->size};
    std::erase_if(state_.here,
                  [&](const control::Model& one) { return one.id == result.removed[1].what; });
    co_return result;
  }
  rt::Task<Result<control::RemoveResult>> purge(rt::Op&) override {
    control::RemoveResult result;
    for (const control::Model& model : state_.here) {
      result.removed.push_back({"Deleted", model.id});
      result.freed += model.size;
    }
    state_.here.clear();
    co_return result;
  }
  rt::Task<Result<control::PruneResult>> prune(rt::Op&, bool dry_run) override {
    co_return control::PruneResult{
        dry_run, {"sha256:" + std::string(64, 'd')}, {"ingest-1"}, 12345678};
  }

 private:
  FakeState& state_;
};

class FakeTransfers : public control::Transfers {
 public:
  explicit FakeTransfers(FakeState& state) : state_(state) {}
  rt::Task<Result<control::PullResult>> pull(rt::Op& op, control::PullRequest request,
                                             control::Events& events) override {
    if (state_.fail_with) co_return std::unexpected(*state_.fail_with);
    if (state_.signal_during_pull) {
      std::raise(SIGINT);
      CO_TRY_OK(co_await rt::sleep_for(op, std::chrono::minutes(10)));
    }
    if (state_.remote.empty())
      co_return fail(Code::kNotFound, "{} is not in the registry", request.model);
    const control::Model model = state_.remote[0];
    events.on({.kind = control::Event::Kind::kTotal, .size = model.size});
    for (const std::uint64_t at : {std::uint64_t(0), model.size / 2}) {
      events.on({.kind = control::Event::Kind::kLayer,
                 .layer = "sha256:" + std::string(64, 'f'),
                 .name = "model.gguf",
                 .current = at,
                 .size = model.size});
    }
    events.on({.kind = control::Event::Kind::kLayerDone,
               .layer = "sha256:" + std::string(64, 'f'),
               .name = "model.gguf",
               .size = model.size});
    state_.here.push_back(model);
    state_.here.back().partial = !request.include.empty();
    state_.included = request.include;
    co_return control::PullResult{.reference = model.tags[0],
                                  .digest = model.id,
                                  .id = model.id,
                                  .size = model.size,
                                  .transferred = model.size,
                                  .left_out = request.include.empty() ? 0U : 2U};
  }
  rt::Task<Result<control::PushResult>> push(rt::Op&, control::PushRequest request,
                                             control::Events& events) override {
    if (state_.fail_with) co_return std::unexpected(*state_.fail_with);
    const control::Model* model = state_.find(request.model);
    if (model == nullptr) co_return fail(Code::kNotFound, "no model {} here", request.model);
    events.on(
        {.kind = control::Event::Kind::kLayerExists, .layer = "sha256:" + std::string(64, 'f')});
    co_return control::PushResult{model->tags[0], model->id, model->size, 0};
  }
  rt::Task<Result<control::PackageResult>> package(rt::Op&, control::PackageRequest request,
                                                   control::Events&) override {
    state_.packages.push_back(request);
    co_return control::PackageResult{"docker.io/" + request.target + ":latest",
                                     "sha256:" + std::string(64, 'e'),
                                     91739808,
                                     {{"model.gguf", "reflinked"}}};
  }
  rt::Task<Result<control::TransferResult>> transfer(rt::Op&, control::TransferRequest request,
                                                     control::Events& events) override {
    if (state_.fail_with) co_return std::unexpected(*state_.fail_with);
    events.on({.kind = control::Event::Kind::kLayerMounted,
               .layer = "sha256:" + std::string(64, 'f'),
               .current = 91739808,
               .size = 91739808});
    state_.transfers.push_back(request);
    co_return control::TransferResult{.source = request.source + ":latest",
                                      .target = request.target + ":latest",
                                      .digest = "sha256:" + std::string(64, 'e'),
                                      .transferred = 500,
                                      .mounted = 91739808,
                                      .referrers = request.referrers ? 2u : 0u};
  }
  rt::Task<Result<std::string>> repackage(rt::Op&, std::string, std::string target,
                                          std::uint64_t context_size) override {
    const std::string full = fmt::format("docker.io/{}:latest", target);
    state_.here.push_back(fake_model(full, 'e'));
    state_.here.back().context_size = context_size;
    co_return full;
  }
  rt::Task<Result<std::unique_ptr<rt::Reader>>> export_tar(rt::Op&, std::string name) override {
    if (state_.find(name) == nullptr) co_return fail(Code::kNotFound, "no model {} here", name);
    co_return std::make_unique<FakeReader>("tar of " + name);
  }
  rt::Task<Result<std::vector<std::string>>> import_tar(rt::Op& op, rt::Reader& tar,
                                                        control::Events&) override {
    CO_TRY(state_.imported, co_await drain(op, tar));
    co_return std::vector<std::string>{"docker.io/ai/imported:latest"};
  }

 private:
  FakeState& state_;
};

class FakeRuns : public control::Runs {
 public:
  explicit FakeRuns(FakeState& state) : state_(state) {}
  rt::Task<Result<std::vector<control::RunningModel>>> ps(rt::Op&) override {
    co_return state_.running;
  }
  rt::Task<Result<std::uint64_t>> unload(rt::Op&, control::UnloadRequest) override {
    const std::uint64_t count = state_.running.size();
    state_.running.clear();
    co_return count;
  }
  rt::Task<Status> configure(rt::Op&, control::Configuration configuration) override {
    state_.configurations.push_back(std::move(configuration));
    co_return Status();
  }
  rt::Task<Result<std::vector<control::ConfigurationEntry>>> configurations(rt::Op&,
                                                                            std::string) override {
    std::vector<control::ConfigurationEntry> entries;
    for (const control::Configuration& one : state_.configurations)
      entries.push_back({"llama.cpp", one.model, "", one});
    co_return entries;
  }
  rt::Task<Result<control::ChatStats>> chat(rt::Op& op, control::ChatRequest request,
                                            control::ChatSink& sink) override {
    state_.chats.push_back(request);
    if (request.preload_only) co_return control::ChatStats{.device = "CPU"};
    if (!state_.reasoning.empty()) sink.on_reasoning(state_.reasoning);
    const json::Value& content = request.messages.back().as_object()["content"];
    const std::string asked =
        content.is_string() ? std::string(content.as_string()) : json::serialize(content);
    const auto known = state_.answers.find(asked);
    const std::string answer = known == state_.answers.end() ? "echo: " + asked : known->second;
    sink.on_content(answer.substr(0, 3));
    if (state_.hang_chat) {
      std::raise(SIGINT);
      CO_TRY_OK(co_await rt::sleep_for(op, std::chrono::minutes(10)));
    }
    sink.on_content(answer.substr(std::min<std::size_t>(3, answer.size())));
    co_return control::ChatStats{.load = std::chrono::milliseconds(440),
                                 .first_token = std::chrono::milliseconds(30),
                                 .total = std::chrono::milliseconds(1200),
                                 .prompt_tokens = 12,
                                 .completion_tokens = 34,
                                 .tokens_per_second = 56.7,
                                 .finish_reason = "stop",
                                 .device = "CPU"};
  }

 private:
  FakeState& state_;
};

class FakeSystem : public control::System {
 public:
  explicit FakeSystem(FakeState& state) : state_(state) {}
  rt::Task<Result<control::StatusReport>> status(rt::Op&) override { co_return state_.status; }
  rt::Task<Result<std::string>> server_version(rt::Op&) override { co_return "9.9.9"; }
  rt::Task<Result<control::DiskUsage>> df(rt::Op&) override {
    co_return control::DiskUsage{.models = 91739808, .engines = 45000000, .reclaimable = 1000};
  }
  rt::Task<Result<std::unique_ptr<rt::Reader>>> logs(rt::Op&, bool, bool engines) override {
    co_return std::make_unique<FakeReader>(engines ? "daemon line\nengine line\n"
                                                   : "daemon line\n");
  }
  rt::Task<Result<std::unique_ptr<rt::Reader>>> requests(rt::Op&, std::string, bool,
                                                         bool) override {
    co_return std::make_unique<FakeReader>(state_.requests);
  }

 private:
  FakeState& state_;
};

class FakeMachine : public control::Machine {
 public:
  explicit FakeMachine(FakeState& state) : state_(state) {}
  rt::Task<Result<std::string>> install_runner(rt::Op&, control::InstallRequest,
                                               control::Events& events) override {
    events.on({.kind = control::Event::Kind::kMessage, .message = "unpacking llama.cpp"});
    co_return "b9879";
  }
  rt::Task<Result<bool>> uninstall_runner(rt::Op&, std::string backend) override {
    co_return backend == "llama.cpp";
  }
  rt::Task<Result<std::vector<std::string>>> import_path(rt::Op&, control::ImportPath request,
                                                         control::Events&) override {
    state_.imported = request.path;
    co_return std::vector<std::string>{"docker.io/ai/from-folder:latest"};
  }
  rt::Task<Result<control::CheckResult>> check_store(rt::Op&, control::CheckRequest request,
                                                     control::Events&) override {
    control::CheckResult result = state_.check;
    for (control::CheckFinding& one : result.findings) {
      one.repaired = request.repair && one.kind != "missing";
    }
    if (request.read_data) result.read = result.bytes;
    co_return result;
  }
  rt::Task<Result<control::LoginResult>> login(rt::Op&, control::LoginRequest request) override {
    if (state_.fail_with) co_return std::unexpected(*state_.fail_with);
    state_.logins.push_back(std::move(request));
    co_return state_.login_result;
  }
  rt::Task<Result<bool>> logout(rt::Op&, std::string registry) override {
    co_return std::erase_if(state_.logins,
                            [&](const auto& login) { return login.registry == registry; }) > 0;
  }
  std::vector<control::Setting> settings() override {
    return {{"listen", "unix:/run/berth.sock", "default"}};
  }

 private:
  FakeState& state_;
};

class FakeTokens : public control::Tokens {
 public:
  explicit FakeTokens(FakeState& state) : state_(state) {}
  Result<Created> create(std::string name, std::vector<std::string> scopes,
                         std::optional<std::chrono::seconds> lifetime) override {
    control::TokenInfo info{fmt::format("id{}", state_.tokens.size()), std::move(name),
                            std::move(scopes), kFakeNow, std::nullopt};
    if (lifetime) info.expires = kFakeNow + *lifetime;
    state_.tokens.push_back(info);
    return Created{info, Secret("berth_secret")};
  }
  Result<std::vector<control::TokenInfo>> list() override { return state_.tokens; }
  Result<bool> revoke(std::string id) override {
    return std::erase_if(state_.tokens, [&](const auto& token) { return token.id == id; }) > 0;
  }

 private:
  FakeState& state_;
};

class FakeRegistryView : public control::RegistryView {
 public:
  explicit FakeRegistryView(FakeState& state) : state_(state) {}
  rt::Task<Result<std::vector<control::RegistryModel>>> models(
      rt::Op&, std::string registry, control::RegistryQuery query) override {
    if (state_.fail_with) co_return std::unexpected(*state_.fail_with);
    state_.registry_asked = registry;
    state_.registry_query = query;
    std::vector<control::RegistryModel> found = state_.registry_models;
    std::erase_if(found, [&](const control::RegistryModel& model) {
      return !query.repository.empty() && model.repository != query.repository;
    });
    co_return found;
  }
  rt::Task<Result<std::vector<control::RegistryTag>>> tags(rt::Op&, std::string,
                                                           std::string) override {
    co_return state_.registry_tags;
  }
  rt::Task<Result<std::vector<control::RegistryMove>>> history(rt::Op&, std::string, std::string,
                                                               std::string tag) override {
    std::vector<control::RegistryMove> moves = state_.registry_moves;
    std::erase_if(moves, [&](const auto& move) { return !tag.empty() && move.tag != tag; });
    co_return moves;
  }
  rt::Task<Result<std::vector<control::RegistryUsage>>> usage(rt::Op&, std::string,
                                                              std::string) override {
    co_return state_.registry_usage;
  }
  rt::Task<Result<control::RegistryCollection>> collect(rt::Op&, std::string registry,
                                                        bool dry_run) override {
    state_.registry_asked = registry;
    co_return control::RegistryCollection{.dry_run = dry_run, .blobs = 2, .bytes = 91739808};
  }
  rt::Task<Result<std::vector<control::RegistryPruned>>> prune(
      rt::Op&, std::string registry, control::RegistryPruning pruning) override {
    state_.registry_asked = registry;
    std::vector<control::RegistryPruned> pruned = state_.registry_pruned;
    for (control::RegistryPruned& one : pruned)
      if (!pruning.rules.empty()) one.why = pruning.rules.front();
    co_return pruned;
  }
  rt::Task<Result<control::RegistryVerification>> verify(rt::Op&, std::string registry,
                                                         std::string repository,
                                                         control::Events&) override {
    state_.registry_asked = registry;
    if (repository == "ai/smollm2")
      co_return control::RegistryVerification{
          .blobs = 3, .bytes = 91739808, .checked = 3, .checked_bytes = 91739808};
    co_return state_.registry_verified;
  }
  rt::Task<Result<control::RegistryEvents>> events(rt::Op&, std::string registry) override {
    state_.registry_asked = registry;
    co_return state_.registry_events;
  }
  rt::Task<Result<std::uint64_t>> revive(rt::Op&, std::string, std::string endpoint) override {
    co_return std::erase_if(state_.registry_events.dead_letters, [&](const auto& letter) {
      return endpoint.empty() || letter.endpoint == endpoint;
    });
  }

 private:
  FakeState& state_;
};

class FakeBackend : public Backend {
 public:
  explicit FakeBackend(FakeState& state)
      : state_(state),
        models_(state),
        transfers_(state),
        runs_(state),
        system_(state),
        machine_(state),
        tokens_(state),
        registries_(state) {}
  control::Services& services() override { return services_; }
  rt::Task<Status> close(rt::Op&) override {
    ++state_.closed;
    co_return Status();
  }

 private:
  FakeState& state_;
  FakeModels models_;
  FakeTransfers transfers_;
  FakeRuns runs_;
  FakeSystem system_;
  FakeMachine machine_;
  FakeTokens tokens_;
  FakeRegistryView registries_;
  control::Services services_{models_, transfers_, runs_, system_, machine_, tokens_, registries_};
};

}  // namespace berth::cli
