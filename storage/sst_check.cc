#include "storage/sst_check.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "storage/coding.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

// u8 checksum type, two handles padded to 40 bytes, u32 version, u64 magic.
constexpr size_t kFooterBytes = 53;
constexpr size_t kHandlesBytes = 40;
constexpr uint64_t kMagic = 0x88e241b785f4cff7;
constexpr uint32_t kVersion = 5;
constexpr uint8_t kXxh3 = 4;
constexpr size_t kTrailerBytes = 5;
constexpr uint8_t kNoCompression = 0;
constexpr std::string_view kProperties = "rocksdb.properties";

struct Handle {
  uint64_t offset = 0;
  uint64_t size = 0;
};

Handle GetHandle(Decoder* in) {
  Handle handle;
  handle.offset = in->Varint();
  handle.size = in->Varint();
  return handle;
}

/// RocksDB hashes all but the last byte, the compression type, and mixes that
/// in.
uint32_t Checksum(std::string_view block, uint8_t type) {
  constexpr uint32_t kPrime = 0x6b9083d9;
  return static_cast<uint32_t>(XXH3_64bits(block.data(), block.size())) ^
         (kPrime * type);
}

class SstCheck {
 public:
  SstCheck(const RandomAccessFile& file, const std::string& path)
      : file_(file), path_(path) {}

  absl::Status Run() {
    VARVE_ASSIGN_OR_RETURN(size_, file_.Size());
    VARVE_ASSIGN_OR_RETURN(const Handle metaindex, ReadFooter());
    VARVE_ASSIGN_OR_RETURN(const std::string names,
                           ReadBlock("metaindex", metaindex));
    VARVE_ASSIGN_OR_RETURN(const Handle properties, FindProperties(names));
    return ReadBlock("properties", properties).status();
  }

 private:
  absl::Status Malformed(std::string_view what) const {
    return DataLoss("{}: malformed {} of a table file", path_, what);
  }

  absl::StatusOr<Handle> ReadFooter() const {
    if (size_ < kFooterBytes) return Malformed("footer");
    std::string footer(kFooterBytes, '\0');
    VARVE_RETURN_IF_ERROR(file_.ReadExactly(size_ - kFooterBytes, footer));
    Decoder in(footer);
    const bool known = in.U8() == kXxh3;
    Decoder handles(in.Bytes(kHandlesBytes));
    const Handle metaindex = GetHandle(&handles);
    const Handle index = GetHandle(&handles);
    if (!known || !handles.ok() || !Fits(metaindex) || !Fits(index) ||
        in.Fixed32() != kVersion || in.Fixed64() != kMagic) {
      return Malformed("footer");
    }
    return metaindex;
  }

  bool Fits(const Handle& handle) const {
    return handle.size <= size_ && handle.offset <= size_ - handle.size &&
           size_ - handle.size - handle.offset >= kTrailerBytes;
  }

  absl::StatusOr<std::string> ReadBlock(std::string_view what,
                                        const Handle& handle) const {
    std::string block(handle.size + kTrailerBytes, '\0');
    VARVE_RETURN_IF_ERROR(file_.ReadExactly(handle.offset, block));
    const auto type = static_cast<uint8_t>(block[handle.size]);
    const uint32_t expected = LoadFixed32(block.data() + handle.size + 1);
    block.resize(handle.size);
    const uint32_t found = Checksum(block, type);
    if (found != expected || type != kNoCompression) {
      return DataLoss(
          "{}: {} at offset {} of a table file: expected checksum {:08x}, "
          "found {:08x}",
          path_, what, handle.offset, expected, found);
    }
    return block;
  }

  /// Entries are prefix-coded; a list of restart points ends the block.
  absl::StatusOr<Handle> FindProperties(std::string_view block) const {
    if (block.size() < 4) return Malformed("metaindex");
    const uint64_t restarts =
        LoadFixed32(block.data() + block.size() - 4) & 0x7fffffff;
    if (4 * (restarts + 1) > block.size()) return Malformed("metaindex");
    Decoder in(block.substr(0, block.size() - 4 * (restarts + 1)));
    std::string key;
    while (in.remaining() > 0) {
      const uint64_t shared = in.VarintAtMost(key.size());
      const uint64_t rest = in.VarintAtMost(block.size());
      const uint64_t value_bytes = in.VarintAtMost(block.size());
      key.resize(shared);
      key += in.Bytes(rest);
      Decoder value(in.Bytes(value_bytes));
      if (!in.ok()) break;
      if (key != kProperties) continue;
      const Handle handle = GetHandle(&value);
      if (!value.ok() || !Fits(handle)) break;
      return handle;
    }
    return Malformed("metaindex");
  }

  const RandomAccessFile& file_;
  const std::string& path_;
  uint64_t size_ = 0;
};

}  // namespace

absl::Status CheckSst(const RandomAccessFile& file, const std::string& path) {
  return SstCheck(file, path).Run();
}

}  // namespace varve
