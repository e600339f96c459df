#include "content/copy.h"

#include <map>
#include <set>

#include "base/failpoint.h"
#include "oci/media_types.h"
#include "rt/async.h"

namespace berth::content {
namespace {

constexpr std::uint64_t kMaxManifest = oci::kMaxManifestBytes;
// Of small blobs more move at once: their round trips and syncs would be all that is waited for.
constexpr std::uint64_t kSmall = 4 * 1024 * 1024;
constexpr std::size_t kSmallAtOnce = 4;  // for each large one
constexpr int kMaxDepth = 8;             // index in index in …: real ones nest twice

// One copy in progress. Lives in copy_graph's frame; children are joined before it goes.
class Copy {
 public:
  Copy(rt::Loop& loop, Fetcher& from, Storage& to, Progress& progress, CopyOptions options)
      : loop_(loop),
        from_(from),
        to_(to),
        progress_(progress),
        options_(std::move(options)),
        limiter_(loop, options_.concurrency),
        small_(loop, options_.concurrency * kSmallAtOnce) {}

  rt::Task<Status> node(rt::Op& op, oci::Descriptor node, int depth) {
    if (depth > kMaxDepth)
      co_return fail(Code::kInvalid, "{} nests indexes too deeply", node.digest.string());
    CO_TRY(const bool present, co_await to_.has(op, node));
    // What is already there is read there: a pull of what is held asks nothing of the registry.
    CO_TRY(std::string bytes, co_await read_small(op, present ? static_cast<Fetcher&>(to_) : from_,
                                                  node, kMaxManifest));
    CO_TRY_OK(inspect(node, bytes));
    const bool complete = present && oci::media::is_manifest(node.media_type);
    // A manifest is only committed when its children are there, so the whole graph below is.
    if (!complete || options_.look_below) {
      CO_TRY(const std::vector<oci::Descriptor> below, oci::children(bytes, node.media_type));
      CO_TRY_OK(co_await children(op, below, depth));
    }
    if (complete) {
      progress_.on({.kind = Event::Kind::kExists, .blob = node});
      co_return Status();
    }
    BytesFetcher again(std::move(bytes));
    BERTH_FAILPOINT("content.copy.before_manifest");
    CO_TRY_OK(co_await to_.put(op, node, again, progress_));
    BERTH_FAILPOINT("content.copy.after_manifest");
    co_return Status();
  }

 private:
  Status inspect(const oci::Descriptor& node, const std::string& bytes) {
    if (!options_.inspect || !oci::media::is_manifest(node.media_type)) return {};
    TRY(const oci::Manifest manifest, oci::parse_manifest(bytes, node.media_type));
    return options_.inspect(node, manifest);
  }

  rt::Task<Status> children(rt::Op& parent, const std::vector<oci::Descriptor>& below, int depth) {
    rt::Scope scope(loop_);
    rt::Op op(parent);
    scope.cancel_on_failure(op);
    for (const oci::Descriptor& child : below) {
      if (!seen_.insert(child.digest).second) continue;
      const bool graph =
          oci::media::is_manifest(child.media_type) || oci::media::is_index(child.media_type);
      const auto& chosen = graph ? options_.select : options_.wants;
      if (chosen && !chosen(child)) continue;
      scope.spawn(graph ? node(op, child, depth + 1) : blob(op, child));
    }
    co_return co_await scope.join();
  }

  rt::Task<Status> blob(rt::Op& op, oci::Descriptor blob) {
    rt::Limiter& limiter = blob.size < kSmall ? small_ : limiter_;
    CO_TRY(const auto permit, co_await limiter.acquire(op));
    CO_TRY(const bool present, co_await to_.has(op, blob));
    if (present) {
      progress_.on({.kind = Event::Kind::kExists, .blob = blob});
      co_return Status();
    }
    CO_TRY(const bool mounted, co_await mount(op, blob));
    if (mounted) {
      progress_.on({.kind = Event::Kind::kMounted, .blob = blob});
      co_return Status();
    }
    progress_.on({.kind = Event::Kind::kStart, .blob = blob});
    BERTH_FAILPOINT("content.copy.before_blob");
    CO_TRY_OK(co_await to_.put(op, blob, from_, progress_));
    BERTH_FAILPOINT("content.copy.after_blob");
    progress_.on({.kind = Event::Kind::kDone, .blob = blob, .current = blob.size});
    co_return Status();
  }

  rt::Task<Result<bool>> mount(rt::Op& op, oci::Descriptor blob) {
    auto* mounter = dynamic_cast<Mounter*>(&to_);
    if (!mounter) co_return false;
    for (const std::string& repository : options_.mount_from) {
      CO_TRY(const bool mounted, co_await mounter->mount(op, blob, repository));
      if (mounted) co_return true;
    }
    co_return false;
  }

  rt::Loop& loop_;
  Fetcher& from_;
  Storage& to_;
  Progress& progress_;
  CopyOptions options_;
  rt::Limiter limiter_;
  rt::Limiter small_;
  std::set<oci::Digest> seen_;
};

}  // namespace

rt::Task<Status> copy_graph(rt::Op& op, rt::Loop& loop, Fetcher& from, Storage& to,
                            oci::Descriptor root, Progress& progress, CopyOptions options) {
  Copy copy(loop, from, to, progress, std::move(options));
  co_return co_await copy.node(op, std::move(root), 0);
}

}  // namespace berth::content
