// What the tests of api stand on: `control` with state in memory, engines with scripts, and whole
// exchanges as values. Tests only.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <gtest/gtest.h>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "api/api.h"
#include "control/control.h"
#include "rt/async.h"

namespace berth::api::fakes {

inline const std::string kId = "sha256:" + std::string(64, 'a');

inline std::unexpected<Error> no_model(const std::string& name) {
  return fail(Code::kNotFound, "no model {} here; pull it with: berth pull {}", name, name);
}

struct Models : control::Models {
  std::vector<control::Model> kept;

  control::Model* find(const std::string& name) {
    for (control::Model& model : kept) {
      if (model.id == name) return &model;
      for (const std::string& tag : model.tags) {
        if (tag == name || tag == "docker.io/" + name + ":latest") return &model;
      }
    }
    return nullptr;
  }

  rt::Task<Result<std::vector<control::Model>>> list(rt::Op&) override { co_return kept; }
  rt::Task<Result<control::ModelDetail>> inspect(rt::Op&, std::string name, bool remote) override {
    if (remote)
      co_return control::ModelDetail{.model = {.id = kId, .tags = {"x"}, .format = "gguf"}};
    const control::Model* model = find(name);
    if (!model) co_return no_model(name);
    co_return control::ModelDetail{.model = *model, .manifest_digest = model->id};
  }
  rt::Task<Result<std::string>> tag(rt::Op&, std::string source, std::string target) override {
    control::Model* model = find(source);
    if (!model) co_return no_model(source);
    model->tags.push_back(target);
    co_return target;
  }
  rt::Task<Result<control::RemoveResult>> remove(rt::Op&, std::string name, bool force) override {
    control::Model* model = find(name);
    if (!model) co_return no_model(name);
    if (model->id == name && model->tags.size() > 1 && !force) {
      co_return fail(Code::kConflict,
                     "unable to delete {} (must be forced) due to multiple tag references", name);
    }
    control::RemoveResult result;
    for (const std::string& tag : model->tags) result.removed.push_back({"Untagged", tag});
    result.removed.push_back({"Deleted", model->id});
    result.freed = model->size;
    std::erase_if(kept, [&](const control::Model& one) { return &one == model; });
    co_return result;
  }
  rt::Task<Result<control::RemoveResult>> purge(rt::Op&) override {
    kept.clear();
    co_return control::RemoveResult{};
  }
  rt::Task<Result<control::PruneResult>> prune(rt::Op&, bool dry_run) override {
    co_return control::PruneResult{.dry_run = dry_run, .freed = 7};
  }
};

// Gives text and then ends.
struct TextReader : rt::Reader {
  explicit TextReader(std::string content) : text(std::move(content)) {}
  std::string text;
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    CO_TRY_OK(op.check());
    const std::size_t count = std::min(into.size(), text.size());
    std::memcpy(into.data(), text.data(), count);
    text.erase(0, count);
    co_return count;
  }
};

struct Transfers : control::Transfers {
  // What a pull or push tells before its end; then `failure`, or waiting for its Op when `hangs`.
  std::vector<control::Event> events;
  std::optional<Error> failure;
  bool hangs = false;
  std::function<void()> on_hang = [] {};
  bool cached = false;
  bool cancelled = false;
  std::string imported;
  std::string bearer;

  rt::Task<Status> play(rt::Op& op, control::Events& sink) {
    for (const control::Event& event : events) sink.on(event);
    if (hangs) {
      on_hang();
      const Status slept = co_await rt::sleep_until(op, rt::SteadyTime::max());
      cancelled = true;
      co_return slept;
    }
    if (failure) co_return std::unexpected(*failure);
    co_return Status();
  }
  rt::Task<Result<control::PullResult>> pull(rt::Op& op, control::PullRequest request,
                                             control::Events& sink) override {
    bearer = request.bearer_token;
    CO_TRY_OK(co_await play(op, sink));
    co_return control::PullResult{
        .reference = request.model, .digest = kId, .id = kId, .size = 91'700'000, .cached = cached};
  }
  rt::Task<Result<control::PushResult>> push(rt::Op& op, control::PushRequest request,
                                             control::Events& sink) override {
    CO_TRY_OK(co_await play(op, sink));
    co_return control::PushResult{.reference = request.model, .digest = kId};
  }
  rt::Task<Result<control::PackageResult>> package(rt::Op&, control::PackageRequest,
                                                   control::Events&) override {
    co_return fail(Code::kUnsupported, "no");
  }
  rt::Task<Result<control::TransferResult>> transfer(rt::Op&, control::TransferRequest,
                                                     control::Events&) override {
    co_return fail(Code::kUnsupported, "no");
  }
  rt::Task<Result<std::string>> repackage(rt::Op&, std::string source, std::string target,
                                          std::uint64_t) override {
    if (source == "missing") co_return no_model(source);
    co_return target;
  }
  rt::Task<Result<std::unique_ptr<rt::Reader>>> export_tar(rt::Op&, std::string model) override {
    if (model != "ai/m") co_return no_model(model);
    co_return std::make_unique<TextReader>("tar of " + model);
  }
  rt::Task<Result<std::vector<std::string>>> import_tar(rt::Op& op, rt::Reader& tar,
                                                        control::Events&) override {
    std::array<std::byte, 7> chunk;
    while (true) {
      CO_TRY(const std::size_t count, co_await tar.read(op, chunk));
      if (count == 0) break;
      imported += as_text(Bytes(chunk).first(count));
    }
    if (imported == "junk") co_return fail(Code::kInvalid, "this is no tar of a model");
    if (imported == "torn") co_return fail(Code::kCorrupt, "the archive ends in a header");
    co_return std::vector<std::string>{kId};
  }
};

struct Runs : control::Runs {
  std::vector<control::RunningModel> running;
  std::vector<control::Configuration> configured;
  std::optional<Error> refusal;

  rt::Task<Result<std::vector<control::RunningModel>>> ps(rt::Op&) override { co_return running; }
  rt::Task<Result<std::uint64_t>> unload(rt::Op&, control::UnloadRequest request) override {
    co_return request.all ? running.size() : request.models.size();
  }
  rt::Task<Status> configure(rt::Op&, control::Configuration configuration) override {
    if (refusal) co_return std::unexpected(*refusal);
    configured.push_back(std::move(configuration));
    co_return Status();
  }
  rt::Task<Result<std::vector<control::ConfigurationEntry>>> configurations(rt::Op&,
                                                                            std::string) override {
    std::vector<control::ConfigurationEntry> entries;
    for (const auto& one : configured) entries.push_back({"llama.cpp", one.model, kId, one});
    co_return entries;
  }
  rt::Task<Result<control::ChatStats>> chat(rt::Op&, control::ChatRequest,
                                            control::ChatSink&) override {
    co_return fail(Code::kUnsupported, "no");
  }
};

struct System : control::System {
  rt::Task<Result<control::StatusReport>> status(rt::Op&) override {
    co_return control::StatusReport{
        .running = true,
        .endpoint = "/run/berth.sock",
        .backends = {{"llama.cpp", "Running", "llama.cpp b1"}, {"vllm", "Not Installed", ""}},
        .store = "/store"};
  }
  rt::Task<Result<std::string>> server_version(rt::Op&) override { co_return "0.1.0"; }
  rt::Task<Result<control::DiskUsage>> df(rt::Op&) override {
    co_return control::DiskUsage{.models = 5, .engines = 3};
  }
  rt::Task<Result<std::unique_ptr<rt::Reader>>> logs(rt::Op&, bool follow, bool engines) override {
    co_return std::make_unique<TextReader>(fmt::format("follow={} engines={}\n", follow, engines));
  }
  rt::Task<Result<std::unique_ptr<rt::Reader>>> requests(rt::Op&, std::string, bool,
                                                         bool) override {
    co_return fail(Code::kUnsupported, "no");
  }
};

struct Machine : control::Machine {
  std::vector<std::string> installed;
  rt::Task<Result<std::string>> install_runner(rt::Op&, control::InstallRequest request,
                                               control::Events&) override {
    installed.push_back(request.backend);
    co_return "1";
  }
  rt::Task<Result<bool>> uninstall_runner(rt::Op&, std::string backend) override {
    co_return std::erase(installed, backend) > 0;
  }
  rt::Task<Result<std::vector<std::string>>> import_path(rt::Op&, control::ImportPath,
                                                         control::Events&) override {
    co_return fail(Code::kUnsupported, "no");
  }
  rt::Task<Result<control::CheckResult>> check_store(rt::Op&, control::CheckRequest,
                                                     control::Events&) override {
    co_return fail(Code::kUnsupported, "no");
  }
  rt::Task<Result<control::LoginResult>> login(rt::Op&, control::LoginRequest) override {
    co_return control::LoginResult();
  }
  rt::Task<Result<bool>> logout(rt::Op&, std::string) override { co_return false; }
  std::vector<control::Setting> settings() override { return {{"engine.gpu", "auto", "default"}}; }
};

struct Tokens : control::Tokens {
  Result<Created> create(std::string, std::vector<std::string>,
                         std::optional<std::chrono::seconds>) override {
    return fail(Code::kUnsupported, "no");
  }
  Result<std::vector<control::TokenInfo>> list() override {
    return std::vector<control::TokenInfo>();
  }
  Result<bool> revoke(std::string) override { return false; }
};

// A body in pieces: text, then its end, an error, or waiting for its Op.
struct Piece {
  std::string text;
  std::optional<Error> error;
  bool hang = false;
};
struct PieceReader : rt::Reader {
  explicit PieceReader(
      std::vector<Piece> script, std::function<void()> gone = [] {})
      : pieces(script.begin(), script.end()), on_gone(std::move(gone)) {}
  ~PieceReader() override { on_gone(); }
  std::deque<Piece> pieces;
  std::function<void()> on_gone;
  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    CO_TRY_OK(op.check());
    if (pieces.empty()) co_return 0;
    Piece& piece = pieces.front();
    if (piece.error) co_return std::unexpected(*piece.error);
    if (piece.hang)
      co_return std::unexpected((co_await rt::sleep_until(op, rt::SteadyTime::max())).error());
    const std::size_t count = std::min(into.size(), piece.text.size());
    std::memcpy(into.data(), piece.text.data(), count);
    piece.text.erase(0, count);
    if (piece.text.empty()) pieces.pop_front();
    co_return count;
  }
};

// Engines whose n-th answer is the n-th of `answers` (the last one stays).
struct Engines : api::Engines {
  using Answer =
      std::function<Result<http::Response>(const http::Request&, const std::string& body)>;
  struct Seen {
    std::string path;
    std::string body;
  };

  std::vector<Answer> answers;
  std::vector<Seen> seen;
  std::vector<std::string> acquired;  // "model mode backend"
  std::optional<Error> refusal;
  std::string death;
  int held = 0;

  struct Service : http::Service {
    explicit Service(Engines& of) : engines(of) {}
    Engines& engines;
    rt::Task<Result<http::Response>> handle(rt::Op& op, http::Request request) override {
      CO_TRY(const std::string body, co_await http::read_all(op, std::move(request.body), 1 << 30));
      if (request.url.path == "/metrics")
        co_return http::reply(200, "text/plain", "# HELP llamacpp:n x\nllamacpp:n 4\n");
      engines.seen.push_back({request.url.path, body});
      const std::size_t at = std::min(engines.seen.size(), engines.answers.size()) - 1;
      co_return engines.answers[at](request, body);
    }
  };
  struct Engine : api::Engine {
    explicit Engine(Engines& of) : engines(of), its_service(of) { ++engines.held; }
    ~Engine() override { --engines.held; }
    Engines& engines;
    Service its_service;
    EngineInfo its_info{.backend = "llama.cpp",
                        .model_id = kId,
                        .model = "m",
                        .device = "CPU",
                        .load_time = std::chrono::milliseconds(12)};
    http::Service& service() override { return its_service; }
    const EngineInfo& info() const override { return its_info; }
    std::string death() const override { return engines.death; }
  };

  rt::Task<Result<std::unique_ptr<api::Engine>>> acquire(rt::Op&, Wanted wanted) override {
    acquired.push_back(
        fmt::format("{} {} {}", wanted.model, static_cast<int>(wanted.mode), wanted.backend));
    if (wanted.context_size) acquired.back() += fmt::format(" ctx {}", *wanted.context_size);
    if (refusal) co_return std::unexpected(*refusal);
    co_return std::make_unique<Engine>(*this);
  }
  std::vector<Scrape> running() override {
    return {{std::make_shared<Service>(*this), "llama.cpp", "m", "completion"}};
  }

  void answer(std::string type, std::vector<Piece> pieces, std::function<void()> gone = [] {}) {
    answers.push_back(
        [type, pieces, gone](const http::Request&, const std::string&) -> Result<http::Response> {
          http::Response response;
          response.headers.set("Content-Type", type);
          response.body = http::Body(std::make_unique<PieceReader>(pieces, gone), std::nullopt);
          return response;
        });
  }
  void die(std::string message) {
    answers.push_back(
        [message](const http::Request&, const std::string&) -> Result<http::Response> {
          return fail(Code::kUnavailable, "{}", message);
        });
  }
};

struct Got {
  int status = 0;
  http::Headers headers;
  std::string body;
  std::string header(std::string_view name) const {
    return std::string(headers.get(name).value_or(""));
  }
};

// The API asks no registry about itself.
struct RegistryView : control::RegistryView {
  rt::Task<Result<std::vector<control::RegistryModel>>> models(rt::Op&, std::string,
                                                               control::RegistryQuery) override {
    co_return std::vector<control::RegistryModel>();
  }
  rt::Task<Result<std::vector<control::RegistryTag>>> tags(rt::Op&, std::string,
                                                           std::string) override {
    co_return std::vector<control::RegistryTag>();
  }
  rt::Task<Result<std::vector<control::RegistryMove>>> history(rt::Op&, std::string, std::string,
                                                               std::string) override {
    co_return std::vector<control::RegistryMove>();
  }
  rt::Task<Result<std::vector<control::RegistryUsage>>> usage(rt::Op&, std::string,
                                                              std::string) override {
    co_return std::vector<control::RegistryUsage>();
  }
  rt::Task<Result<control::RegistryCollection>> collect(rt::Op&, std::string, bool) override {
    co_return control::RegistryCollection();
  }
  rt::Task<Result<std::vector<control::RegistryPruned>>> prune(rt::Op&, std::string,
                                                               control::RegistryPruning) override {
    co_return std::vector<control::RegistryPruned>();
  }
  rt::Task<Result<control::RegistryVerification>> verify(rt::Op&, std::string, std::string,
                                                         control::Events&) override {
    co_return control::RegistryVerification();
  }
  rt::Task<Result<control::RegistryEvents>> events(rt::Op&, std::string) override {
    co_return control::RegistryEvents();
  }
  rt::Task<Result<std::uint64_t>> revive(rt::Op&, std::string, std::string) override {
    co_return std::uint64_t{0};
  }
};

// The whole API over the fakes.
struct ApiTest : testing::Test {
  rt::Loop loop{1};
  Models models;
  Transfers transfers;
  Runs runs;
  System system;
  Machine machine;
  Tokens tokens;
  RegistryView registries;
  Engines engines;
  metrics::Registry metrics;
  Options options;
  std::unique_ptr<Api> made;
  std::string peer = "unix";

  ApiTest() {
    models.kept.push_back({.id = kId,
                           .tags = {"docker.io/ai/m:latest", "registry.example/team/other:v1"},
                           .created = control::Time(std::chrono::seconds(1'700'000'000)),
                           .format = "gguf",
                           .architecture = "llama",
                           .parameters = "134.52M",
                           .quantization = "Q4_1",
                           .context_size = 2048,
                           .size = 91,
                           .config = {{"format", "gguf"}, {"quantization", "Q4_1"}}});
  }
  ~ApiTest() override {
    if (made) EXPECT_TRUE(loop.run(made->drain()));
  }

  Api& api() {
    if (!made) {
      control::Services services{models, transfers, runs, system, machine, tokens, registries};
      made = std::make_unique<Api>(loop, services, engines, metrics, options);
    }
    return *made;
  }

  http::Request request(std::string method, std::string target, std::string body = "") {
    http::Request made_request;
    made_request.method = std::move(method);
    const std::size_t mark = target.find('?');
    made_request.url = {
        .scheme = "http", .host = "localhost", .port = 80, .path = target.substr(0, mark)};
    if (mark != std::string::npos) made_request.url.query = target.substr(mark + 1);
    made_request.peer = peer;
    if (!body.empty()) made_request.headers.set("Content-Type", "application/json");
    made_request.body = http::Body(std::move(body));
    return made_request;
  }

  static rt::Task<Got> exchange(rt::Op& op, Api& api, http::Request request) {
    auto response = co_await api.handle(op, std::move(request));
    if (!response) co_return Got{.status = 0, .headers = {}, .body = response.error().message()};
    Got got{.status = response->status, .headers = response->headers, .body = {}};
    auto body = co_await http::read_all(op, std::move(response->body), 1 << 30);
    got.body = body ? *body : "(broken: " + body.error().message() + ")";
    co_return got;
  }
  Got send(http::Request to_send) {
    rt::Op op("test");
    Api& target = api();
    return loop.run(exchange(op, target, std::move(to_send)));
  }
  Got send(std::string method, std::string target, std::string body = "") {
    return send(request(std::move(method), std::move(target), std::move(body)));
  }
};

}  // namespace berth::api::fakes
