// What a path of the distribution API names: the total grammar in front of everything else.
//
// Pure. Source: distribution-spec end-1 to end-14; facts/oci.md A1, A4.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::registryd {

enum class Resource {
  kBase,       // /v2/
  kCatalog,    // /v2/_catalog
  kDiscover,   // /v2/[<name>/]_oci/ext/discover
  kTags,       // /v2/<name>/tags/list
  kManifest,   // /v2/<name>/manifests/<tag or digest>
  kBlob,       // /v2/<name>/blobs/<digest>
  kUploads,    // /v2/<name>/blobs/uploads/
  kUpload,     // /v2/<name>/blobs/uploads/<id>
  kReferrers,  // /v2/<name>/referrers/<digest>
  // Berth's own.
  kSearch,           // /v2/_berth/search
  kModels,           // /v2/_berth/models/<name>
  kTagStates,        // /v2/_berth/tags/<name>
  kHistory,          // /v2/_berth/history/<name>
  kUsage,            // /v2/_berth/usage
  kRepositoryUsage,  // /v2/_berth/usage/<name>
  kCollect,          // /v2/_berth/collect
  kPrune,            // /v2/_berth/prune
  kEvents,           // /v2/_berth/events
  kRevive,           // /v2/_berth/revive
  kVerify,           // /v2/_berth/verify
};

struct Place {
  Resource resource = Resource::kBase;
  std::string repository;  // a valid name; "" where the path names none
  std::string reference;   // as it came, percent-decoded: not checked yet
};

// nullopt: no path of this API. kInvalid: one with a name that is none.
Result<std::optional<Place>> parse_place(std::string_view path);

}  // namespace berth::registryd
