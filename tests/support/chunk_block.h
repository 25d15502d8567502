#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <string_view>
#include <vector>

#include "storage/block.h"
#include "storage/block_writer.h"
#include "tests/support/memory_file_system.h"

namespace varve {

/// A block that is written chunk by chunk, each of another series.
class ChunkBlock : public testing::Test {
 protected:
  ChunkBlock() {
    EXPECT_TRUE(fs_.CreateDir("/blocks").ok());
    Begin();
  }

  static constexpr const char* path() { return "/blocks/b"; }

  /// Begins a new block in the place of the last one.
  void Begin() {
    writer_.reset();  // removes its file
    BlockInfo names;
    names.window = {0, 86'400'000};
    writer_ = *BlockWriter::Create(&fs_, path(), names);
    values_.clear();
  }

  void Add(const std::vector<double>& values, int64_t start_ms = 0) {
    SampleColumns columns;
    columns.kind = SampleColumns::Kind::kFloat;
    columns.values = values;
    columns.timestamps.resize(values.size());
    std::iota(columns.timestamps.begin(), columns.timestamps.end(), start_ms);
    ASSERT_TRUE(writer_->AddSeries({&columns, 1}).ok());
    values_.push_back(values);
  }

  /// A chunk of `samples` of which the bytes are these.
  void AddBytes(std::string_view body, size_t samples = 1) {
    std::vector<int64_t> times(samples);
    std::iota(times.begin(), times.end(), 0);
    ASSERT_TRUE(writer_->AddChunk(EncodedChunk{times, {}, body}).ok());
    ASSERT_TRUE(writer_->EndSeries().ok());
  }
  void AddReference(ChunkPlace place) {
    std::string body;
    PutChunkReference(&body, place);
    AddBytes(body);
  }

  void Open() {
    ASSERT_TRUE(writer_->Finish().ok());
    Reopen();
  }

  void Reopen() {
    block_ = *Block::Open(&fs_, path());
    reader_ = std::make_unique<BlockReader>(
        block_, std::numeric_limits<int64_t>::min(),
        std::numeric_limits<int64_t>::max());
  }

  Block::Chunk ChunkOf(uint32_t series) {
    return (*reader_->Group(series))->ChunksOf(series)[0];
  }
  absl::Status Read(uint32_t series) {
    return reader_->Read(ChunkOf(series), &columns_).status();
  }
  void ExpectAll() {
    for (uint32_t s = 0; s < values_.size(); ++s) {
      ASSERT_TRUE(Read(s).ok()) << s;
      ASSERT_EQ(columns_.values.size(), values_[s].size());
      EXPECT_EQ(std::memcmp(columns_.values.data(), values_[s].data(),
                            8 * values_[s].size()),
                0)
          << s;
    }
  }

  MemoryFileSystem fs_;
  std::unique_ptr<BlockWriter> writer_;
  std::shared_ptr<const Block> block_;
  std::unique_ptr<BlockReader> reader_;
  std::vector<std::vector<double>> values_;
  SampleColumns columns_;
};

}  // namespace varve
