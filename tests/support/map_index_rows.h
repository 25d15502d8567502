#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "storage/index_reader.h"
#include "storage/status_macros.h"

namespace varve {

/// Index rows in memory.
class MapIndexRows final : public IndexRows {
 public:
  explicit MapIndexRows(
      const std::vector<std::pair<std::string, std::string>>& rows)
      : rows_(rows.begin(), rows.end()) {}

  absl::StatusOr<std::string> Get(IndexRow kind,
                                  uint32_t number) const override {
    const auto it = rows_.find(IndexRowKey(kind, number));
    if (it != rows_.end()) return it->second;
    return DataLoss("no index row {}{}", static_cast<char>(kind), number);
  }
  std::map<std::string, std::string>& rows() { return rows_; }

 private:
  std::map<std::string, std::string> rows_;
};

}  // namespace varve
