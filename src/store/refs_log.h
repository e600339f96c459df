// refs.log: every move of a tag, appended with a checksum, so that a lost catalogue can be rebuilt.
//
// Blocking. Appending happens inside the catalogue's write transaction, which orders it across
// processes. Format: docs/dev/store.md.
#pragma once

#include <optional>
#include <vector>

#include "fs/file.h"
#include "oci/digest.h"
#include "oci/reference.h"

namespace berth::store {

struct RefMove {
  enum class Kind {
    kTag,     // reference now stands for target; its model is `model`
    kUntag,   // reference is gone
    kRemove,  // model and all its tags are gone
    kSelect,  // `model` is the manifest chosen from the index `target`
  } kind;
  std::chrono::sys_seconds time;
  std::optional<oci::Digest> target;
  std::optional<oci::Digest> model;
  std::optional<oci::Reference> reference;
};

std::string format_move(const RefMove& move);              // one line with its newline
std::optional<RefMove> parse_move(std::string_view line);  // nullopt when torn or foreign
Status append_moves(const fs::Dir& root,
                    const std::vector<RefMove>& moves);  // durable when it returns

struct RefMoves {
  std::vector<RefMove> moves;
  std::size_t damaged_lines = 0;
};
Result<RefMoves> read_moves(const fs::Dir& root);  // none when there is no log

}  // namespace berth::store
