#include "cli/exit_status.h"

#include <map>

namespace berth::cli {
namespace {

struct Row {
  Code code;
  int status;
};

constexpr std::array<Row, kCodeCount> kRows = {{
    {Code::kInvalid, kExitUsage},
    {Code::kNotFound, 3},
    {Code::kConflict, 7},
    {Code::kDenied, 4},
    {Code::kUnauthenticated, 4},
    {Code::kDigestMismatch, 6},
    {Code::kCorrupt, 6},
    {Code::kTooLarge, 9},
    {Code::kUnavailable, 5},
    {Code::kTimeout, 5},
    {Code::kCancelled, kExitCancelled},
    {Code::kExhausted, 8},
    {Code::kRateLimited, 5},
    {Code::kBadRange, 5},
    {Code::kNotAllowed, 4},
    {Code::kUnsupported, 69},
    {Code::kIo, 74},
    {Code::kInternal, 70},
}};

struct Meaning {
  int status;
  std::string_view text;
};

constexpr std::array<Meaning, 14> kMeanings = {{
    {kExitOk, "It was done."},
    {kExitNo, "The answer is no: `status` when no server runs."},
    {kExitUsage,
     "The command line or an input is malformed: an unknown command or flag, a bad reference, a "
     "bad file."},
    {3, "A named thing does not exist: a model, a file, a token."},
    {4, "Not allowed: no or wrong credentials, or known and refused."},
    {5,
     "The network or a server: not reachable, timed out, too many requests, an answer that makes "
     "no sense."},
    {6, "Verification failed: bytes are not what their digest says, or data contradicts itself."},
    {7, "The present state forbids it: in use, exists already, several tags, only partly here."},
    {8, "Used up: disk, memory, file descriptors or a quota."},
    {9, "Larger than a bound that protects this machine."},
    {69, "Not in this version, or not for this kind of artifact."},
    {70, "A bug in Berth: please report it."},
    {74, "The operating system refused an input or output."},
    {kExitCancelled, "Cancelled (Ctrl-C, SIGTERM)."},
}};

std::string codes_of(int status) {
  std::string names;
  for (const Row& row : kRows) {
    if (row.status != status) continue;
    names += fmt::format("{}`{}`", names.empty() ? "" : ", ", to_string(row.code));
  }
  return names;
}

}  // namespace

int exit_status(Code code) {
  for (const Row& row : kRows) {
    if (row.code == code) return row.status;
  }
  return 70;
}

std::string exit_status_page() {
  std::string page =
      "# Exit statuses\n\nEvery command ends with one of these. The codes are the ones of JSON "
      "errors and logs.\n"
      "This page is written from the table in `src/cli/exit_status.cc`.\n\n"
      "| Status | Meaning | Codes |\n|---|---|---|\n";
  for (const Meaning& meaning : kMeanings) {
    page +=
        fmt::format("| {} | {} | {} |\n", meaning.status, meaning.text, codes_of(meaning.status));
  }
  return page;
}

}  // namespace berth::cli
