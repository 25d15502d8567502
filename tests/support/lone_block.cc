#include "tests/support/lone_block.h"

#include <memory>

#include "storage/block_writer.h"
#include "storage/check.h"
#include "storage/index_writer.h"

namespace varve {
namespace {

/// Passes series on to the block and the index, as the store's builder does.
class Builder final : public BlockBuilder {
 public:
  explicit Builder(std::unique_ptr<BlockWriter> writer)
      : writer_(std::move(writer)) {}
  absl::Status AddSeries(const Labels& labels,
                         std::span<const SampleColumns> chunks) override {
    index_.AddSeries(labels);
    return writer_->AddSeries(chunks);
  }
  BlockInfo info() const override { return writer_->info(); }
  IndexRowList Finish() {
    VARVE_CHECK(writer_->Finish().ok());
    return index_.Finish();
  }

 private:
  const std::unique_ptr<BlockWriter> writer_;
  IndexWriter index_;
};

}  // namespace

IndexRowList WriteLoneBlock(FileSystem* fs, const std::string& path,
                            const MapSource& data, TimeWindow window,
                            size_t chunk_samples, bool differences) {
  auto writer = BlockWriter::Create(fs, path, {.window = window});
  VARVE_CHECK(writer.ok());
  if (differences) (*writer)->WriteDifferences();
  Builder builder(*std::move(writer));
  VARVE_CHECK(AddAll(data, window, chunk_samples, &builder).ok());
  return builder.Finish();
}

}  // namespace varve
