#include "storage/manifest.h"

#include <algorithm>
#include <type_traits>

#include "storage/coding.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

constexpr std::string_view kVersionKey = "v";
constexpr std::string_view kBlockPrefix = "b";
constexpr std::string_view kMarkPrefix = "m";
constexpr std::string_view kNextPartPrefix = "n";
constexpr std::string_view kDeletionPrefix = "d";
constexpr uint64_t kManifestVersion = 1;
/// Since there are deletions: who does not know them must not serve the blocks.
constexpr uint64_t kManifestVersionMax = 2;
constexpr int64_t kDayMs = int64_t{24} * 3600 * 1000;

/// Big-endian with the sign turned, so that bytes sort as numbers do.
template <typename T>
void PutSorted(std::string* out, T v) {
  constexpr int kBits = 8 * sizeof(T);
  const uint64_t u = static_cast<uint64_t>(static_cast<int64_t>(v)) ^
                     (std::is_signed_v<T> ? uint64_t{1} << (kBits - 1) : 0);
  for (int shift = kBits - 8; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>(u >> shift));
  }
}
template <typename T>
T GetSorted(std::string_view bytes) {
  uint64_t u = std::is_signed_v<T> ? uint64_t{1} << (8 * sizeof(T) - 1) : 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    u ^= static_cast<uint64_t>(static_cast<uint8_t>(bytes[i]))
         << (8 * (sizeof(T) - 1 - i));
  }
  return static_cast<T>(u);
}

std::string BlockRowKey(const BlockInfo& info) {
  return std::string(kBlockPrefix) + BlockKey(info.day, info.part);
}
std::string MarkRowKey(int64_t window_start_ms) {
  std::string key(kMarkPrefix);
  PutSorted(&key, window_start_ms);
  return key;
}
std::string NextPartRowKey(int32_t day) {
  std::string key(kNextPartPrefix);
  PutSorted(&key, day);
  return key;
}

std::string DeletionRowKey(uint64_t number) {
  std::string key(kDeletionPrefix);
  PutSorted(&key, number);
  return key;
}

bool ParseBlockRow(std::string_view key, std::string_view value,
                   BlockInfo* info) {
  key.remove_prefix(kBlockPrefix.size());
  if (!ParseBlockKey(key, &info->day, &info->part) || key.size() != 6) {
    return false;
  }
  Decoder in(value);
  info->window.start_ms = in.ZigZagVarint();
  info->window.end_ms = in.ZigZagVarint();
  info->min_ms = in.ZigZagVarint();
  info->max_ms = in.ZigZagVarint();
  info->series = static_cast<uint32_t>(in.VarintAtMost(UINT32_MAX));
  info->samples = in.Varint();
  info->file_bytes = in.Varint();
  info->index_bytes = in.Varint();
  info->order = info->part;
  if (in.remaining() > 0) {
    info->order = static_cast<uint16_t>(in.VarintAtMost(UINT16_MAX));
  }
  if (in.remaining() > 0) info->deletions_done = in.Varint();
  return in.ok();  // later versions may add fields
}

absl::Status CheckVersion(RowStore* rows) {
  VARVE_ASSIGN_OR_RETURN(const auto version,
                         rows->Get(RowStore::Family::kManifest, kVersionKey));
  if (!version) {
    RowStore::Batch batch;
    batch.puts.emplace_back(kVersionKey, std::string());
    PutVarint(&batch.puts.back().second, kManifestVersion);
    return rows->WriteManifest(batch);
  }
  const uint64_t found = Decoder(*version).Varint();
  if (found >= kManifestVersion && found <= kManifestVersionMax) {
    return absl::OkStatus();
  }
  return Unimplemented("manifest version {}, this varve reads {} to {}", found,
                       kManifestVersion, kManifestVersionMax);
}

absl::Status BadRow(std::string_view what) {
  return DataLoss("manifest: malformed row of a {}", what);
}

}  // namespace

std::string BlockKey(int32_t day, uint16_t part) {
  std::string key;
  PutSorted(&key, day);
  PutSorted(&key, part);
  return key;
}

bool ParseBlockKey(std::string_view key, int32_t* day, uint16_t* part) {
  if (key.size() < 6) return false;
  *day = GetSorted<int32_t>(key);
  *part = GetSorted<uint16_t>(key.substr(4));
  return true;
}

std::string KeyAfter(std::string_view prefix) {
  std::string key(prefix);
  while (!key.empty() && key.back() == '\xff') key.pop_back();
  if (!key.empty()) ++key.back();
  return key;
}

int64_t DayOf(int64_t time_ms) {
  const int64_t day = time_ms / kDayMs;
  return time_ms % kDayMs < 0 ? day - 1 : day;
}

void PutBlockRow(const BlockInfo& info, RowStore::Batch* batch) {
  std::string value;
  PutZigZag(&value, info.window.start_ms);
  PutZigZag(&value, info.window.end_ms);
  PutZigZag(&value, info.min_ms);
  PutZigZag(&value, info.max_ms);
  PutVarint(&value, info.series);
  PutVarint(&value, info.samples);
  PutVarint(&value, info.file_bytes);
  PutVarint(&value, info.index_bytes);
  PutVarint(&value, info.order);
  if (info.deletions_done != 0) PutVarint(&value, info.deletions_done);
  batch->puts.emplace_back(BlockRowKey(info), std::move(value));
}
void DeleteBlockRow(const BlockInfo& info, RowStore::Batch* batch) {
  batch->deletes.push_back(BlockRowKey(info));
}

void PutMarkRow(const SealMark& mark, RowStore::Batch* batch) {
  std::string value;
  PutVarint(&value, mark.wal_segment);
  batch->puts.emplace_back(MarkRowKey(mark.window_start_ms), std::move(value));
}
void DeleteMarkRow(const SealMark& mark, RowStore::Batch* batch) {
  batch->deletes.push_back(MarkRowKey(mark.window_start_ms));
}

void PutNextPartRow(int32_t day, uint32_t next_part, RowStore::Batch* batch) {
  std::string value;
  PutVarint(&value, next_part);
  batch->puts.emplace_back(NextPartRowKey(day), std::move(value));
}

void PutDeletionRow(const Deletion& deletion, RowStore::Batch* batch) {
  batch->puts.emplace_back(DeletionRowKey(deletion.number),
                           EncodeDeletion(deletion));
  std::string version;
  PutVarint(&version, kManifestVersionMax);
  batch->puts.emplace_back(kVersionKey, std::move(version));
}
void DeleteDeletionRow(uint64_t number, RowStore::Batch* batch) {
  batch->deletes.push_back(DeletionRowKey(number));
}

absl::StatusOr<bool> ManifestIsNew(const RowStore& rows) {
  VARVE_ASSIGN_OR_RETURN(const auto version,
                         rows.Get(RowStore::Family::kManifest, kVersionKey));
  return !version.has_value();
}

namespace {

absl::Status AddBlock(std::string_view key, std::string_view value,
                      Manifest* manifest) {
  BlockInfo info;
  if (!ParseBlockRow(key, value, &info)) return BadRow("block");
  manifest->blocks.push_back(info);
  uint32_t& next = manifest->next_parts[info.day];
  next = std::max(next, uint32_t{info.part} + 1);
  return absl::OkStatus();
}

absl::Status AddMark(std::string_view key, std::string_view value,
                     Manifest* manifest) {
  Decoder in(value);
  const uint64_t segment = in.Varint();
  if (key.size() != 9 || !in.ok()) return BadRow("seal mark");
  manifest->marks[GetSorted<int64_t>(key.substr(1))] = segment;
  return absl::OkStatus();
}

absl::Status AddNextPart(std::string_view key, std::string_view value,
                         Manifest* manifest) {
  Decoder in(value);
  const auto part = static_cast<uint32_t>(in.VarintAtMost(UINT32_MAX));
  if (key.size() != 5 || !in.ok()) return BadRow("next part");
  uint32_t& next = manifest->next_parts[GetSorted<int32_t>(key.substr(1))];
  next = std::max(next, part);
  return absl::OkStatus();
}

absl::Status AddDeletion(std::string_view key, std::string_view value,
                         Manifest* manifest) {
  if (key.size() != 9) return BadRow("deletion");
  const auto number = GetSorted<uint64_t>(key.substr(1));
  VARVE_ASSIGN_OR_RETURN(DeletionPtr deletion, DecodeDeletion(number, value));
  manifest->deletions.push_back(std::move(deletion));
  return absl::OkStatus();
}

struct RowKind {
  std::string_view prefix;
  absl::Status (*add)(std::string_view key, std::string_view value,
                      Manifest* manifest);
};
constexpr RowKind kRowKinds[] = {{kBlockPrefix, AddBlock},
                                 {kMarkPrefix, AddMark},
                                 {kNextPartPrefix, AddNextPart},
                                 {kDeletionPrefix, AddDeletion}};

}  // namespace

absl::StatusOr<Manifest> ReadManifest(RowStore* rows) {
  VARVE_RETURN_IF_ERROR(CheckVersion(rows));
  Manifest manifest;
  for (const RowKind& kind : kRowKinds) {
    VARVE_ASSIGN_OR_RETURN(const auto found, rows->ManifestRows(kind.prefix));
    for (const auto& [key, value] : found) {
      VARVE_RETURN_IF_ERROR(kind.add(key, value, &manifest));
    }
  }
  return manifest;
}

Manifest SalvageManifest(const RowStore& rows) {
  Manifest manifest;
  for (const RowKind& kind : kRowKinds) {
    const auto found = rows.ManifestRows(kind.prefix);
    if (!found.ok()) continue;
    for (const auto& [key, value] : *found) {
      kind.add(key, value, &manifest).IgnoreError();
    }
  }
  return manifest;
}

}  // namespace varve
