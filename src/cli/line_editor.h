// Line editing and history for the chat, over libedit. The only includer of libedit.
//
// Loop thread; el_gets blocks a pool thread, and its reads end when interrupt() is called. Failure:
// kIo.
#pragma once

#include <memory>
#include <string>

#include "cli/input.h"

namespace berth::cli {

// History is kept in `history_dir`/chat_history (0600, the last 1000 entries); "" keeps none.
std::unique_ptr<LineSource> make_line_editor(rt::Loop& loop, std::string history_dir);

// Reads a UTF-8 character by `next`, which gives bytes or -1. -1 at the end; what is not UTF-8
// becomes U+FFFD.
template <class Next>
long read_character(Next next) {
  const int lead = next();
  if (lead < 0x80) return lead;
  const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc2 ? 1 : 0;
  if (more == 0 || lead > 0xf4) return 0xfffd;
  long character = lead & (0x3f >> more);
  for (int i = 0; i < more; ++i) {
    const int byte = next();
    if (byte < 0) return -1;
    if ((byte & 0xc0) != 0x80) return 0xfffd;
    character = character << 6 | (byte & 0x3f);
  }
  return character;
}

// The history as text: one entry a line, newlines and backslashes escaped.
std::string escape_entry(const std::string& entry);
std::string unescape_entry(const std::string& line);

}  // namespace berth::cli
