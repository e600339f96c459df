#include "base/shared_library.h"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

namespace berth {
namespace {

constexpr int kExitInternal = 70;

[[noreturn]] void give_up(const char* name, const char* package) {
  const char* why = ::dlerror();
  std::fprintf(stderr, "berth: cannot load %s: %s; install the package %s\n", name,
               why != nullptr ? why : "no reason given", package);
  std::_Exit(kExitInternal);
}

}  // namespace

SharedLibrary::SharedLibrary(const char* name, const char* package)
    : name_(name), package_(package), handle_(::dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr) give_up(name_, package_);
}

void* SharedLibrary::find(const char* symbol) const {
  void* found = ::dlsym(handle_, symbol);
  if (found == nullptr) give_up(name_, package_);
  return found;
}

}  // namespace berth
