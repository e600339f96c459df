// One model as a tar of an OCI image layout, streamed out of and into any storage; Docker Model
// Runner's tar is read as well.
//
// Loop thread. Blobs are verified by the storage that takes them; sizes, names and counts are
// bounded. Failure: kCorrupt (not a tar, blob missing or wrong), kUnsupported (a docker image, not
// a model), kTooLarge.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "content/content.h"
#include "model/load.h"
#include "rt/loop.h"
#include "rt/reader.h"

namespace berth::model {

// The whole tar as a stream of known length: oci-layout, index.json, manifest, config, layers.
// `from` must outlive the reader.
struct Export {
  std::uint64_t size = 0;
  std::unique_ptr<rt::Reader> reader;
};
// `names` become org.opencontainers.image.ref.name / io.containerd.image.name entries of
// index.json.
Result<Export> export_model(content::Fetcher& from, const Loaded& loaded,
                            const std::vector<std::string>& names);

struct ImportedModel {
  oci::Descriptor manifest;
  std::vector<std::string> names;  // references the archive gives, unchecked text
};

// Reads a tar (OCI layout or Docker Model Runner's) and puts every model of it into `to`. Tags
// nothing.
rt::Task<Result<std::vector<ImportedModel>>> import_archive(rt::Op& op, rt::Loop& loop,
                                                            rt::Reader& tar, content::Storage& to,
                                                            content::Progress& progress);

}  // namespace berth::model
