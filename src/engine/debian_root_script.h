// The text of debian_root.sh, put into the binary by module.cmake. Private to engine.
#pragma once

#include <string_view>

namespace berth::engine {

extern const std::string_view kDebianRootScript;

}  // namespace berth::engine
