#include "local/registry_view.h"

#include <algorithm>

#include "http/message.h"
#include "json/json.h"
#include "oci/reference.h"

namespace berth::local {
namespace {

constexpr std::string_view kPageSize = "n=1000";

std::string query_of(const control::RegistryQuery& query) {
  std::string text(kPageSize);
  for (const auto& [name, value] : query.conditions)
    text += fmt::format("&{}={}", name, http::percent_encode(value));
  return text;
}

Status check_repository(std::string_view name) {
  if (oci::is_repository(name)) return {};
  return fail(Code::kInvalid,
              "\"{}\" is no repository name; write lower-case words joined by / . _ or -",
              printable(name, 200));
}

// The items of all pages.
template <class T>
Result<std::vector<T>> items_of(const std::vector<std::string>& pages, std::string_view key,
                                Result<T> (*read)(const json::View&)) {
  std::vector<T> items;
  for (const std::string& page : pages) {
    TRY(const json::Value value, json::parse(page, "the registry's answer"));
    TRY(const auto list, json::View(value, "the registry's answer").array_or_empty(key));
    for (const json::View& one : list) {
      TRY(T item, read(one));
      items.push_back(std::move(item));
    }
  }
  return items;
}

// Whether the question's query may name something that is not there.
enum class Names { kNothing, kSomething };

rt::Task<Result<std::vector<std::string>>> ask(Shared& shared, rt::Op& op, std::string host,
                                               remote::Registry::Question question,
                                               Names names = Names::kNothing) {
  CO_TRY(const remote::Registry registry, shared.registries.registry(host));
  // Its parts that name no repository are always there.
  const bool whole = names == Names::kNothing &&
                     question.path.find('/', question.path.find('/') + 1) == std::string::npos;
  auto pages = co_await registry.ask(op, std::move(question));
  if (!pages && whole && pages.error().code() == Code::kNotFound) {
    co_return fail(Code::kUnsupported,
                   "{} is no registry of Berth's, so it cannot tell what its models are: name one "
                   "with --registry HOST",
                   printable(host, 200));
  }
  co_return pages;
}

}  // namespace

rt::Task<Result<std::vector<control::RegistryModel>>> RegistryView::models(
    rt::Op& op, std::string registry, control::RegistryQuery query) {
  if (!query.repository.empty()) CO_TRY_OK(check_repository(query.repository));
  remote::Registry::Question question{
      .doing = "cannot look for models in " + registry,
      .path = query.repository.empty() ? "_berth/search" : "_berth/models/" + query.repository,
      .query = query_of(query),
      .repository = query.repository};
  CO_TRY(const auto pages, co_await ask(shared_, op, registry, std::move(question)));
  co_return items_of(pages, "models", control::registry_model_from);
}

rt::Task<Result<std::vector<control::RegistryTag>>> RegistryView::tags(rt::Op& op,
                                                                       std::string registry,
                                                                       std::string repository) {
  CO_TRY_OK(check_repository(repository));
  remote::Registry::Question question{
      .doing = fmt::format("cannot list the tags of {}/{}", registry, repository),
      .path = "_berth/tags/" + repository,
      .query = std::string(kPageSize),
      .repository = repository};
  CO_TRY(const auto pages, co_await ask(shared_, op, registry, std::move(question)));
  co_return items_of(pages, "tags", control::registry_tag_from);
}

rt::Task<Result<std::vector<control::RegistryMove>>> RegistryView::history(rt::Op& op,
                                                                           std::string registry,
                                                                           std::string repository,
                                                                           std::string tag) {
  CO_TRY_OK(check_repository(repository));
  remote::Registry::Question question{
      .doing = fmt::format("cannot read the history of {}/{}", registry, repository),
      .path = "_berth/history/" + repository,
      .query = fmt::format("{}&tag={}", kPageSize, http::percent_encode(tag)),
      .repository = repository};
  CO_TRY(const auto pages, co_await ask(shared_, op, registry, std::move(question)));
  co_return items_of(pages, "moves", control::registry_move_from);
}

rt::Task<Result<std::vector<control::RegistryUsage>>> RegistryView::usage(rt::Op& op,
                                                                          std::string registry,
                                                                          std::string repository) {
  const bool all = repository.empty();
  if (!all) CO_TRY_OK(check_repository(repository));
  remote::Registry::Question question{
      .doing = fmt::format("cannot weigh {}", all ? registry : registry + "/" + repository),
      .path = all ? "_berth/usage" : "_berth/usage/" + repository,
      .query = std::string(kPageSize),
      .repository = repository};
  CO_TRY(const auto pages, co_await ask(shared_, op, registry, std::move(question)));
  co_return items_of(pages, all ? "repositories" : "manifests", control::registry_usage_from);
}

rt::Task<Result<control::RegistryCollection>> RegistryView::collect(rt::Op& op,
                                                                    std::string registry,
                                                                    bool dry_run) {
  remote::Registry::Question question{.doing = "cannot free space in " + registry,
                                      .method = "POST",
                                      .path = "_berth/collect",
                                      .query = dry_run ? "dry_run=true" : ""};
  CO_TRY(const auto pages, co_await ask(shared_, op, registry, std::move(question)));
  if (pages.empty()) co_return fail(Code::kCorrupt, "{} answered nothing", registry);
  CO_TRY(const json::Value value, json::parse(pages[0], "the registry's answer"));
  co_return control::registry_collection_from(json::View(value, "the registry's answer"));
}

rt::Task<Result<std::vector<control::RegistryPruned>>> RegistryView::prune(
    rt::Op& op, std::string registry, control::RegistryPruning pruning) {
  std::string query = pruning.dry_run ? "dry_run=true" : "dry_run=false";
  for (const std::string& rule : pruning.rules) query += "&rule=" + http::percent_encode(rule);
  remote::Registry::Question question{.doing = "cannot prune " + registry,
                                      .method = "POST",
                                      .path = "_berth/prune",
                                      .query = std::move(query)};
  CO_TRY(const auto pages, co_await ask(shared_, op, registry, std::move(question)));
  co_return items_of(pages, "pruned", control::registry_pruned_from);
}

rt::Task<Result<control::RegistryVerification>> RegistryView::verify(rt::Op& op,
                                                                     std::string registry,
                                                                     std::string repository,
                                                                     control::Events& progress) {
  if (!repository.empty()) CO_TRY_OK(check_repository(repository));
  remote::Registry::Question question{
      .doing = fmt::format("cannot verify {}",
                           repository.empty() ? registry : registry + "/" + repository),
      .method = "POST",
      .path = "_berth/verify",
      .query = repository.empty() ? "" : "repository=" + http::percent_encode(repository)};
  for (;;) {
    const Names names = question.query.empty() ? Names::kNothing : Names::kSomething;
    CO_TRY(const auto pages, co_await ask(shared_, op, registry, question, names));
    if (pages.empty()) co_return fail(Code::kCorrupt, "{} answered nothing", registry);
    CO_TRY(const json::Value value, json::parse(pages[0], "the registry's answer"));
    CO_TRY(auto seen,
           control::registry_verification_from(json::View(value, "the registry's answer")));
    progress.on({.kind = control::Event::Kind::kLayer,
                 .name = "stored",
                 .current = seen.checked_bytes,
                 .size = seen.bytes});
    if (!seen.running) co_return seen;
    question.method = "GET";
    question.query = fmt::format("pass={}", seen.pass);
  }
}

rt::Task<Result<control::RegistryEvents>> RegistryView::events(rt::Op& op, std::string registry) {
  remote::Registry::Question question{.doing = "cannot list the events of " + registry,
                                      .path = "_berth/events"};
  CO_TRY(auto pages, co_await ask(shared_, op, registry, std::move(question)));
  control::RegistryEvents events;
  CO_TRY(events.dead_letters, items_of(pages, "dead_letters", control::registry_dead_letter_from));
  pages.resize(std::min<std::size_t>(pages.size(), 1));
  CO_TRY(events.endpoints, items_of(pages, "endpoints", control::registry_endpoint_from));
  co_return events;
}

rt::Task<Result<std::uint64_t>> RegistryView::revive(rt::Op& op, std::string registry,
                                                     std::string endpoint) {
  remote::Registry::Question question{.doing = "cannot send events of " + registry + " again",
                                      .method = "POST",
                                      .path = "_berth/revive",
                                      .query = "endpoint=" + http::percent_encode(endpoint)};
  CO_TRY(const auto pages, co_await ask(shared_, op, registry, std::move(question)));
  if (pages.empty()) co_return fail(Code::kCorrupt, "{} answered nothing", registry);
  CO_TRY(const json::Value value, json::parse(pages[0], "the registry's answer"));
  co_return json::View(value, "the registry's answer").u64("revived");
}

}  // namespace berth::local
