// Models of which only some files are wanted here: how a pull brings them, and what they are good
// for. Loop thread.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/glob.h"
#include "local/shared.h"
#include "model/selection.h"

namespace berth::local {

// The patterns of a pull; kInvalid for one that is none.
Result<std::vector<Glob>> parse_patterns(const std::vector<std::string>& texts);
// What they choose; everything when there are none.
rt::Task<Result<model::Selection>> choose_files(rt::Op& op, rt::Loop& loop,
                                                const model::Model& model,
                                                const std::vector<Glob>& include);

// The store for one who does not want all of a manifest.
class PartialStore : public content::Storage {
 public:
  PartialStore(store::Store& store, oci::Digest manifest, std::set<oci::Digest> unwanted)
      : store_(store), manifest_(std::move(manifest)), unwanted_(std::move(unwanted)) {}

  rt::Task<Result<content::Source>> fetch(rt::Op& op, oci::Descriptor blob,
                                          content::ByteRange range) override;
  rt::Task<Result<bool>> has(rt::Op& op, oci::Descriptor blob) override;
  rt::Task<Status> put(rt::Op& op, oci::Descriptor blob, content::Fetcher& from,
                       content::Progress& progress) override;

 private:
  store::Store& store_;
  oci::Digest manifest_;
  std::set<oci::Digest> unwanted_;
};

// For what needs the whole model: kConflict, naming what is missing, when some was left out.
rt::Task<Status> check_whole(Shared& shared, rt::Op& op, const model::Model& model,
                             const store::Found& found);
// The model without what was left out; kConflict when an engine needs that.
rt::Task<Result<model::Model>> enough_to_run(Shared& shared, rt::Op& op, model::Model model,
                                             const store::Found& found);

}  // namespace berth::local
