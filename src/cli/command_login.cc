#include "base/text.h"
#include "cli/commands.h"
#include "cli/format.h"

namespace berth::cli {
namespace {

struct Login {
  std::string registry;
  std::string user;
  std::string password;
  bool password_stdin = false;
};
struct Logout {
  std::string registry;
};

constexpr std::size_t kMaxPassword = 64 * 1024;  // tokens of clouds are long

std::string registry_or_default(const Context& context, const std::string& registry) {
  return registry.empty() ? context.names.registry : registry;
}

rt::Task<Result<std::string>> ask_user(Context& context) {
  if (!context.input.terminal()) {
    co_return fail(Code::kInvalid,
                   "nobody can be asked for the user name, since standard input is not a terminal; "
                   "give --username");
  }
  context.output.err.write("Username: ");
  context.output.err.flush();
  CO_TRY(const auto line, co_await context.input.read_line(context.loop, context.op));
  if (!line || trim(*line).empty()) co_return fail(Code::kInvalid, "no user name was given");
  co_return std::string(trim(*line));
}

// A password file ends with a newline that is not part of it.
std::string without_newline(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

rt::Task<Result<Secret>> password_of(Context& context, Login& options) {
  if (options.password_stdin) {
    CO_TRY(std::string text,
           co_await context.input.read_all(context.loop, context.op, kMaxPassword));
    co_return Secret(without_newline(std::move(text)));
  }
  if (!options.password.empty()) {
    context.output.alert(
        "warning: --password shows the password to everyone who can list processes; use "
        "--password-stdin");
    co_return Secret(std::exchange(options.password, {}));
  }
  if (!context.input.terminal()) {
    co_return fail(Code::kInvalid,
                   "nobody can be asked for the password, since standard input is not a terminal; "
                   "give --password-stdin");
  }
  context.output.err.write("Password: ");
  context.output.err.flush();
  co_return co_await context.input.read_secret(context.loop, context.op);
}

rt::Task<Result<int>> login(Context& context, Login& options) {
  if (options.password_stdin && !options.password.empty()) {
    co_return fail(Code::kInvalid, "--password and --password-stdin exclude each other");
  }
  if (options.password_stdin && options.user.empty())
    co_return fail(Code::kInvalid, "--password-stdin needs --username");
  if (options.user.empty()) {
    CO_TRY(options.user, co_await ask_user(context));
  }
  CO_TRY(Secret password, co_await password_of(context, options));
  if (password.empty()) co_return fail(Code::kInvalid, "the password is empty");
  const std::string registry = registry_or_default(context, options.registry);
  control::LoginRequest request{
      .registry = registry, .user = options.user, .password = std::move(password)};
  CO_TRY(const control::LoginResult kept,
         co_await context.services->machine.login(context.op, std::move(request)));
  if (kept.plain) {
    context.output.alert(
        "warning: the password lies unencrypted in {}; a credential helper (\"credsStore\" there) "
        "keeps it in a keychain",
        printable(kept.where, 1000));
  }
  context.output.print("Login Succeeded\n");
  co_return 0;
}

rt::Task<Result<int>> logout(Context& context, Logout& options) {
  const std::string registry = registry_or_default(context, options.registry);
  CO_TRY(const bool was, co_await context.services->machine.logout(context.op, registry));
  if (was) {
    context.output.print("Removed the login of {}\n", printable(registry));
  } else {
    context.output.note("Not logged in to {}", printable(registry));
  }
  co_return 0;
}

}  // namespace

Command login_command() {
  auto o = std::make_shared<Login>();
  return {.name = "login",
          .summary = "Log in to a registry",
          .details =
              "The login is checked against the registry and kept where docker keeps it "
              "(credential helpers included).",
          .examples =
              "berth login registry.example.com\ncat token | berth login -u robot --password-stdin "
              "registry.example.com",
          .group = Group::kMachine,
          .arguments = {{.name = "REGISTRY",
                         .count = Argument::Count::kOptional,
                         .target = &o->registry}},
          .flags = {{.name = "username",
                     .letter = 'u',
                     .value = "NAME",
                     .help = "User name",
                     .target = &o->user},
                    {.name = "password-stdin",
                     .help = "Read the password from standard input",
                     .target = &o->password_stdin},
                    {.name = "password",
                     .letter = 'p',
                     .value = "PASSWORD",
                     .help = "Password (shown to other users: avoid it)",
                     .target = &o->password}},
          .run = bound(o, login)};
}

Command logout_command() {
  auto o = std::make_shared<Logout>();
  return {.name = "logout",
          .summary = "Forget the login of a registry",
          .examples = "berth logout registry.example.com",
          .group = Group::kMachine,
          .arguments = {{.name = "REGISTRY",
                         .count = Argument::Count::kOptional,
                         .target = &o->registry}},
          .run = bound(o, logout)};
}

}  // namespace berth::cli
