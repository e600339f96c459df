// Lets writes of SQLite fail as BERTH_FAULT=dbwrite:N:ERROR asks (fs/fault.h): the catalogue's
// files are the only ones that are not written through fs.
//
// Before the first database is opened, on any thread. Nothing happens when no fault is asked for.
#pragma once

namespace berth::store {

void watch_database_writes();

}  // namespace berth::store
