# One precompiled header for all modules and their tests. Reading headers is a third of a compile under the sanitizers
# (measured on 14 files); the release build goes without, so that a missing include still fails somewhere.
function(berth_precompile target)
  if(BERTH_PCH)
    target_precompile_headers(${target} REUSE_FROM berth_pch)
  endif()
endfunction()

if(BERTH_PCH)
  # clang takes a precompiled header only with the options that it was made with: programs are compiled as the
  # libraries are, and what the Boost targets define is defined everywhere.
  set(CMAKE_CXX_COMPILE_OPTIONS_PIE -fPIC)
  target_compile_definitions(berth_options INTERFACE BOOST_CONTAINER_NO_LIB BOOST_JSON_NO_LIB BOOST_URL_NO_LIB)
  # A time in it would make each one another for ccache.
  target_compile_options(berth_options INTERFACE "SHELL:-Xclang -fno-pch-timestamp")

  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/precompiled.cc CONTENT "// What the precompiled header belongs to.\n")
  add_library(berth_pch OBJECT ${CMAKE_BINARY_DIR}/generated/precompiled.cc)
  target_link_libraries(berth_pch PRIVATE berth_options fmt::fmt spdlog::spdlog Boost::json)
  target_precompile_headers(berth_pch PRIVATE
    <algorithm> <array> <chrono> <cstdint> <cstring> <deque> <filesystem> <fstream> <functional> <map> <memory>
    <optional> <set> <span> <string> <string_view> <utility> <variant> <vector>
    ${CMAKE_SOURCE_DIR}/src/base/text.h
    ${CMAKE_SOURCE_DIR}/src/base/log.h
    ${CMAKE_SOURCE_DIR}/src/fs/file.h
    ${CMAKE_SOURCE_DIR}/src/json/json.h
    ${CMAKE_SOURCE_DIR}/src/rt/async.h
    ${CMAKE_SOURCE_DIR}/src/rt/loop.h)
endif()
