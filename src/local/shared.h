// What the verbs of this process share: the store, the way to registries, settings. Made once, by
// Local.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "config/settings.h"
#include "control/records.h"
#include "http/client.h"
#include "model/load.h"
#include "model/summary.h"
#include "oci/reference.h"
#include "remote/credentials.h"
#include "remote/host_memory.h"
#include "remote/registry.h"
#include "remote/upload_journal.h"
#include "rt/loop.h"
#include "store/store.h"

namespace berth::local {

struct Shared {
  Shared(rt::Loop& event_loop, config::Configuration loaded, std::unique_ptr<store::Store> opened);

  rt::Loop& loop;
  config::Settings settings;
  config::Paths paths;
  std::vector<config::Origin> origins;
  oci::ReferenceDefaults defaults;
  std::unique_ptr<store::Store> store;
  http::Client client;
  remote::CredentialStore credentials;
  remote::FileHostMemory host_memory;
  remote::FileUploadJournal upload_journal;
  remote::Registries registries;
};

oci::ReferenceDefaults reference_defaults(const config::Settings& settings);
// `memory` and `journal` may be null.
remote::RegistryOptions registry_options(http::Client& client, remote::Credentials& credentials,
                                         const config::Settings& settings,
                                         remote::HostMemory* memory = nullptr,
                                         remote::UploadJournal* journal = nullptr);
http::ClientOptions client_options(const config::Settings& settings);

// A reference that can be fetched or pushed. hf.co and friends are kUnsupported for now; a digest
// makes the tag meaningless, so it is dropped ("pulls that digest and nothing else").
Result<oci::Reference> remote_reference(const Shared& shared, std::string_view model);

// The model of that name in the store; kNotFound with a hint to pull it.
rt::Task<Result<store::Found>> find_model(Shared& shared, rt::Op& op, std::string model);

// What a model that was found is called: by the name that found it, else by its first.
std::string display_name(const Shared& shared, const store::Found& found);

// kNotFound for a model that is not in the store; `advice` follows ("; pull it with: …").
std::unexpected<Error> not_here(std::string_view model, std::string_view advice);

// The documents of a model that is here, by its manifest's digest.
rt::Task<Result<model::Loaded>> load_local(Shared& shared, rt::Op& op, oci::Digest id);

// The summary cached with a record; read from the model's own documents (and cached) when there is
// none yet.
rt::Task<Result<model::Summary>> summary_of(Shared& shared, rt::Op& op, store::Record record);

// Records as the product shows them.
control::Model show(const store::Record& record, const model::Summary& summary);
control::ModelDetail show_detail(const model::Loaded& loaded);

}  // namespace berth::local
