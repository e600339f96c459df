// The care of a registry: collection, retention, events that nobody took, and reading what is
// stored. Berth's own part.
#include "base/text.h"
#include "oci/reference.h"
#include "registryd/call.h"
#include "registryd/refusal.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kDeadAPage = 200;
constexpr std::chrono::seconds kPatience{5};  // of an answer about a pass that goes on

std::expected<bool, Response> dry_run_of(const Call& call) {
  const std::string asked = call.query("dry_run").value_or("false");
  if (asked == "true" || asked == "1" || asked.empty()) return true;
  if (asked == "false" || asked == "0") return false;
  return std::unexpected(refuse(400, "UNSUPPORTED", "?dry_run= takes true or false"));
}

json::Object json_of(const depot::Pruned& pruned) {
  json::Object object{{"repository", pruned.repository}, {"digest", pruned.digest}};
  if (!pruned.tag.empty()) object["tag"] = pruned.tag;
  object["why"] = pruned.why;
  return object;
}

json::Object json_of(const depot::Delivery& letter) {
  const depot::Event& event = letter.event;
  return {{"id", event.id},
          {"endpoint", letter.endpoint},
          {"event", depot::to_string(event.kind)},
          {"repository", event.repository},
          {"tag", event.tag},
          {"digest", event.digest.empty() ? event.before : event.digest},
          {"at", format_rfc3339(std::chrono::floor<std::chrono::seconds>(event.at))},
          {"attempts", letter.attempts},
          {"fault", letter.fault}};
}

json::Object json_of(const depot::Damage& damage) {
  json::Array repositories;
  for (const depot::Damage::Hurt& hurt : damage.hurts) {
    repositories.push_back(json::Object{{"repository", hurt.repository},
                                        {"tags", json::Array(hurt.tags.begin(), hurt.tags.end())}});
  }
  return {{"digest", damage.digest},
          {"size", damage.size},
          {"fault", depot::to_string(damage.kind)},
          {"repositories", std::move(repositories)}};
}

json::Object json_of(const depot::Verification& seen) {
  json::Array damages;
  for (const depot::Damage& damage : seen.damages) damages.push_back(json_of(damage));
  json::Object object{{"pass", seen.pass},       {"running", seen.running},
                      {"blobs", seen.blobs},     {"bytes", seen.bytes},
                      {"checked", seen.checked}, {"checked_bytes", seen.checked_bytes},
                      {"damaged", seen.damaged}, {"damages", std::move(damages)}};
  if (!seen.repository.empty()) object["repository"] = seen.repository;
  return object;
}

rt::Task<Result<Response>> tell(rt::Op& op, Context& context, std::uint64_t pass) {
  CO_TRY(const auto seen, co_await context.depot.care.verification(op, pass, kPatience));
  if (!seen) {
    co_return refuse(404, "UNKNOWN",
                     fmt::format("check {} is not known any more (the registry was started again, "
                                 "or others came since): begin it again",
                                 pass));
  }
  if (seen->failure) co_return std::unexpected(*seen->failure);
  co_return json_reply(json_of(*seen));
}

}  // namespace

rt::Task<Result<Response>> collect(rt::Op& op, Context& context, Call call) {
  const auto dry_run = dry_run_of(call);
  if (!dry_run) co_return dry_run_of(call).error();
  CO_TRY(const depot::Collected freed,
         co_await context.depot.care.collect(
             op, {.grace = context.options.collect_grace, .dry_run = *dry_run}));
  co_return json_reply({{"dry_run", *dry_run},
                        {"hidden", freed.members},
                        {"blobs", freed.blobs},
                        {"bytes", freed.bytes}});
}

rt::Task<Result<Response>> prune(rt::Op& op, Context& context, Call call) {
  const auto dry_run = dry_run_of(call);
  if (!dry_run) co_return dry_run_of(call).error();
  const auto pruned = co_await context.depot.care.prune(
      op, {.rules = http::query_get_all(call.request.url.query, "rule"),
           .dry_run = *dry_run,
           .actor = call.caller.subject});
  if (!pruned) co_return refuse(pruned.error(), "UNKNOWN", "UNSUPPORTED");
  json::Array list;
  for (const depot::Pruned& one : *pruned) list.push_back(json_of(one));
  co_return json_reply({{"dry_run", *dry_run}, {"pruned", std::move(list)}});
}

rt::Task<Result<Response>> list_events(rt::Op& op, Context& context, Call call) {
  const auto last = parse_i64(call.query("last").value_or("0"));
  if (!last) co_return refuse(400, "UNSUPPORTED", "?last= takes the number that a Link gave");
  CO_TRY(const auto backlog, co_await context.depot.events.backlog(op));
  CO_TRY(const auto dead, co_await context.depot.events.dead_letters(op, *last, kDeadAPage));
  json::Array endpoints;
  for (const auto& one : backlog) {
    endpoints.push_back(
        json::Object{{"endpoint", one.endpoint}, {"waiting", one.waiting}, {"dead", one.dead}});
  }
  json::Array letters;
  for (const depot::Delivery& letter : dead) letters.push_back(json_of(letter));
  Response response =
      json_reply({{"endpoints", std::move(endpoints)}, {"dead_letters", std::move(letters)}});
  if (dead.size() >= kDeadAPage)
    link_next(response, call, fmt::to_string(dead.back().event.id), kDeadAPage);
  co_return response;
}

rt::Task<Result<Response>> revive_events(rt::Op& op, Context& context, Call call) {
  CO_TRY(const std::uint64_t revived,
         co_await context.depot.events.revive(op, call.query("endpoint").value_or("")));
  co_return json_reply({{"revived", revived}});
}

rt::Task<Result<Response>> verify(rt::Op& op, Context& context, Call call) {
  const std::string repository = call.query("repository").value_or("");
  if (!repository.empty() && !oci::is_repository(repository)) {
    co_return refuse(400, "NAME_INVALID",
                     fmt::format("\"{}\" is no repository name", printable(repository, 80)));
  }
  CO_TRY(const auto pass, co_await context.depot.care.verify(op, repository));
  if (!pass) {
    co_return refuse(404, "NAME_UNKNOWN", fmt::format("there is no repository {}", repository));
  }
  co_return co_await tell(op, context, *pass);
}

rt::Task<Result<Response>> verification(rt::Op& op, Context& context, Call call) {
  const auto pass = parse_u64(call.query("pass").value_or(""));
  if (!pass) co_return refuse(400, "UNSUPPORTED", "?pass= takes the number that a POST gave");
  co_return co_await tell(op, context, *pass);
}

}  // namespace berth::registryd
