// Machine::check_store: what the store finds wrong with itself and, with repair, mending it: lost
// blobs come again from where the names of their models say.
#include <map>
#include <set>

#include "local/system.h"
#include "oci/media_types.h"
#include "rt/async.h"

namespace berth::local {
namespace {

using Kind = store::Finding::Kind;

bool is_of_blob(const store::Finding& finding) {
  return finding.kind == Kind::kMissing || finding.kind == Kind::kWrongSize ||
         finding.kind == Kind::kDamaged;
}

bool is_document(const oci::Descriptor& blob) {
  return oci::media::is_manifest(blob.media_type) || oci::media::is_index(blob.media_type);
}

control::CheckFinding show(const store::Finding& finding) {
  return {.kind = std::string(store::to_string(finding.kind)),
          .what = finding.what,
          .message = finding.message,
          .models = finding.models,
          .harmless = finding.harmless};
}

class Repair {
 public:
  Repair(Shared& shared, EventBridge& bridge) : shared_(shared), bridge_(bridge) {}

  rt::Task<Status> run(rt::Op& op, const std::vector<store::Finding>& findings) {
    CO_TRY_OK(co_await shared_.store->mend(op, findings));
    // A manifest is only taken when its children are here.
    for (const bool documents : {false, true}) {
      for (const store::Finding& finding : findings) {
        if (is_of_blob(finding) && finding.blob && is_document(*finding.blob) == documents)
          CO_TRY_OK(co_await replace(op, finding));
      }
    }
    co_return Status();
  }

  // Why a blob could not be fetched.
  std::string why(const std::string& what) const {
    const auto found = why_.find(what);
    return found == why_.end() ? "" : found->second;
  }

 private:
  rt::Task<Status> replace(rt::Op& op, const store::Finding& finding) {
    CO_TRY_OK(co_await shared_.store->set_aside(op, *finding.blob));
    if (finding.harmless) co_return Status();
    std::string& why = why_[finding.what];
    for (const oci::Reference& source : finding.sources) {
      const Status fetched = co_await fetch(op, *finding.blob, source);
      CO_TRY_OK(op.check());
      if (fetched) co_return Status();
      why += fmt::format("; {}", fetched.error().message());
    }
    if (finding.sources.empty()) why = "; no name says where it came from";
    co_return Status();
  }

  rt::Task<Status> fetch(rt::Op& op, oci::Descriptor blob, oci::Reference source) {
    CO_TRY(const oci::Reference reference, remote_reference(shared_, source.string()));
    CO_TRY(const auto repository, shared_.registries.repository(reference));
    bridge_.on({.kind = content::Event::Kind::kStart, .blob = blob});
    CO_TRY_OK(co_await shared_.store->put(op, blob, *repository, bridge_));
    bridge_.on({.kind = content::Event::Kind::kDone, .blob = blob, .current = blob.size});
    co_return Status();
  }

  Shared& shared_;
  EventBridge& bridge_;
  std::map<std::string, std::string> why_;  // by digest
};

// What is still wrong decides, not what was tried.
void judge(control::CheckResult& result, const store::CheckReport& after, const Repair& repair) {
  const auto key = [](const auto& kind, const std::string& what) {
    const bool blob = kind == "missing" || kind == "wrong_size" || kind == "damaged";
    return (blob ? "blob" : std::string(kind)) + " " + what;
  };
  std::set<std::string> left;
  for (const store::Finding& finding : after.findings)
    left.insert(key(store::to_string(finding.kind), finding.what));
  for (control::CheckFinding& finding : result.findings) {
    finding.repaired = !left.contains(key(std::string_view(finding.kind), finding.what));
    if (!finding.repaired) finding.message += repair.why(finding.what);
  }
}

}  // namespace

rt::Task<Result<control::CheckResult>> Machine::check_store(rt::Op& op,
                                                            control::CheckRequest request,
                                                            control::Events& events) {
  const auto start = std::chrono::steady_clock::now();
  EventBridge bridge(events);
  store::Lease lease;
  if (request.repair) {
    CO_TRY(lease, co_await shared_.store->lease(op, store::Lease::Kind::kTransfer, {}));
  }
  CO_TRY(const store::CheckReport found,
         co_await shared_.store->check(op, {.read_data = request.read_data}, bridge));
  control::CheckResult result{.blobs = found.blobs, .bytes = found.bytes, .read = found.read};
  for (const store::Finding& finding : found.findings) result.findings.push_back(show(finding));
  result.took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  if (!request.repair || found.findings.empty()) co_return result;
  Repair repair(shared_, bridge);
  CO_TRY_OK(co_await repair.run(op, found.findings));
  CO_TRY(const store::CheckReport after, co_await shared_.store->check(op, {}, bridge));
  judge(result, after, repair);
  co_return result;
}

}  // namespace berth::local
