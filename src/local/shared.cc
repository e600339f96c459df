#include "local/shared.h"

#include "remote/docker_config.h"
#include "remote/throttle.h"

namespace berth::local {

http::ClientOptions client_options(const config::Settings& settings) {
  http::ClientOptions options;
  options.ca_file = settings.registry.ca_file;
  options.trust_advice =
      "if you trust its authority, name the PEM file as ca_file under [registry] in config.toml, "
      "or "
      "in SSL_CERT_FILE";
  options.no_tls_advice =
      "if it speaks plain HTTP, name it in plain_http_hosts under [registry] in config.toml";
  options.proxy.http = settings.proxy.http;
  options.proxy.https = settings.proxy.https;
  options.proxy.exclude = settings.proxy.exclude;
  const auto& network = settings.network;
  options.limits.connect = network.connect_timeout;
  options.limits.tls = network.tls_timeout;
  options.limits.first_byte = network.first_byte_timeout;
  options.limits.stall = network.stall_timeout;
  options.limits.upload_stall = network.upload_stall_timeout;
  for (const auto& [name, host] : settings.registry.hosts) {
    const auto url = http::parse_url("https://" + remote::api_host(name));
    if (!url) continue;  // no name can lead there
    options.tls_of[url->authority()] = {.ca_file = host.ca_file,
                                        .client_certificate = host.client_certificate,
                                        .client_key = host.client_key};
  }
  return options;
}

namespace {

remote::HostOptions host_options(const config::RegistryHost& host) {
  remote::HostOptions options{.mirrors = host.mirrors,
                              .plain_http = host.plain_http,
                              .connections = host.connections,
                              .limit_rate = host.limit_rate};
  for (const auto& [name, value] : host.headers) options.headers.emplace_back(name, value);
  return options;
}

}  // namespace

remote::RegistryOptions registry_options(http::Client& client, remote::Credentials& credentials,
                                         const config::Settings& settings,
                                         remote::HostMemory* memory,
                                         remote::UploadJournal* journal) {
  remote::RegistryOptions options;
  options.send = remote::send_with(client);
  options.credentials = &credentials;
  options.insecure = settings.registry.plain_http;
  options.plain_http_hosts = settings.registry.plain_http_hosts;
  options.mirrors = settings.registry.mirrors;
  options.token_hosts = settings.registry.token_hosts;
  options.max_manifest_bytes = settings.registry.max_manifest;
  const auto& network = settings.network;
  options.first_byte = network.first_byte_timeout;
  options.retry.longest_retry_after = std::chrono::floor<std::chrono::seconds>(network.retry_after);
  options.connections = network.connections;
  if (network.limit_rate != 0)
    options.throttle = std::make_shared<remote::Throttle>(network.limit_rate);
  for (const auto& [name, host] : settings.registry.hosts)
    options.hosts[remote::canonical_registry(name)] = host_options(host);
  options.memory = memory;
  options.journal = journal;
  return options;
}

oci::ReferenceDefaults reference_defaults(const config::Settings& settings) {
  return {.registry = settings.registry.default_host,
          .organisation = settings.registry.organisation};
}

Shared::Shared(rt::Loop& event_loop, config::Configuration loaded,
               std::unique_ptr<store::Store> opened)
    : loop(event_loop),
      settings(std::move(loaded.settings)),
      paths(std::move(loaded.paths)),
      origins(std::move(loaded.origins)),
      defaults(reference_defaults(settings)),
      store(std::move(opened)),
      client(loop, client_options(settings)),
      credentials(loop),
      host_memory(loop, paths.data + "/transfer"),
      upload_journal(loop, paths.data + "/transfer/uploads"),
      registries(loop,
                 registry_options(client, credentials, settings, &host_memory, &upload_journal)) {}

Result<oci::Reference> remote_reference(const Shared& shared, std::string_view model) {
  TRY(oci::Reference reference, oci::parse_reference(model, shared.defaults));
  if (reference.registry == "huggingface.co") {
    return fail(
        Code::kUnsupported,
        "{} is on Hugging Face, which this version cannot reach; pull a model from an OCI registry",
        printable(model, 200));
  }
  if (reference.digest) reference.tag.clear();
  return reference;
}

rt::Task<Result<store::Found>> find_model(Shared& shared, rt::Op& op, std::string model) {
  CO_TRY(oci::ModelName name, oci::parse_model_name(model, shared.defaults));
  CO_TRY(auto found, co_await shared.store->find(op, name));
  if (!found) co_return not_here(model, "; pull it with: berth pull " + printable(model, 200));
  co_return std::move(*found);
}

std::string display_name(const Shared& shared, const store::Found& found) {
  if (found.tag) return found.tag->familiar(shared.defaults);
  if (found.record.tags.empty()) return found.record.id.short_hex();
  return found.record.tags.front().familiar(shared.defaults);
}

std::unexpected<Error> not_here(std::string_view model, std::string_view advice) {
  return fail(Code::kNotFound, "no model {} here{}", printable(model, 200), advice);
}

rt::Task<Result<model::Loaded>> load_local(Shared& shared, rt::Op& op, oci::Digest id) {
  // A digest alone is enough for the store; the name around it is never looked at.
  oci::Reference by_digest{.registry = "local", .repository = "model", .digest = id};
  CO_TRY(const oci::Descriptor descriptor, co_await shared.store->resolve(op, by_digest));
  co_return co_await model::load_model(op, shared.loop, *shared.store, descriptor);
}

rt::Task<Result<model::Summary>> summary_of(Shared& shared, rt::Op& op, store::Record record) {
  if (!record.metadata.empty()) {
    if (auto cached = model::summary_from_text(record.metadata)) co_return std::move(*cached);
  }
  CO_TRY(const model::Loaded loaded, co_await load_local(shared, op, record.id));
  model::Summary summary = model::summarize(loaded.model);
  // Only a cache: a read-only store is no reason to fail.
  (void)co_await shared.store->set_metadata(op, record.id, model::to_text(summary));
  co_return summary;
}

control::Model show(const store::Record& record, const model::Summary& summary) {
  control::Model shown;
  shown.id = record.id.string();
  for (const oci::Reference& tag : record.tags) shown.tags.push_back(tag.string());
  shown.created = record.added;
  shown.format = summary.format;
  shown.architecture = summary.architecture;
  shown.parameters = summary.parameters;
  shown.quantization = summary.quantization;
  shown.context_size = summary.context_size ? summary.context_size : summary.context_length;
  shown.size = summary.size;
  shown.partial = record.partial;
  shown.config["format"] = summary.format;
  shown.config["quantization"] = summary.quantization;
  shown.config["parameters"] = summary.parameters;
  shown.config["architecture"] = summary.architecture;
  shown.config["size"] = summary.config_size;
  if (summary.context_size) shown.config["context_size"] = *summary.context_size;
  // Docker's client looks here for what the weights were trained for; the rest of a GGUF's metadata
  // is shown with the one model that is asked for.
  if (summary.format == "gguf" && summary.context_length) {
    shown.config["gguf"] = json::Object{
        {summary.architecture + ".context_length", fmt::format("{}", *summary.context_length)}};
  }
  return shown;
}

namespace {

control::ModelFile show_file(const model::File& file) {
  return {.path = file.path,
          .role = std::string(model::to_string(file.role)),
          .media_type = file.descriptor.media_type,
          .digest = file.descriptor.digest.string(),
          .size = file.descriptor.size,
          .annotations = file.descriptor.annotations};
}

}  // namespace

control::ModelDetail show_detail(const model::Loaded& loaded) {
  const model::Model& model = loaded.model;
  control::ModelDetail detail;
  detail.model.id = model.id.string();
  detail.model.created = model.created.value_or(control::Time{});
  detail.model.format = model.format;
  detail.model.architecture = model.architecture;
  detail.model.parameters = model.parameters;
  detail.model.quantization = model.quantization;
  detail.model.context_size = model.context_size ? model.context_size : model.context_length;
  detail.model.size = model.size;
  detail.model.config = model.api_config;
  detail.artifact = model::display_name(model.kind);
  detail.media_type = loaded.manifest.media_type;
  detail.manifest_digest = loaded.manifest.digest.string();
  if (loaded.index) detail.index_digest = loaded.index->digest.string();
  detail.config_digest = model.config.digest.string();
  detail.annotations = model.annotations;
  for (const model::File& file : model.files) detail.files.push_back(show_file(file));
  detail.raw_manifest = loaded.manifest_bytes;
  return detail;
}

}  // namespace berth::local
