#include "store/settings.h"

namespace berth::store {

Result<std::optional<std::string>> read_setting(Database& database, const std::string& name_space,
                                                const std::string& key) {
  TRY(Rows rows, database.query("SELECT value FROM settings WHERE namespace = ? AND key = ?",
                                name_space, key));
  TRY(const bool found, rows.next());
  if (!found) return std::nullopt;
  return rows.text(0);
}

Result<std::vector<std::pair<std::string, std::string>>> list_settings(
    Database& database, const std::string& name_space) {
  std::vector<std::pair<std::string, std::string>> result;
  TRY(Rows rows, database.query("SELECT key, value FROM settings WHERE namespace = ? ORDER BY key",
                                name_space));
  for (;;) {
    TRY(const bool more, rows.next());
    if (!more) return result;
    result.emplace_back(rows.text(0), rows.text(1));
  }
}

Status write_setting(Database& database, const std::string& name_space, const std::string& key,
                     const std::string& value) {
  return database.run("INSERT OR REPLACE INTO settings(namespace, key, value) VALUES(?, ?, ?)",
                      name_space, key, value);
}

Status erase_setting(Database& database, const std::string& name_space, const std::string& key) {
  return database.run("DELETE FROM settings WHERE namespace = ? AND key = ?", name_space, key);
}

}  // namespace berth::store
