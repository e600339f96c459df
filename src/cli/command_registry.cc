#include "cli/commands.h"

namespace berth::cli {
namespace {

rt::Task<Result<int>> serve(Context& context, RegistryServeOptions& options) {
  options.globals = context.globals;
  if (options.tls_cert.empty() != options.tls_key.empty())
    co_return fail(Code::kInvalid, "--tls-cert and --tls-key belong together; give both");
  if (!context.environment.serve_registry)
    co_return fail(Code::kUnsupported, "this build has no registry");
  // It makes its own loop and handles signals itself; this one stands still meanwhile.
  CO_TRY_OK(context.environment.serve_registry(options));
  co_return 0;
}

}  // namespace

Command registry_command() {
  auto o = std::make_shared<RegistryServeOptions>();
  Command command{
      .name = "registry",
      .summary = "A registry for models, in this program",
      .group = Group::kServer,
      .children = {
          {.name = "serve",
           .summary = "Run the registry until it is told to stop",
           .details = "Any OCI client can push to it and pull from it: berth, docker, oras, "
                      "skopeo, crane, cosign. Without flags it listens on 127.0.0.1:5000.",
           .examples = "berth registry serve\n"
                       "berth registry serve --listen 127.0.0.1:0 --root /srv/models",
           .group = Group::kServer,
           .needs = Needs::kNothing,
           .flags = {{.name = "listen",
                      .value = "ADDRESS",
                      .help = "HOST:PORT or https://HOST:PORT (may be repeated)",
                      .target = &o->listen},
                     {.name = "root",
                      .value = "DIR",
                      .help = "Folder of the registry",
                      .target = &o->root,
                      .completes = Completes::kDirectory},
                     {.name = "tls-cert",
                      .value = "FILE",
                      .help = "TLS certificate chain (PEM)",
                      .target = &o->tls_cert,
                      .completes = Completes::kFile},
                     {.name = "tls-key",
                      .value = "FILE",
                      .help = "TLS key (PEM)",
                      .target = &o->tls_key,
                      .completes = Completes::kFile},
                     {.name = "htpasswd",
                      .value = "FILE",
                      .help = "Users and their passwords (htpasswd -cB FILE NAME)",
                      .target = &o->htpasswd,
                      .completes = Completes::kFile},
                     {.name = "anonymous-pull",
                      .help = "With users: pulling needs none",
                      .target = &o->anonymous_pull},
                     {.name = "behind-proxy",
                      .value = "CIDR",
                      .help = "Addresses of a proxy that does TLS and logs users in (may be "
                              "repeated)",
                      .target = &o->behind_proxy},
                     {.name = "mirror",
                      .value = "REGISTRY",
                      .help = "Be a proxy cache of it, below its name or PREFIX= (may be repeated)",
                      .target = &o->mirrors},
                     {.name = "allow-host",
                      .value = "NAME",
                      .help = "Another name that clients may call it by (may be repeated)",
                      .target = &o->allow_hosts},
                     {.name = "insecure",
                      .help = "Listen beyond this machine without asking who calls",
                      .target = &o->insecure}},
           .run = bound(o, serve)}}};
  for (Command& child : registry_view_commands()) command.children.push_back(std::move(child));
  for (Command& child : registry_care_commands()) command.children.push_back(std::move(child));
  return command;
}

}  // namespace berth::cli
