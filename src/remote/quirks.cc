#include "remote/quirks.h"

#include <array>

namespace berth::remote {
namespace {

constexpr std::uint64_t kGigabyte = 1'000'000'000;
constexpr std::uint64_t kMebibyte = 1024 * 1024;

struct Row {
  std::string_view suffix;
  Quirks quirks;
};

// Single PUTs work everywhere here; the reasons are why chunks do not.
constexpr std::array kTable = {
    // A PATCH over 4 MiB with a Content-Range answers 416.
    Row{"ghcr.io", {Quirks::Chunks::kNever, 10 * kGigabyte, "10 GB"}},
    // Answers 201 to each PATCH and drops the body of all but the first.
    Row{"public.ecr.aws", {Quirks::Chunks::kNever, 10'000 * kMebibyte, "10,000 MiB"}},
    Row{".amazonaws.com", {Quirks::Chunks::kNever, 52'000 * kMebibyte, "52,000 MiB"}},
    // No chunked uploads at all.
    Row{".pkg.dev", {Quirks::Chunks::kNever, 0, ""}},
    Row{"gcr.io", {Quirks::Chunks::kNever, 0, ""}},
    Row{".gcr.io", {Quirks::Chunks::kNever, 0, ""}},
    Row{".azurecr.io", {Quirks::Chunks::kFallback, 200 * 1024 * kMebibyte, "200 GiB"}},
};

}  // namespace

Quirks quirks_of(std::string_view host) {
  for (const Row& row : kTable) {
    const bool whole = !row.suffix.starts_with('.');
    if (whole ? host == row.suffix : host.ends_with(row.suffix)) return row.quirks;
  }
  return {};
}

}  // namespace berth::remote
