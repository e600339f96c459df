// An assertion that stays on in release builds: for bugs, never for input.
#pragma once

#include <cstdio>
#include <cstdlib>

#define BERTH_ASSERT(condition)                                                          \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "berth: bug at %s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
