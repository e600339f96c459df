#include <ranges>
#include <set>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/server_flags.h"

namespace berth::cli {
namespace {

struct Options {
  ServerFlags server;
};

Status check_listen(const std::string& address) {
  if (address.starts_with("unix:") && address.size() > 5) return {};
  const std::size_t colon = address.rfind(':');
  const std::string port = colon == std::string::npos ? address : address.substr(colon + 1);
  const auto number = parse_u64(port);
  if (number && *number <= 65535) return {};
  return fail(Code::kInvalid, "--listen takes HOST:PORT or unix:PATH, not \"{}\"",
              printable(address));
}

rt::Task<Result<int>> run(Context& context, Options& options) {
  CO_TRY(const ServeOptions serve, serve_options(options.server, context.globals));
  if (!context.environment.serve) co_return fail(Code::kUnsupported, "this build has no server");
  // The daemon makes its own loop and handles signals itself; this one stands still meanwhile and
  // has nothing to do.
  CO_TRY_OK(context.environment.serve(serve));
  co_return 0;
}

}  // namespace

std::vector<Flag> server_flags(ServerFlags& o) {
  return {
      {.name = "listen",
       .value = "ADDRESS",
       .help = "HOST:PORT or unix:PATH (may be repeated)",
       .target = &o.listen},
      {.name = "port",
       .value = "PORT",
       .help = "The same as --listen 127.0.0.1:PORT",
       .target = &o.port},
      {.name = "socket",
       .value = "PATH",
       .help = "The same as --listen unix:PATH",
       .target = &o.socket,
       .hidden = true},
      {.name = "models-path",
       .value = "DIR",
       .help = "The same as --store",
       .target = &o.models_path,
       .hidden = true},
      {.name = "require-token",
       .help = "Ask every client for a token (berth token create)",
       .target = &o.require_token},
      {.name = "registry",
       .help = "Serve a registry as well (see: berth registry serve)",
       .target = &o.registry},
      {.name = "tls-cert",
       .value = "FILE",
       .help = "TLS certificate chain (PEM)",
       .target = &o.tls_cert,
       .completes = Completes::kFile},
      {.name = "tls-key",
       .value = "FILE",
       .help = "TLS key (PEM)",
       .target = &o.tls_key,
       .completes = Completes::kFile},
      {.name = "behind-proxy",
       .value = "CIDR",
       .help = "Addresses of a proxy that does TLS and asks for tokens (may be repeated)",
       .target = &o.behind_proxy},
      {.name = "insecure",
       .help = "Listen beyond this machine without TLS and tokens",
       .target = &o.insecure},
      {.name = "allow-host",
       .value = "NAME",
       .help = "Another name that clients may call the server by (may be repeated)",
       .target = &o.allow_hosts},
      {.name = "no-sandbox", .help = "Run engines without a sandbox", .target = &o.no_sandbox},
      {.name = "gpu",
       .value = "KIND",
       .help = "Which GPU to use",
       .target = &o.gpu,
       .choices = {"auto", "none", "vulkan", "cuda", "rocm"}},
      {.name = "record-requests",
       .help = "Keep the last prompts and answers in memory (berth requests)",
       .target = &o.record_requests},
  };
}

Result<ServeOptions> serve_options(const ServerFlags& flags, const Globals& globals) {
  ServeOptions serve{.globals = globals,
                     .listen = flags.listen,
                     .allow_hosts = flags.allow_hosts,
                     .behind_proxy = flags.behind_proxy,
                     .tls_cert = flags.tls_cert,
                     .tls_key = flags.tls_key,
                     .require_token = flags.require_token,
                     .registry = flags.registry,
                     .record_requests = flags.record_requests,
                     .insecure = flags.insecure};
  if (flags.port) serve.listen.push_back(fmt::format("127.0.0.1:{}", *flags.port));
  if (!flags.socket.empty()) serve.listen.push_back("unix:" + flags.socket);
  if (!flags.models_path.empty()) serve.globals.store = flags.models_path;
  if (!flags.gpu.empty()) serve.globals.gpu = flags.gpu;
  serve.globals.no_sandbox = serve.globals.no_sandbox || flags.no_sandbox;
  for (const std::string& address : serve.listen) TRY_OK(check_listen(address));
  if (flags.tls_cert.empty() != flags.tls_key.empty()) {
    return fail(Code::kInvalid, "--tls-cert and --tls-key belong together; give both");
  }
  return serve;
}

std::vector<std::string> server_words(const ServeOptions& serve) {
  std::vector<std::string> words{"serve"};
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) words.insert(words.end(), {flag, value});
  };
  add("--store", serve.globals.store);
  add("--config", serve.globals.config);
  add("--log-level", serve.globals.log_level);
  add("--log-format", serve.globals.log_format);
  for (const std::string& address : serve.listen) add("--listen", address);
  for (const std::string& host : serve.allow_hosts) add("--allow-host", host);
  for (const std::string& range : serve.behind_proxy) add("--behind-proxy", range);
  add("--tls-cert", serve.tls_cert);
  add("--tls-key", serve.tls_key);
  add("--gpu", serve.globals.gpu);
  if (serve.require_token)
    words.push_back(*serve.require_token ? "--require-token" : "--require-token=false");
  if (serve.registry) words.push_back(*serve.registry ? "--registry" : "--registry=false");
  if (serve.record_requests)
    words.push_back(*serve.record_requests ? "--record-requests" : "--record-requests=false");
  if (serve.insecure) words.emplace_back("--insecure");
  if (serve.globals.no_sandbox) words.emplace_back("--no-sandbox");
  return words;
}

std::vector<std::string> merge_server_words(const std::vector<std::string>& before,
                                            const std::vector<std::string>& anew) {
  const auto flag_of = [](const std::string& word) { return word.substr(0, word.find('=')); };
  const auto is_flag = [](const std::string& word) { return word.starts_with("--"); };
  std::set<std::string> given;
  for (const std::string& word : anew) {
    if (is_flag(word)) given.insert(flag_of(word));
  }
  std::vector<std::string> merged{"serve"};
  bool keep = false;  // a value follows its flag's fate
  for (const std::string& word : before | std::views::drop(1)) {
    if (is_flag(word)) keep = !given.contains(flag_of(word));
    if (keep) merged.push_back(word);
  }
  merged.insert(merged.end(), anew.begin() + 1, anew.end());
  return merged;
}

Command serve_command() {
  auto o = std::make_shared<Options>();
  return {.name = "serve",
          .summary = "Serve models over HTTP until told to stop",
          .details =
              "Listens on the user's socket unless told otherwise. Beyond this machine it needs "
              "TLS and tokens, or\n"
              "--behind-proxy, or --insecure.",
          .examples =
              "berth serve\nberth serve --listen 127.0.0.1:12434\n"
              "berth serve --listen 0.0.0.0:12444 --tls-cert cert.pem --tls-key key.pem "
              "--require-token",
          .group = Group::kServer,
          .needs = Needs::kNothing,
          .flags = server_flags(o->server),
          .run = bound(o, run)};
}

}  // namespace berth::cli
