#include "storage/shared_bodies.h"

#include <gtest/gtest.h>

#include "storage/status_macros.h"
#include "tests/support/chunk_block.h"

namespace varve {
namespace {

TEST(SharedBodies, RemembersTheLastAndNotAll) {
  SharedBodies bodies;
  constexpr uint64_t kGeneration = SharedBodies::kGeneration;
  const auto hash = [](uint64_t i) { return SharedBodies::Hash(i, ~i); };
  for (uint64_t i = 0; i < kGeneration; ++i) {
    ASSERT_EQ(bodies.Find(hash(i)), std::nullopt);
    bodies.Add(hash(i), {i, 50});
  }
  constexpr uint64_t kNew = uint64_t{1} << 40;
  bodies.Add(hash(kNew), {});
  for (uint64_t i = 0; i < kGeneration / 2; ++i) {
    ASSERT_EQ(bodies.Find(hash(i))->offset, i);
  }
  for (uint64_t i = 1; i < kGeneration / 2 + 1; ++i) {
    bodies.Add(hash(kNew + i), {});
  }
  // Those that were found again, and of the others none.
  EXPECT_EQ(bodies.Find(hash(0))->offset, 0u);
  EXPECT_EQ(bodies.Find(hash(kGeneration - 1)), std::nullopt);
}

class SharedBodiesBlock : public ChunkBlock {};

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
  EXPECT_EQ(raw->pins[1], nullptr);
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
  EXPECT_EQ(other->pins[1], nullptr);
}

TEST_F(SharedBodiesBlock, BadReferencesAreRefused) {
  Add(Zigzag(200));
  Add(Zigzag(200));
  // Not one that the writer made: where the body of series 1 stands.
  const uint64_t end = [&] {
    Open();
    return ChunkOf(1).offset + ChunkOf(1).length;
  }();
  const ChunkPlace reference{ChunkOf(1).offset, ChunkOf(1).length};
  Begin();
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
    EXPECT_NE(Message(status).find(path()), std::string_view::npos);
  }
}

TEST(ChunkReference, IsReadExactly) {
  std::string bytes;
  PutChunkReference(&bytes, {300, 70000});
  ASSERT_EQ(ChunkFormOf(bytes), ChunkForm::kSame);
  const auto reference = GetChunkReference(bytes);
  ASSERT_TRUE(reference.ok());
  EXPECT_EQ(reference->place.offset, 300u);
  EXPECT_EQ(reference->place.length, 70000u);
  EXPECT_EQ(reference->differences, "");
  EXPECT_TRUE(absl::IsDataLoss(GetChunkReference(bytes + '\0').status()));
  for (size_t cut = 1; cut < bytes.size(); ++cut) {
    EXPECT_TRUE(
        absl::IsDataLoss(GetChunkReference(bytes.substr(0, cut)).status()));
  }
  bytes[0] |= 4;
  EXPECT_EQ(ChunkFormOf(bytes), ChunkForm::kSame);
  EXPECT_TRUE(absl::IsUnimplemented(GetChunkReference(bytes).status()));
  EXPECT_EQ(ChunkFormOf(""), ChunkForm::kItself);
}

}  // namespace
}  // namespace varve
