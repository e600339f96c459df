#include "oci/reference.h"
#include "remote/field.h"
#include "remote/repository_state.h"

namespace berth::remote {
namespace {

constexpr std::uint64_t kMaxPageBytes = 4 * 1024 * 1024;
constexpr std::size_t kMaxAnswerBytes = std::size_t{64} << 20;  // of all pages
constexpr std::size_t kMaxTags = 200'000;

// Appends the tags of one page; names that are no tags are left out, since they become parts of
// URLs and lines on terminals.
Status add_tags(std::vector<std::string>& tags, const std::string& body, const std::string& what) {
  TRY(const json::Value value, json::parse(body, what));
  TRY(const auto page, json::View(value, what).strings_or_empty("tags"));
  for (const std::string& tag : page) {
    if (oci::is_tag(tag)) tags.push_back(tag);
  }
  if (tags.size() > kMaxTags)
    return fail(Code::kTooLarge, "{} lists more than {} tags", what, kMaxTags);
  return {};
}

bool is_accepted(int status) { return status == 200 || status == 202 || status == 204; }

}  // namespace

Task<Result<Page>> read_page(rt::Op& op, Endpoint& endpoint, Call call) {
  const std::string doing = call.doing;
  CO_TRY(Answer answer, co_await endpoint.send(op, std::move(call)));
  if (answer.status() != 200)
    co_return std::unexpected(co_await endpoint.error(op, doing, std::move(answer)));
  Page page{.headers = answer.response.headers, .body = "", .next = std::nullopt};
  auto body = co_await http::read_all(op, std::move(answer.response.body), kMaxPageBytes);
  if (!body) co_return std::unexpected(std::move(body.error()).with_context(doing));
  page.body = std::move(*body);
  const auto next = parse_next_link(page.headers.get("Link").value_or(""));
  if (!next) co_return page;
  CO_TRY(page.next, endpoint.wire().follow(answer.url, *next));
  if (!endpoint.wire().is_registry(*page.next)) {
    co_return fail(Code::kDenied, "{}: the list goes on at another host, {}", doing,
                   printable(page.next->authority(), 200));
  }
  co_return page;
}

Task<Result<std::vector<std::string>>> Repository::list_tags(rt::Op& op) {
  const std::string doing = "cannot list the tags of " + state_->full_name();
  Call call = state_->call(doing, "GET", state_->name + "/tags/list", "pull");
  call.url.query = "n=1000";
  std::vector<std::string> tags;
  for (int pages = 0; pages < kMaxPages; ++pages) {
    CO_TRY(Page page, co_await read_page(op, state_->origin(), call));
    CO_TRY_OK(in_context(add_tags(tags, page.body, "the tag list"), doing));
    if (!page.next) co_return tags;
    call.url = std::move(*page.next);
  }
  co_return fail(Code::kTooLarge, "{}: the list has more than {} pages", doing, kMaxPages);
}

Task<Result<std::vector<std::string>>> Registry::ask(rt::Op& op, Question question) const {
  Endpoint& endpoint = core_->origin();
  Call call{.doing = question.doing,
            .method = question.method,
            .url = endpoint.url(question.path, question.query),
            .repository = question.repository};
  if (!question.repository.empty()) call.scopes = ScopeSet::repository(question.repository, "pull");
  if (question.method != "GET") call.tries = Tries::kOnce;
  std::vector<std::string> pages;
  std::size_t bytes = 0;
  for (int count = 0; count < kMaxPages && bytes < kMaxAnswerBytes; ++count) {
    CO_TRY(Page page, co_await read_page(op, endpoint, call));
    bytes += page.body.size();
    pages.push_back(std::move(page.body));
    if (!page.next) co_return pages;
    call.url = std::move(*page.next);
  }
  co_return fail(Code::kTooLarge, "{}: the answer has more than {} pages or bytes", question.doing,
                 kMaxPages);
}

Task<Status> Repository::delete_manifest(rt::Op& op, std::string tag_or_digest) {
  if (!oci::is_tag(tag_or_digest)) CO_TRY_OK(oci::Digest::parse(tag_or_digest));
  const std::string doing = "cannot delete " + shown(state_->full_name(), tag_or_digest);
  co_return co_await state_->remove(op, doing, "/manifests/" + tag_or_digest);
}

Task<Status> Repository::delete_blob(rt::Op& op, oci::Digest digest) {
  const std::string doing = "cannot delete " + shown(state_->full_name(), digest.string());
  co_return co_await state_->remove(op, doing, "/blobs/" + digest.string());
}

Task<Status> Repository::State::remove(rt::Op& op, std::string doing, std::string path) {
  CO_TRY(Answer answer,
         co_await origin().send(op, call(doing, "DELETE", name + path, "pull,delete")));
  if (is_accepted(answer.status())) co_return Status();
  // docker-registry 2 takes a tag here for a broken digest.
  const bool tag = path.starts_with("/manifests/") && !path.contains(':');
  if (tag && (answer.status() == 400 || answer.status() == 405)) {
    co_return fail(Code::kNotAllowed,
                   "{}: {} does not delete single tags; delete the digest that the tag stands for",
                   doing, core->name());
  }
  co_return std::unexpected(co_await origin().error(op, doing, std::move(answer)));
}

}  // namespace berth::remote
