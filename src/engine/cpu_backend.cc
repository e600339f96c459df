#include "engine/cpu_backend.h"

#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "base/text.h"

namespace berth::engine {
namespace {

struct Variant {
  std::string_view name;
  std::string_view needs;  // words of the "flags" or "Features" line
};

// Best first. Source: ggml/src/CMakeLists.txt, ggml_add_cpu_backend_variant.
constexpr Variant kVariants[] = {
    {"sapphirerapids",
     "avx512f avx512cd avx512bw avx512vl avx512dq avx512vbmi avx512_vnni avx512_bf16 amx_tile "
     "amx_int8"},
    {"zen4", "avx512f avx512cd avx512bw avx512vl avx512dq avx512vbmi avx512_vnni avx512_bf16"},
    {"icelake", "avx512f avx512cd avx512bw avx512vl avx512dq avx512vbmi avx512_vnni"},
    {"cooperlake", "avx512f avx512cd avx512bw avx512vl avx512dq avx512_vnni avx512_bf16"},
    {"cascadelake", "avx512f avx512cd avx512bw avx512vl avx512dq avx512_vnni"},
    {"cannonlake", "avx512f avx512cd avx512bw avx512vl avx512dq avx512vbmi"},
    {"skylakex", "avx512f avx512cd avx512bw avx512vl avx512dq"},
    {"alderlake", "avx2 fma f16c bmi2 avx_vnni"},
    {"haswell", "avx2 fma f16c bmi2"},
    {"piledriver", "avx f16c fma"},
    {"ivybridge", "avx f16c"},
    {"sandybridge", "avx"},
    {"sse42", "sse4_2"},
    {"x64", ""},
    {"armv8.6_2", "asimddp fphp sve i8mm sve2"},
    {"armv8.6_1", "asimddp fphp sve i8mm"},
    {"armv8.2_3", "asimddp fphp sve"},
    {"armv8.2_2", "asimddp fphp"},
    {"armv8.2_1", "asimddp"},
    {"armv8.0_1", ""},
};

std::set<std::string> features(std::string_view cpuinfo) {
  for (const std::string& line : split(cpuinfo, '\n')) {
    if (!line.starts_with("flags") && !line.starts_with("Features")) continue;
    const std::vector<std::string> words = split(line.substr(line.find(':') + 1), ' ');
    return {words.begin(), words.end()};
  }
  return {};
}

bool has_all(const std::set<std::string>& has, std::string_view needs) {
  return std::ranges::all_of(split(needs, ' '), [&](const std::string& need) {
    return need.empty() || has.contains(need);
  });
}

}  // namespace

std::string best_cpu_backend(std::string_view cpuinfo, const std::vector<std::string>& available) {
  const std::set<std::string> has = features(cpuinfo);
  for (const Variant& variant : kVariants) {
    const std::string file = fmt::format("libggml-cpu-{}.so", variant.name);
    if (std::ranges::find(available, file) != available.end() && has_all(has, variant.needs)) {
      return file;
    }
  }
  return "";
}

}  // namespace berth::engine
