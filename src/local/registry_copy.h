// From one repository into another, straight through this process: the graph below a manifest and,
// when asked for, what refers to it.
//
// Loop thread. Nothing is kept here: the destination checks each digest as it takes the bytes.
// Failures: of either registry; kTooLarge when more refers to the artifact than is sane.
#pragma once

#include <set>

#include "content/copy.h"
#include "local/events.h"
#include "remote/registry.h"

namespace berth::local {

class RegistryCopy : public content::Progress {
 public:
  RegistryCopy(rt::Loop& loop, remote::Repository& from, remote::Repository& to,
               control::Events& events, content::CopyOptions options)
      : loop_(loop), from_(from), to_(to), bridge_(events), options_(std::move(options)) {}

  rt::Task<Status> copy(rt::Op& op, oci::Descriptor root);
  // What refers to the manifest, to each manifest of an index, and in turn to these; also cosign's
  // tags ("sha256-….sig").
  rt::Task<Status> copy_referrers(rt::Op& op, oci::Descriptor subject);

  std::uint64_t transferred() const { return bridge_.transferred(); }
  std::uint64_t mounted() const { return mounted_; }
  std::uint64_t referrers() const { return seen_.size(); }

  void on(const content::Event& event) override;

 private:
  rt::Task<Status> copy_referrers_of(rt::Op& op, oci::Descriptor subject, int depth);
  rt::Task<Status> copy_referrer(rt::Op& op, oci::Descriptor referrer, int depth);
  rt::Task<Status> copy_cosign_tags(rt::Op& op, oci::Digest subject);

  rt::Loop& loop_;
  remote::Repository& from_;
  remote::Repository& to_;
  EventBridge bridge_;
  content::CopyOptions options_;
  std::set<oci::Digest> seen_;
  std::uint64_t mounted_ = 0;
};

}  // namespace berth::local
