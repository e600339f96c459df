// Berth's own part of the API, /v2/_berth: what the registry knows of its models.
#include "base/text.h"
#include "json/json.h"
#include "registryd/call.h"
#include "registryd/refusal.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kPage = 100;
constexpr std::size_t kMostPage = 1000;
constexpr std::size_t kMostWords = 16;

std::size_t most_rows(const Call& call) { return call.query("n") ? kMostPage : kPage; }

// A page of a list; ?n=0 asks for nothing and is refused, so that every page goes on.
std::expected<depot::PageRequest, Response> page_of(const Call& call) {
  auto request = page_request(call, most_rows(call));
  if (!request || request->limit == 0) return std::unexpected(bad_page());
  return std::move(*request);
}

json::Array array_of(const std::vector<std::string>& texts) {
  return json::Array(texts.begin(), texts.end());
}

// What is not known is left out.
json::Object json_of(const depot::ModelRecord& record) {
  const depot::ModelFacts& facts = record.facts;
  json::Object object{{"repository", record.repository},
                      {"digest", record.digest},
                      {"tags", array_of(record.tags)},
                      {"pushed", format_rfc3339(record.pushed)}};
  const auto text = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) object[key] = value;
  };
  const auto number = [&](std::string_view key, std::uint64_t value) {
    if (value != 0) object[key] = value;
  };
  text("name", facts.name);
  text("format", facts.format);
  text("architecture", facts.architecture);
  text("quantization", facts.quantization);
  text("license", facts.license);
  number("parameters", facts.parameters);
  number("context_length", facts.context_length);
  number("size", facts.size);
  if (!facts.findings.empty()) object["findings"] = array_of(facts.findings);
  return object;
}

json::Object json_of(const depot::Usage& usage, std::string_view name) {
  json::Object object{{name, usage.name},
                      {"bytes", usage.bytes},
                      {"shared", usage.shared},
                      {"own", usage.bytes - usage.shared}};
  if (name == "digest") object["tags"] = array_of(usage.tags);
  return object;
}

// Numbers that the query names are put where they belong; the name of one that is none.
std::optional<std::string_view> read_numbers(const Call& call, depot::ModelQuery& query) {
  const std::pair<std::string_view, std::uint64_t*> numbers[] = {
      {"min_parameters", &query.parameters.least},
      {"max_parameters", &query.parameters.most},
      {"min_context", &query.context_length.least},
      {"max_context", &query.context_length.most},
      {"min_size", &query.size.least},
      {"max_size", &query.size.most},
  };
  for (const auto& [name, target] : numbers) {
    const auto text = call.query(name);
    if (!text) continue;
    const auto number = parse_u64(*text);
    if (!number) return name;
    *target = *number;
  }
  return std::nullopt;
}

std::vector<std::string> words_of(const Call& call) {
  std::vector<std::string> words = split(call.query("q").value_or(""), ' ');
  std::erase(words, "");
  if (words.size() > kMostWords) words.resize(kMostWords);
  return words;
}

// The caller must outlive the query.
std::expected<depot::ModelQuery, Response> query_of(const Call& call) {
  auto page = page_of(call);
  if (!page) return std::unexpected(std::move(page.error()));
  depot::ModelQuery query{.words = words_of(call),
                          .repository = call.place.repository,
                          .architecture = call.query("architecture").value_or(""),
                          .quantization = call.query("quantization").value_or(""),
                          .format = call.query("format").value_or(""),
                          .license = call.query("license").value_or(""),
                          .limit = page->limit};
  if (const auto wrong = read_numbers(call, query)) {
    return std::unexpected(
        refuse(400, "UNSUPPORTED", fmt::format("?{}= takes a whole number", *wrong)));
  }
  const std::size_t at = page->last.find('@');
  query.last_repository = page->last.substr(0, at);
  if (at != std::string::npos) query.last_digest = page->last.substr(at + 1);
  if (query.repository.empty())
    query.sees = [&call](std::string_view repository) { return call.caller.sees(repository); };
  return query;
}

rt::Task<Result<Response>> find_models(rt::Op& op, Context& context, const Call& call) {
  auto query = query_of(call);
  if (!query) co_return std::move(query.error());
  const std::size_t limit = query->limit;
  CO_TRY_OK(co_await context.atlas.settled(op));
  CO_TRY(const depot::ModelPage page, co_await context.depot.models.search(op, std::move(*query)));
  json::Array models;
  for (const depot::ModelRecord& record : page.models) models.push_back(json_of(record));
  Response response = json_reply({{"models", std::move(models)}});
  if (page.more) {
    const depot::ModelRecord& last = page.models.back();
    link_next(response, call, fmt::format("{}@{}", last.repository, last.digest), limit);
  }
  co_return response;
}

rt::Task<Result<std::optional<Response>>> unknown_repository(rt::Op& op, Context& context,
                                                             const Call& call) {
  CO_TRY(const auto tags,
         co_await context.depot.lists.tags(op, call.place.repository, {.limit = 1}));
  if (tags) co_return std::nullopt;
  co_return refuse(404, "NAME_UNKNOWN",
                   fmt::format("there is no repository {}", call.place.repository));
}

}  // namespace

rt::Task<Result<Response>> search_models(rt::Op& op, Context& context, Call call) {
  co_return co_await find_models(op, context, call);
}

rt::Task<Result<Response>> list_models(rt::Op& op, Context& context, Call call) {
  CO_TRY(auto unknown, co_await unknown_repository(op, context, call));
  if (unknown) co_return std::move(*unknown);
  co_return co_await find_models(op, context, call);
}

rt::Task<Result<Response>> list_tag_states(rt::Op& op, Context& context, Call call) {
  auto page = page_of(call);
  if (!page) co_return std::move(page.error());
  CO_TRY(auto unknown, co_await unknown_repository(op, context, call));
  if (unknown) co_return std::move(*unknown);
  CO_TRY(const auto states,
         co_await context.depot.lists.tag_states(op, call.place.repository, *page));
  json::Array tags;
  for (const depot::TagState& state : states) {
    tags.push_back(json::Object{
        {"tag", state.tag}, {"digest", state.digest}, {"moved", format_rfc3339(state.moved)}});
  }
  Response response = json_reply({{"name", call.place.repository}, {"tags", std::move(tags)}});
  if (states.size() == page->limit) link_next(response, call, states.back().tag, page->limit);
  co_return response;
}

rt::Task<Result<Response>> list_history(rt::Op& op, Context& context, Call call) {
  auto page = page_of(call);
  if (!page) co_return std::move(page.error());
  const auto before = page->last.empty() ? depot::kNewestMove : parse_i64(page->last);
  if (!before) co_return refuse(400, "UNSUPPORTED", "?last= takes the number that a Link gave");
  CO_TRY(auto unknown, co_await unknown_repository(op, context, call));
  if (unknown) co_return std::move(*unknown);
  CO_TRY(const auto moves,
         co_await context.depot.lists.history(
             op, call.place.repository, call.query("tag").value_or(""), *before, page->limit));
  json::Array list;
  for (const depot::TagMove& move : moves) {
    json::Object object{{"tag", move.tag},
                        {"before", move.before},
                        {"after", move.after},
                        {"at", format_rfc3339(move.at)}};
    // Names of users are for users.
    if (call.caller.is_known()) object["actor"] = move.actor;
    list.push_back(std::move(object));
  }
  Response response = json_reply({{"name", call.place.repository}, {"moves", std::move(list)}});
  if (moves.size() == page->limit)
    link_next(response, call, fmt::to_string(moves.back().id), page->limit);
  co_return response;
}

rt::Task<Result<Response>> list_usage(rt::Op& op, Context& context, Call call) {
  auto page = page_of(call);
  if (!page) co_return std::move(page.error());
  CO_TRY(const depot::Page names, co_await visible_repositories(op, context, call, *page));
  CO_TRY(const auto usages, co_await context.depot.models.usage_of(op, names.names));
  json::Array list;
  for (const depot::Usage& usage : usages) list.push_back(json_of(usage, "name"));
  Response response = json_reply({{"repositories", std::move(list)}});
  if (names.more) link_next(response, call, names.names.back(), page->limit);
  co_return response;
}

rt::Task<Result<Response>> list_repository_usage(rt::Op& op, Context& context, Call call) {
  auto page = page_of(call);
  if (!page) co_return std::move(page.error());
  CO_TRY(auto unknown, co_await unknown_repository(op, context, call));
  if (unknown) co_return std::move(*unknown);
  CO_TRY(const auto usages,
         co_await context.depot.models.usage_in(op, call.place.repository, *page));
  json::Array list;
  for (const depot::Usage& usage : usages) list.push_back(json_of(usage, "digest"));
  Response response = json_reply({{"name", call.place.repository}, {"manifests", std::move(list)}});
  if (usages.size() == page->limit) link_next(response, call, usages.back().name, page->limit);
  co_return response;
}

}  // namespace berth::registryd
