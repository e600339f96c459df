#include "http/imposter.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/assert.h"
#include "http/server_connection.h"
#include "http/throwaway_certificate.h"
#include "rt/async.h"

namespace berth::http {
namespace {

constexpr std::uint64_t kLongestBody = 256 * 1024 * 1024;

// Responses are move-only; a scripted one is given out many times.
Response copy_of(const Response& response) {
  const auto* text = std::get_if<std::string>(&response.body.content);
  BERTH_ASSERT(text != nullptr);
  return {.status = response.status, .headers = response.headers, .body = Body(*text)};
}

rt::Task<Result<Response>> hang_on(rt::Op& op, Request request) {
  (void)request;
  CO_TRY_OK(co_await rt::sleep_until(op, rt::SteadyTime::max()));
  co_return Response{};
}

}  // namespace

struct Imposter::Core {
  Core(rt::Loop& its_loop, ServerLimits limits)
      : loop(its_loop), server(its_loop, router, limits), scope(its_loop) {}

  void start() { scope.spawn(server.serve(op)); }
  rt::Task<Status> end() {
    op.cancel();
    co_return co_await scope.join();
  }
  rt::Task<Result<Response>> answer(rt::Op& asking, Request request, Params params, Rule& rule);

  rt::Loop& loop;
  Router router;
  Server server;
  rt::Op op{"imposter"};
  rt::Scope scope;
  TcpEndpoint bound;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Rule>> rules;
  std::vector<Recorded> requests;
  std::unique_ptr<ThrowawayCertificate> certificate;
};

rt::Task<Result<Response>> Imposter::Core::answer(rt::Op& asking, Request request, Params params,
                                                  Rule& rule) {
  if (rule.steps_.empty()) co_return reply(501, "text/plain", "this rule has no answer\n");
  const Rule::Step step = rule.steps_[rule.next_];
  if (rule.next_ + 1 < rule.steps_.size()) ++rule.next_;
  Recorded recorded{.method = request.method,
                    .url = request.url,
                    .headers = request.headers,
                    .body = {},
                    .params = params};
  if (!step.unread && !step.work) {
    CO_TRY(recorded.body, co_await read_all(asking, std::move(request.body), kLongestBody));
  }
  requests.push_back(recorded);
  if (step.work) co_return co_await step.work(asking, std::move(request), std::move(params));
  co_return step.answer(recorded);
}

Imposter::Rule& Imposter::Rule::call(Answer answer) {
  steps_.push_back({.work = {}, .answer = std::move(answer)});
  return *this;
}
Imposter::Rule& Imposter::Rule::work(Work work) {
  steps_.push_back({.work = std::move(work), .answer = {}});
  return *this;
}
Imposter::Rule& Imposter::Rule::reply(Response response) {
  auto kept = std::make_shared<Response>(std::move(response));
  return call([kept](const Recorded&) { return copy_of(*kept); });
}
Imposter::Rule& Imposter::Rule::reply(int status, std::string body) {
  return reply(http::reply(status, body.empty() ? "" : "text/plain", std::move(body)));
}
Imposter::Rule& Imposter::Rule::raw(std::string bytes) {
  Response response{.status = kRawAnswer, .headers = {}, .body = Body(std::move(bytes))};
  return reply(std::move(response));
}
Imposter::Rule& Imposter::Rule::hang() {
  return work([](rt::Op& op, Request request, Params) { return hang_on(op, std::move(request)); });
}
Imposter::Rule& Imposter::Rule::unread() {
  BERTH_ASSERT(!steps_.empty());
  steps_.back().unread = true;
  return *this;
}

Imposter::Imposter(std::unique_ptr<Core> core) : core_(std::move(core)) {}

Imposter::Imposter(rt::Loop& loop, ServerLimits limits)
    : core_(std::make_unique<Core>(loop, limits)) {
  const auto bound = core_->server.listen_tcp("127.0.0.1", 0);
  BERTH_ASSERT(bound.has_value());
  core_->bound = *bound;
  core_->start();
}

std::unique_ptr<Imposter> Imposter::with_tls(rt::Loop& loop) {
  auto core = std::make_unique<Core>(loop, ServerLimits{});
  core->certificate = std::make_unique<ThrowawayCertificate>();
  const auto bound = core->server.listen_tls(
      "127.0.0.1", 0,
      {.certificate = core->certificate->certificate_file(), .key = core->certificate->key_file()});
  BERTH_ASSERT(bound.has_value());
  core->bound = *bound;
  core->start();
  return std::unique_ptr<Imposter>(new Imposter(std::move(core)));
}

Imposter::~Imposter() { (void)core_->loop.run(core_->end()); }

Imposter::Rule& Imposter::when(std::string_view method, std::string_view pattern) {
  auto& rule = core_->rules[{std::string(method), std::string(pattern)}];
  if (!rule) {
    rule = std::make_unique<Rule>();
    core_->router.add(
        method, pattern,
        [core = core_.get(), its_rule = rule.get()](rt::Op& op, Request request, Params params) {
          return core->answer(op, std::move(request), std::move(params), *its_rule);
        });
  }
  return *rule;
}

std::uint16_t Imposter::port() const { return core_->bound.port; }
std::string Imposter::authority() const { return to_string(Endpoint(core_->bound)); }
std::string Imposter::url(std::string_view path_and_query) const {
  return fmt::format("{}://{}{}", core_->certificate ? "https" : "http", authority(),
                     path_and_query);
}
Url Imposter::parsed_url(std::string_view path_and_query) const {
  return *parse_url(url(path_and_query));
}
std::string Imposter::ca_file() const {
  return core_->certificate ? core_->certificate->certificate_file() : "";
}

const std::vector<Recorded>& Imposter::requests() const { return core_->requests; }
void Imposter::forget_requests() { core_->requests.clear(); }
std::size_t Imposter::connections_made() const { return core_->server.accepted(); }
std::size_t Imposter::count(std::string_view method, std::string_view path) const {
  return static_cast<std::size_t>(
      std::ranges::count_if(core_->requests, [&](const Recorded& request) {
        return request.method == method && request.url.path == path;
      }));
}

}  // namespace berth::http
