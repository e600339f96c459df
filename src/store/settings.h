// Small durable state of other modules: values by namespace and key. Blocking, inside a transaction
// of Catalog.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "store/statement.h"

namespace berth::store {

Result<std::optional<std::string>> read_setting(Database& database, const std::string& name_space,
                                                const std::string& key);
Result<std::vector<std::pair<std::string, std::string>>> list_settings(
    Database& database, const std::string& name_space);
Status write_setting(Database& database, const std::string& name_space, const std::string& key,
                     const std::string& value);
Status erase_setting(Database& database, const std::string& name_space, const std::string& key);

}  // namespace berth::store
