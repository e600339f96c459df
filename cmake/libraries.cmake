# Third-party libraries, all from the distribution's own packages. What is linked statically is what no other
# package of the system keeps safe for us at run time; TLS, curl, SQLite and libarchive stay shared so that the
# distribution's security updates reach them.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(CURL REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(LibArchive REQUIRED)
find_package(ZLIB REQUIRED)
set(Boost_USE_STATIC_LIBS ON)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp)
find_library(BERTH_ARGON2 NAMES libargon2.a REQUIRED)
pkg_check_modules(EDIT REQUIRED IMPORTED_TARGET libedit)

add_library(berth_options INTERFACE)
target_include_directories(berth_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(berth_options INTERFACE
  BERTH_VERSION="${PROJECT_VERSION}"
  BOOST_ASIO_NO_DEPRECATED
  BOOST_ASIO_DISABLE_BOOST_COROUTINE)
target_compile_options(berth_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough -Werror
  -Wno-missing-field-initializers -Wno-missing-designated-field-initializers
  -fstack-protector-strong -fno-omit-frame-pointer)
# What is linked and not called (libcurl and libarchive are loaded late: base/shared_library.h) is left out.
target_link_options(berth_options INTERFACE -fuse-ld=lld-19 -static-libstdc++ -static-libgcc -Wl,--as-needed)
if(BERTH_SANITIZE)
  target_compile_options(berth_options INTERFACE -fsanitize=${BERTH_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(berth_options INTERFACE -fsanitize=${BERTH_SANITIZE})
else()
  target_compile_options(berth_options INTERFACE $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
  target_link_options(berth_options INTERFACE -pie -Wl,-z,relro,-z,now,--gc-sections)
endif()
if(BERTH_FUZZ)
  target_compile_options(berth_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
target_link_libraries(berth_options INTERFACE Threads::Threads)
