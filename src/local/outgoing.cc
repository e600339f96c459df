#include "local/outgoing.h"

#include "local/events.h"
#include "model/archive.h"

namespace berth::local {
namespace {

constexpr std::uint64_t kStep = 1024 * 1024;  // bytes between two events

// Tells how far a blob has been read.
class TellingReader : public rt::Reader {
 public:
  TellingReader(std::unique_ptr<rt::Reader> below, oci::Descriptor blob, EventBridge& bridge)
      : below_(std::move(below)), blob_(std::move(blob)), bridge_(bridge) {
    tell(content::Event::Kind::kStart);
  }

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    CO_TRY(const std::size_t count, co_await below_->read(op, into));
    at_ += count;
    if (at_ == blob_.size && !done_) {
      done_ = true;
      tell(content::Event::Kind::kDone);
    } else if (at_ - told_ >= kStep) {
      tell(content::Event::Kind::kBytes);
    }
    co_return count;
  }

 private:
  void tell(content::Event::Kind kind) {
    told_ = at_;
    bridge_.on({.kind = kind, .blob = blob_, .current = at_});
  }

  std::unique_ptr<rt::Reader> below_;
  oci::Descriptor blob_;
  EventBridge& bridge_;
  std::uint64_t at_ = 0;
  std::uint64_t told_ = 0;
  bool done_ = false;
};

// The tar and all that it reads from.
class OutgoingTar : public rt::Reader, private content::Fetcher {
 public:
  OutgoingTar(std::unique_ptr<content::Fetcher> from, control::Events& events)
      : from_(std::move(from)), bridge_(events) {}

  Status open(const model::Loaded& loaded) {
    bridge_.name(loaded.model);
    // Without names: what it is to be called there is said afterwards, to any server alike.
    TRY(model::Export tar, model::export_model(*this, loaded, {}));
    tar_ = std::move(tar.reader);
    return {};
  }

  rt::Task<Result<std::size_t>> read(rt::Op& op, MutableBytes into) override {
    return tar_->read(op, into);
  }

 private:
  rt::Task<Result<content::Source>> fetch(rt::Op& op, oci::Descriptor blob,
                                          content::ByteRange range) override {
    CO_TRY(content::Source source, co_await from_->fetch(op, blob, range));
    source.reader =
        std::make_unique<TellingReader>(std::move(source.reader), std::move(blob), bridge_);
    co_return source;
  }

  std::unique_ptr<content::Fetcher> from_;
  EventBridge bridge_;
  std::unique_ptr<rt::Reader> tar_;
};

}  // namespace

rt::Task<Result<Outgoing>> outgoing(rt::Op& op, rt::Loop& loop,
                                    std::unique_ptr<content::Fetcher> from, oci::Descriptor root,
                                    control::Events& events) {
  CO_TRY(const model::Loaded loaded, co_await model::load_model(op, loop, *from, std::move(root)));
  auto tar = std::make_unique<OutgoingTar>(std::move(from), events);
  CO_TRY_OK(tar->open(loaded));
  Outgoing model{.id = loaded.manifest.digest.string()};
  model.tar = std::move(tar);
  co_return model;
}

}  // namespace berth::local
