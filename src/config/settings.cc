#include "config/settings.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iterator>

#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include "base/text.h"
#include "config/hosts.h"
#include "config/table.h"
#include "config/webhooks.h"
#include "fs/file.h"

namespace berth::config {
namespace {

constexpr std::size_t kMaxFile = 1024 * 1024;

struct Builder {
  Settings settings;
  std::vector<std::string> sources = std::vector<std::string>(table().size(), "default");
  std::vector<Origin> host_origins;

  Status set(const Key& key, const Written& written, const std::string& source,
             const std::string& where) {
    TRY_OK(in_context(key.set(settings, written), fmt::format("{}: {}", where, key.path)));
    sources[static_cast<std::size_t>(&key - table().data())] = source;
    return {};
  }
};

Result<std::string> scalar_text(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return fmt::format("{}", number->get());
  if (const auto* flag = node.as_boolean()) return std::string(flag->get() ? "true" : "false");
  return fail(Code::kInvalid, "expected a string, a whole number, true or false");
}

Result<Written> written(const toml::node& node) {
  Written out;
  const auto* array = node.as_array();
  if (!array) {
    TRY(std::string text, scalar_text(node));
    out.items.push_back(std::move(text));
    return out;
  }
  out.is_list = true;
  for (const toml::node& item : *array) {
    TRY(std::string text, scalar_text(item));
    out.items.push_back(std::move(text));
  }
  return out;
}

std::string line_of(const std::string& file, const toml::node& node) {
  return fmt::format("{} line {}", file, node.source().begin.line);
}

bool is_section(std::string_view path) {
  const std::string prefix = std::string(path) + ".";
  for (const Key& key : table()) {
    if (key.path.starts_with(prefix)) return true;
  }
  return false;
}

// Tables that have a name of their own, as [registry.host."NAME"]: only a file can have them.
template <class Item>
struct Named {
  std::string_view path;
  std::string_view what;  // "a registry"
  std::map<std::string, Item>& items;
  Result<std::string> (*name)(std::string_view text);
  Result<Origin> (*set)(Item& item, std::string_view key, const Written& written);
  Status (*check)(const Item& item);
};

template <class Item>
Status read_named(Builder& builder, const Named<Item>& named, const toml::table& tables,
                  const std::string& file) {
  for (const auto& [text, node] : tables) {
    const std::string where = line_of(file, node);
    const auto* section = node.as_table();
    if (!section) {
      return fail(Code::kInvalid, "{}: write a table for each {}: [{}.\"NAME\"]", where, named.what,
                  named.path);
    }
    TRY(const std::string name, in_context(named.name(text.str()), where));
    Item& item = named.items[name];
    for (const auto& [key, value] : *section) {
      const std::string path = fmt::format("{}.\"{}\".{}", named.path, name, key.str());
      const std::string at = fmt::format("{}: {}", line_of(file, value), printable(path, 400));
      TRY(const Written written_value, in_context(written(value), at));
      TRY(Origin origin, in_context(named.set(item, key.str(), written_value), at));
      origin.key = path;
      origin.source = "config.toml: " + file;
      builder.host_origins.push_back(std::move(origin));
    }
    TRY_OK(in_context(named.check(item), fmt::format("{}: {}.\"{}\"", where, named.path, name)));
  }
  return {};
}

// Whether it was one of those.
Result<bool> read_named_tables(Builder& builder, const std::string& path, const toml::node& node,
                               const std::string& file) {
  const auto* tables = node.as_table();
  const Named<RegistryHost> hosts{.path = "registry.host",
                                  .what = "registry",
                                  .items = builder.settings.registry.hosts,
                                  .name = host_name,
                                  .set = set_host_key,
                                  .check = check_host};
  const Named<Webhook> webhooks{.path = "registry_server.webhook",
                                .what = "webhook",
                                .items = builder.settings.registry_server.webhooks,
                                .name = webhook_name,
                                .set = set_webhook_key,
                                .check = check_webhook};
  if (tables == nullptr) return false;
  if (path == hosts.path) {
    TRY_OK(read_named(builder, hosts, *tables, file));
    return true;
  }
  if (path == webhooks.path) {
    TRY_OK(read_named(builder, webhooks, *tables, file));
    return true;
  }
  return false;
}

Status read_table(Builder& builder, const toml::table& toml, const std::string& prefix,
                  const std::string& file) {
  for (const auto& [name, node] : toml) {
    const std::string path = prefix + std::string(name.str());
    const std::string where = line_of(file, node);
    TRY(const bool was_named, read_named_tables(builder, path, node, file));
    if (was_named) continue;
    if (const auto* section = node.as_table(); section && is_section(path)) {
      TRY_OK(read_table(builder, *section, path + ".", file));
      continue;
    }
    const Key* key = find_key(path);
    if (!key) {
      return fail(Code::kInvalid, "{}: there is no setting \"{}\"; the nearest is \"{}\"", where,
                  printable(path, 100), nearest_key(path));
    }
    TRY(const Written value, in_context(written(node), fmt::format("{}: {}", where, path)));
    TRY_OK(builder.set(*key, value, "config.toml: " + file, where));
  }
  return {};
}

Result<std::optional<std::string>> read_file(const std::string& file, bool must_exist) {
  const std::filesystem::path path(file);
  auto folder = fs::Dir::open(path.parent_path().string());
  auto text = folder ? folder->read_small(path.filename().string(), kMaxFile)
                     : Result<std::string>(std::unexpected(folder.error()));
  if (text) return std::optional(std::move(*text));
  if (text.error().code() == Code::kNotFound && !must_exist) return std::nullopt;
  return std::unexpected(
      std::move(text.error()).with_context(fmt::format("cannot read the settings in {}", file)));
}

Status read_toml(Builder& builder, const std::string& file, bool must_exist) {
  TRY(const auto text, read_file(file, must_exist));
  if (!text) return {};
  const toml::parse_result parsed = toml::parse(std::string_view(*text), file);
  if (!parsed) {
    return fail(Code::kInvalid, "{} line {}: {}", file, parsed.error().source().begin.line,
                printable(parsed.error().description(), 300));
  }
  return read_table(builder, parsed.table(), "", file);
}

Status read_environment(Builder& builder, const Environment& environment) {
  for (const Key& key : table()) {
    for (const std::string& name : key.environment) {
      const auto value = environment.get(name);
      if (!value) continue;
      TRY_OK(builder.set(key, {.items = {*value}}, "environment: " + name,
                         "environment variable " + name));
      break;
    }
  }
  return {};
}

Status read_flags(Builder& builder, const Inputs& inputs) {
  for (const auto& [path, value] : inputs.flags) {
    const Key* key = find_key(path);
    if (!key) {
      return fail(Code::kInvalid, "there is no setting \"{}\"; the nearest is \"{}\"",
                  printable(path, 100), nearest_key(path));
    }
    TRY_OK(builder.set(*key, {.items = {value}}, "flag", "flag"));
  }
  return {};
}

void make_absolute(Settings& settings, const Environment& environment) {
  for (std::string* path :
       {&settings.store.root, &settings.server.tls_certificate, &settings.server.tls_key,
        &settings.registry_server.root, &settings.registry_server.tls_certificate,
        &settings.registry_server.tls_key, &settings.registry_server.htpasswd,
        &settings.registry_server.ollama_keys, &settings.registry.ca_file,
        &settings.client.tls_ca_cert, &settings.engine.llama_server}) {
    *path = absolute_path(environment, *path);
  }
  for (auto& [name, host] : settings.registry.hosts) {
    for (std::string* path : {&host.ca_file, &host.client_certificate, &host.client_key})
      *path = absolute_path(environment, *path);
  }
}

}  // namespace

Result<Configuration> load(const Inputs& inputs) {
  TRY(const Paths before, resolve_paths(inputs.environment, inputs.config_file));
  Builder builder;
  TRY_OK(read_toml(builder, before.config_file, !inputs.config_file.empty()));
  TRY_OK(read_environment(builder, inputs.environment));
  TRY_OK(read_flags(builder, inputs));
  make_absolute(builder.settings, inputs.environment);
  Configuration out;
  out.settings = std::move(builder.settings);
  TRY(out.paths, resolve_paths(inputs.environment, inputs.config_file, out.settings.store.root,
                               out.settings.server.socket));
  for (std::size_t i = 0; i < table().size(); ++i) {
    const Key& key = table()[i];
    out.origins.push_back({key.path, key.show(out.settings), builder.sources[i], key.doc});
  }
  std::ranges::move(builder.host_origins, std::back_inserter(out.origins));
  return out;
}

std::vector<KeyInfo> known_keys() {
  const Settings defaults;
  std::vector<KeyInfo> out;
  for (const Key& key : table())
    out.push_back({key.path, key.environment, key.doc, key.show(defaults)});
  return out;
}

}  // namespace berth::config
