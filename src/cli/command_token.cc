// Tokens of the server: create, list, revoke.
#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/table.h"
#include "control/json.h"

namespace berth::cli {
namespace {

struct Create {
  std::string name;
  std::vector<std::string> scopes;
  std::string expires;
  Format format;
};
struct Listing {
  Format format;
  bool quiet = false;
};
struct Revoke {
  std::string id;
};

// "30d" is what people say of tokens; the rest is a duration.
Result<std::optional<std::chrono::seconds>> lifetime_of(const std::string& text) {
  if (text.empty() || text == "never") return std::nullopt;
  if (text.ends_with('d')) {
    if (const auto days = parse_u64(text.substr(0, text.size() - 1));
        days && *days > 0 && *days < 36500) {
      return std::chrono::days(*days);
    }
  }
  const auto duration = parse_duration(text);
  if (duration && *duration >= std::chrono::seconds(1))
    return std::chrono::duration_cast<std::chrono::seconds>(*duration);
  return fail(Code::kInvalid, "--expires takes a time such as 30d, 12h or never, not \"{}\"",
              printable(text));
}

std::string time_text(const std::optional<control::Time>& time, std::string_view otherwise) {
  return time ? format_rfc3339(*time) : std::string(otherwise);
}

rt::Task<Result<int>> create(Context& context, Create& options) {
  CO_TRY(const auto lifetime, lifetime_of(options.expires));
  CO_TRY(const auto created,
         context.services->tokens.create(options.name, options.scopes, lifetime));
  if (options.format.is_json()) {
    json::Object object = control::to_json(created.info);
    object["token"] = created.token.reveal();
    print_json(context.output, object);
    co_return 0;
  }
  context.output.note("Token {} is shown once; keep it now:", printable(created.info.id));
  context.output.print("{}\n", created.token.reveal());
  co_return 0;
}

rt::Task<Result<int>> list(Context& context, Listing& options) {
  CO_TRY(const auto tokens, context.services->tokens.list());
  if (options.format.is_json()) {
    print_json(context.output, json_array(tokens, [](const control::TokenInfo& token) {
                 return control::to_json(token);
               }));
    co_return 0;
  }
  Table table({"TOKEN ID", "NAME", "SCOPES", "CREATED", "EXPIRES"});
  for (const control::TokenInfo& token : tokens) {
    if (options.quiet) context.output.print("{}\n", printable(token.id));
    table.row({token.id, token.name, fmt::format("{}", fmt::join(token.scopes, ",")),
               time_text(token.created, ""), time_text(token.expires, "never")});
  }
  if (!options.quiet) context.output.out.write(table.text());
  co_return 0;
}

rt::Task<Result<int>> revoke(Context& context, Revoke& options) {
  CO_TRY(const bool revoked, context.services->tokens.revoke(options.id));
  if (!revoked)
    co_return fail(Code::kNotFound, "there is no token {}; see them with: {} token list",
                   printable(options.id), context.program);
  context.output.print("Revoked {}\n", printable(options.id));
  co_return 0;
}

}  // namespace

Command token_command() {
  auto c = std::make_shared<Create>();
  auto l = std::make_shared<Listing>();
  auto r = std::make_shared<Revoke>();
  return {
      .name = "token",
      .summary = "Tokens that clients of the server show",
      .group = Group::kMachine,
      .children = {
          {.name = "create",
           .summary = "Make a token and show it once",
           .examples = "berth token create --name ci --expires 90d",
           .group = Group::kMachine,
           .flags = with_format(
               c->format,
               {{.name = "name", .value = "NAME", .help = "What it is for", .target = &c->name},
                {.name = "scope",
                 .value = "SCOPE",
                 .help = "What it may do (may be repeated)",
                 .target = &c->scopes},
                {.name = "expires",
                 .value = "TIME",
                 .help = "After this it is void: 30d, 12h, never",
                 .target = &c->expires}}),
           .run = bound(c, create)},
          {.name = "list",
           .aliases = {"ls"},
           .summary = "List the tokens",
           .examples = "berth token list",
           .group = Group::kMachine,
           .flags = with_format(
               l->format,
               {{.name = "quiet", .letter = 'q', .help = "Only show IDs", .target = &l->quiet}}),
           .run = bound(l, list)},
          {.name = "revoke",
           .aliases = {"rm"},
           .summary = "Make a token void",
           .examples = "berth token revoke 0f3a9c",
           .group = Group::kMachine,
           .arguments = {{.name = "ID", .target = &r->id}},
           .run = bound(r, revoke)}}};
}

}  // namespace berth::cli
