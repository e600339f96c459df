# What `cmake --install` puts in place, and the .deb that is made of it (cpack -G DEB in the build folder).
include(GNUInstallDirs)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # installing and packing need berth built, not the tests

install(TARGETS berth RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# docker finds its plugins by this name, in libexec beside the bin folder that berth is in.
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/docker-plugin)
file(CREATE_LINK ../../../bin/berth ${CMAKE_BINARY_DIR}/docker-plugin/docker-model SYMBOLIC)
install(FILES ${CMAKE_BINARY_DIR}/docker-plugin/docker-model DESTINATION libexec/docker/cli-plugins)

install(FILES packaging/berth.service DESTINATION lib/systemd/user)
install(FILES packaging/copyright DESTINATION share/doc/berth)

# berth writes its own manual pages and completions, so they can never say anything else than its help.
install(CODE "
  set(berth \"$<TARGET_FILE:berth>\")
  set(share \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share\")
")
install(CODE [[
  function(berth_completion shell file)
    execute_process(COMMAND ${berth} completion ${shell} OUTPUT_VARIABLE script RESULT_VARIABLE status ERROR_QUIET)
    if(status EQUAL 0)
      file(WRITE ${share}/${file} "${script}")
    endif()
  endfunction()
  execute_process(COMMAND ${berth} version RESULT_VARIABLE status OUTPUT_QUIET ERROR_QUIET)
  if(NOT status EQUAL 0)
    message(STATUS "${berth} does not run on this machine: no manual pages and completions are installed")
  else()
    berth_completion(bash bash-completion/completions/berth)
    berth_completion(zsh zsh/vendor-completions/_berth)
    berth_completion(fish fish/vendor_completions.d/berth.fish)
    file(MAKE_DIRECTORY ${share}/man/man1)
    execute_process(COMMAND ${berth} man ${share}/man/man1 OUTPUT_QUIET)
    file(GLOB pages ${share}/man/man1/berth*.1)
    if(pages)
      execute_process(COMMAND gzip -9nf ${pages})
    endif()
  endif()
]])

# One .deb for each Debian release: its shared libraries are that release's.
file(STRINGS /etc/os-release BERTH_RELEASE REGEX "^VERSION_ID=")
string(REGEX REPLACE "[^0-9.]" "" BERTH_RELEASE "${BERTH_RELEASE}")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME berth)
set(CPACK_PACKAGE_CONTACT "The Berth authors <berth@packages.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "package, push, pull and run AI models as OCI artifacts")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Berth keeps AI models where container images are kept: it packages model files
as OCI artifacts, moves them to and from any registry, verifies them, and runs
them with llama.cpp in a sandbox. It is a drop-in replacement of 'docker model',
also as a plugin of docker's command line.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE "1~deb${BERTH_RELEASE}")
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# The two libraries are loaded late (base/shared_library.h), so dpkg-shlibdeps does not see them.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "ca-certificates, libcurl4t64 | libcurl4, libarchive13t64 | libarchive13")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS bubblewrap)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "docker-cli | docker.io")
set(CPACK_DEBIAN_PACKAGE_CONFLICTS docker-model-plugin)
set(CPACK_DEBIAN_PACKAGE_REPLACES docker-model-plugin)
include(CPack)
