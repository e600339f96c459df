// Brings a catalogue that an older Berth made up to this one's schema.
//
// Blocking. All steps happen in one transaction: afterwards the catalogue is of the new version, or
// untouched.
#pragma once

#include <cstdint>
#include <span>

#include "store/statement.h"

namespace berth::store {

struct SchemaStep {
  std::int64_t from = 0;      // the version that it turns into from + 1
  const char* sql = nullptr;  // several statements; no transaction of their own
};
// In order. A change of schema.h adds one here and raises kSchemaVersion.
std::span<const SchemaStep> schema_steps();

// Nothing when another process was faster. kInternal when a step is missing.
Status upgrade(Database& database, std::span<const SchemaStep> steps, std::int64_t target);

}  // namespace berth::store
