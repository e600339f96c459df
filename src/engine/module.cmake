# The script that unpacks Debian packages travels in the binary: install-runner needs no file beside it.
set(berth_script ${CMAKE_CURRENT_SOURCE_DIR}/src/engine/debian_root.sh)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${berth_script})
file(READ ${berth_script} berth_script_text)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/debian_root_script.cc CONTENT
[==[// Generated from src/engine/debian_root.sh.
#include "engine/debian_root_script.h"

namespace berth::engine {
const std::string_view kDebianRootScript = R"berth_sh(@berth_script_text@)berth_sh";
}
]==] @ONLY)
target_sources(berth_engine PRIVATE ${CMAKE_BINARY_DIR}/generated/debian_root_script.cc)
