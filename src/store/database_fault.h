// The writes of SQLite, the only ones that do not go through fs: a quota that is used up (EDQUOT)
// is told to it as a full disk, which is all that it knows, and BERTH_FAULT=dbwrite:N:ERROR lets
// them fail (fs/fault.h).
//
// Before the first database is opened, on any thread.
#pragma once

namespace berth::store {

void watch_database_writes();

}  // namespace berth::store
