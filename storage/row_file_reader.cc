#include "storage/row_file_reader.h"

#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table.h>

#include "storage/rocksdb_env.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }
std::string_view View(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

rocksdb::Options ReadOptionsOn(rocksdb::Env* env) {
  rocksdb::Options options;
  options.env = env;
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;  // a file is read once
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

class RocksRowFileReader final : public RowFileReader {
 public:
  RocksRowFileReader(FileSystem* fs, std::string path)
      : path_(std::move(path)),
        env_(NewRocksDbEnv(fs)),
        reader_(ReadOptionsOn(env_.get())) {}

  absl::Status Open() { return From(reader_.Open(path_)); }

  absl::Status Check() const override {
    VARVE_RETURN_IF_ERROR(From(reader_.VerifyChecksum()));
    // Also the order and the form of the rows, which checksums do not tell.
    std::string last;
    bool ordered = true;
    VARVE_RETURN_IF_ERROR(ForEach([&](std::string_view key, std::string_view) {
      ordered = ordered && (last.empty() || key > last);
      last = key;
    }));
    return ordered ? absl::OkStatus()
                   : DataLoss("{}: its rows are out of order", path_);
  }

  absl::StatusOr<std::optional<std::string>> Get(
      std::string_view key) const override {
    const auto it = Rows();
    it->Seek(ToSlice(key));
    VARVE_RETURN_IF_ERROR(From(it->status()));
    if (!it->Valid() || View(it->key()) != key) {
      return std::optional<std::string>();
    }
    return std::optional<std::string>(it->value().ToString());
  }

  std::string AKey() const override {
    const auto it = Rows();
    it->SeekToFirst();
    // The first rows may be damaged and the last ones not.
    if (!it->Valid()) it->SeekToLast();
    return it->Valid() ? it->key().ToString() : std::string();
  }

  absl::Status ForEach(
      const std::function<void(std::string_view, std::string_view)>& f)
      const override {
    const auto it = Rows();
    for (it->SeekToFirst(); it->Valid(); it->Next()) {
      f(View(it->key()), View(it->value()));
    }
    return From(it->status());
  }

 private:
  std::unique_ptr<rocksdb::Iterator> Rows() const {
    rocksdb::ReadOptions options;
    options.verify_checksums = true;
    return std::unique_ptr<rocksdb::Iterator>(reader_.NewIterator(options));
  }
  absl::Status From(const rocksdb::Status& s) const {
    if (s.ok()) return absl::OkStatus();
    if (s.IsIOError()) return Unavailable("{}: {}", path_, s.ToString());
    return DataLoss("{}: {}", path_, s.ToString());
  }

  const std::string path_;
  const std::unique_ptr<rocksdb::Env> env_;  // outlives the reader
  mutable rocksdb::SstFileReader reader_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RowFileReader>> RowFileReader::Open(
    FileSystem* fs, const std::string& path) {
  auto reader = std::make_unique<RocksRowFileReader>(fs, path);
  VARVE_RETURN_IF_ERROR(reader->Open());
  return reader;
}

}  // namespace varve
