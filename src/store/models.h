// Models and their tags in the catalogue.
//
// Blocking, inside a transaction of Catalog; what moves a tag is also appended to refs.log there.
#pragma once

#include <optional>
#include <vector>

#include "store/blobs.h"
#include "store/layout.h"
#include "store/records.h"
#include "store/statement.h"

namespace berth::store {

// A tag and what it stands for: a manifest, or an index of which `model` is the manifest in use.
struct TagRow {
  oci::Reference reference;
  oci::Digest target;
  oci::Digest model;
};

Result<std::vector<Record>> list_models(Database& database);  // by time of arrival
Result<std::optional<Record>> find_model(Database& database, const oci::Digest& id);
Result<std::optional<Found>> find_by_name(Database& database, const oci::ModelName& name,
                                          const oci::ReferenceDefaults& defaults);

Result<std::optional<TagRow>> find_tag(Database& database, const oci::Reference& reference);
Result<std::vector<TagRow>> list_tags(Database& database);

// kConflict when the target or what it needs is not here.
Status set_tag(Database& database, const Layout& layout, const oci::Descriptor& target,
               const oci::Reference& reference);
Result<Untagged> remove_tag(Database& database, const Layout& layout,
                            const oci::Reference& reference);
// The entry and its tags; content stays for the collector. Returns what they stood for.
Result<std::vector<oci::Digest>> remove_model(Database& database, const Layout& layout,
                                              const oci::Digest& id);
enum class Which { kAll, kUntagged };
// Entries only, as remove_model. With dry_run they go as well: the caller undoes its transaction.
Result<std::vector<oci::Digest>> remove_models(Database& database, const Layout& layout,
                                               Which which, DryRun dry_run);
Status select_model(Database& database, const Layout& layout, const oci::Digest& index,
                    const oci::Digest& manifest);
Status set_model_metadata(Database& database, const oci::Digest& id, const std::string& metadata);

// Rows alone, without checks and log (rebuild).
Status insert_model(Database& database, const oci::Digest& id, std::chrono::sys_seconds added);
Status insert_tag(Database& database, const TagRow& row);

}  // namespace berth::store
