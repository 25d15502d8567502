#include "storage/block_rows.h"

#include "storage/coding.h"
#include "storage/manifest.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

absl::StatusOr<std::string> Found(
    absl::StatusOr<std::optional<std::string>> value, const std::string& key) {
  VARVE_RETURN_IF_ERROR(value.status());
  if (*value) return **std::move(value);
  Decoder number(std::string_view(key).substr(1));
  uint32_t n = 0;
  for (int i = 0; i < 4; ++i) n = n << 8 | number.U8();
  return DataLoss("the index has no row {}{}", key[0], n);
}

class StoredIndexRows final : public IndexRows {
 public:
  StoredIndexRows(std::shared_ptr<const RowStore> rows, std::string prefix)
      : rows_(std::move(rows)), prefix_(std::move(prefix)) {}
  absl::StatusOr<std::string> Get(IndexRow kind,
                                  uint32_t number) const override {
    const std::string key = IndexRowKey(kind, number);
    return Found(rows_->Get(RowStore::Family::kIndex, prefix_ + key), key);
  }

 private:
  const std::shared_ptr<const RowStore> rows_;
  const std::string prefix_;
};

class FileIndexRows final : public IndexRows {
 public:
  FileIndexRows(std::shared_ptr<const RowFileReader> file, std::string prefix)
      : file_(std::move(file)), prefix_(std::move(prefix)) {}
  absl::StatusOr<std::string> Get(IndexRow kind,
                                  uint32_t number) const override {
    const std::string key = IndexRowKey(kind, number);
    return Found(file_->Get(prefix_ + key), key);
  }

 private:
  const std::shared_ptr<const RowFileReader> file_;
  const std::string prefix_;
};

}  // namespace

std::shared_ptr<const IndexRows> MakeStoredIndexRows(
    std::shared_ptr<const RowStore> rows, int32_t day, uint16_t part) {
  return std::make_shared<StoredIndexRows>(std::move(rows),
                                           BlockKey(day, part));
}

std::shared_ptr<const IndexRows> MakeFileIndexRows(
    std::shared_ptr<const RowFileReader> file, int32_t day, uint16_t part) {
  return std::make_shared<FileIndexRows>(std::move(file), BlockKey(day, part));
}

}  // namespace varve
