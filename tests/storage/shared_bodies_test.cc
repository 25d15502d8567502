#include "storage/shared_bodies.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "storage/block.h"
#include "storage/block_writer.h"
#include "storage/status_macros.h"
#include "tests/support/memory_file_system.h"

namespace varve {
namespace {

constexpr const char* kPath = "/blocks/b";

TEST(SharedBodies, RemembersTheLastAndNotAll) {
  SharedBodies bodies;
  const auto find = [&](uint64_t i, uint64_t offset) {
    return bodies.FindOrAdd({i, ~i}, {offset, 50}).offset;
  };
  for (uint64_t i = 0; i < SharedBodies::kGeneration; ++i) {
    ASSERT_EQ(find(i, i), i);
  }
  for (uint64_t i = 0; i < SharedBodies::kGeneration / 2; ++i) {
    ASSERT_EQ(find(i, 1 << 30), i);
  }
  constexpr uint64_t kNew = uint64_t{1} << 40;
  for (uint64_t i = 0; i < SharedBodies::kGeneration / 2; ++i) {
    ASSERT_EQ(find(kNew + i, i), i);
  }
  // Those that were found again, and of the others none.
  EXPECT_EQ(find(0, 1 << 30), 0u);
  EXPECT_EQ(find(SharedBodies::kGeneration - 1, 77), 77u);
}

/// A block that is written chunk by chunk, each of another series.
class SharedBodiesBlock : public testing::Test {
 protected:
  SharedBodiesBlock() {
    EXPECT_TRUE(fs_.CreateDir("/blocks").ok());
    BlockInfo names;
    names.window = {0, 86'400'000};
    writer_ = *BlockWriter::Create(&fs_, kPath, names);
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

  /// One that only says where it stands.
  void AddReference(ChunkPlace place) {
    std::string body;
    PutChunkReference(&body, place);
    const int64_t time = 0;
    ASSERT_TRUE(writer_->AddChunk(EncodedChunk{{&time, 1}, {}, body}).ok());
    ASSERT_TRUE(writer_->EndSeries().ok());
  }

  void Open() {
    ASSERT_TRUE(writer_->Finish().ok());
    block_ = *Block::Open(&fs_, kPath);
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
      EXPECT_EQ(columns_.values, values_[s]) << s;
    }
  }

  MemoryFileSystem fs_;
  std::unique_ptr<BlockWriter> writer_;
  std::shared_ptr<const Block> block_;
  std::unique_ptr<BlockReader> reader_;
  std::vector<std::vector<double>> values_;
  SampleColumns columns_;
};

std::vector<double> Zigzag(size_t n) {
  std::vector<double> values(n);
  for (size_t i = 0; i < n; ++i) {
    values[i] = static_cast<double>(i * i * i % 977);
  }
  return values;
}

TEST_F(SharedBodiesBlock, EqualBodiesStandOnce) {
  Add(Zigzag(200));
  Add(Zigzag(200));
  Add(Zigzag(199));
  Add(Zigzag(200), 5);  // at other times
  Add(Zigzag(200));
  Open();
  ExpectAll();
  EXPECT_GT(ChunkOf(0).length, 200u);
  EXPECT_LT(ChunkOf(1).length, 6u);
  EXPECT_GT(ChunkOf(2).length, 200u);
  EXPECT_LT(ChunkOf(3).length, 20u);
  EXPECT_LT(ChunkOf(4).length, 6u);
}

TEST_F(SharedBodiesBlock, ShortOnesStandForThemselves) {
  Add(std::vector<double>(500, 0.1));
  Add(std::vector<double>(500, 0.1));
  Open();
  ExpectAll();
  const auto raw = reader_->ReadRaw(ChunkOf(1));
  ASSERT_TRUE(raw.ok());
  EXPECT_EQ(raw->body_pin, nullptr);
}

/// The writer keeps them apart although their bytes are equal.
TEST_F(SharedBodiesBlock, TheNumberOfSamplesIsPartOfABody) {
  Add({1e300, 2e300, 3e300, 1e-300, 7, 0.1});
  const auto raw = [&] {
    std::string body;
    SampleColumns columns;
    columns.kind = SampleColumns::Kind::kFloat;
    columns.values = values_[0];
    columns.timestamps.resize(6);
    PutChunk(&body, columns, 0, 6);
    return body;
  }();
  ASSERT_GE(raw.size(), 32u);
  const std::vector<int64_t> times = {1, 2, 3, 4, 5};
  ASSERT_TRUE(writer_->AddChunk(EncodedChunk{times, {}, raw}).ok());
  ASSERT_TRUE(writer_->EndSeries().ok());
  Open();
  const auto other = reader_->ReadRaw(ChunkOf(1));
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->body_pin, nullptr);
}

TEST_F(SharedBodiesBlock, BadReferencesAreRefused) {
  Add(Zigzag(200));
  Add(Zigzag(200));
  // Not one that the writer made: where the body of series 1 stands.
  const uint64_t end = [&] {
    SharedBodiesBlock::Open();
    return ChunkOf(1).offset + ChunkOf(1).length;
  }();
  const ChunkPlace reference{ChunkOf(1).offset, ChunkOf(1).length};
  BlockInfo names;
  names.window = {0, 86'400'000};
  writer_ = *BlockWriter::Create(&fs_, kPath, names);
  values_.clear();
  Add(Zigzag(200));
  Add(Zigzag(200));
  AddReference(reference);
  AddReference({end, 1});
  AddReference({end + 1000, 50});
  AddReference({0, UINT64_MAX});
  AddReference({UINT64_MAX, 2});
  AddReference({UINT64_MAX - 1, UINT64_MAX});
  AddReference({0, end + 1000});
  AddReference({0, 0});
  Open();
  ExpectAll();
  const auto s = Read(2);
  EXPECT_TRUE(absl::IsDataLoss(s)) << s;
  EXPECT_NE(Message(s).find("reference to a reference"),
            std::string_view::npos);
  for (uint32_t series = 3; series < 10; ++series) {
    const auto status = Read(series);
    EXPECT_TRUE(absl::IsDataLoss(status)) << series << ": " << status;
    EXPECT_NE(Message(status).find(kPath), std::string_view::npos);
  }
}

TEST(ChunkReference, IsReadExactly) {
  std::string bytes;
  PutChunkReference(&bytes, {300, 70000});
  ASSERT_TRUE(IsChunkReference(bytes));
  const auto place = GetChunkReference(bytes);
  ASSERT_TRUE(place.ok());
  EXPECT_EQ(place->offset, 300u);
  EXPECT_EQ(place->length, 70000u);
  EXPECT_TRUE(absl::IsDataLoss(GetChunkReference(bytes + '\0').status()));
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    EXPECT_TRUE(
        absl::IsDataLoss(GetChunkReference(bytes.substr(0, cut)).status()));
  }
  bytes[0] |= 4;
  EXPECT_TRUE(IsChunkReference(bytes));
  EXPECT_TRUE(absl::IsUnimplemented(GetChunkReference(bytes).status()));
  EXPECT_FALSE(IsChunkReference(""));
}

}  // namespace
}  // namespace varve
