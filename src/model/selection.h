// Some of a model's files: which ones patterns ask for, and whether the rest of a model is enough
// for an engine. Pure. Failure: kInvalid, when nothing is asked for.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/glob.h"
#include "model/model.h"

namespace berth::model {

struct Selection {
  std::set<oci::Digest> unwanted;      // layers that no pattern asks for
  std::vector<std::string> unmatched;  // patterns that no file answers to
};
// Layers whose annotations name no file are wanted always.
Result<Selection> select_files(const Model& model, const std::vector<Glob>& include);

// The paths of the files that were left out.
std::vector<std::string> paths_of(const Model& model, const std::set<oci::Digest>& left_out);
// Of these the ones that an engine would miss: parts of a split model of which others are here,
// and what is the only weights, projector, adapter or template of the model. Who leaves out one of
// several has chosen among them.
std::vector<std::string> missed_by_engine(const Model& model,
                                          const std::set<oci::Digest>& left_out);
Model without_files(Model model, const std::set<oci::Digest>& left_out);

// "a, b and 3 more": names for a sentence.
std::string some_of(const std::vector<std::string>& names, std::size_t most);

}  // namespace berth::model
