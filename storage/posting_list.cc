#include "storage/posting_list.h"

#include <algorithm>
#include <bit>

#include "storage/coding.h"
#include "storage/status_macros.h"

namespace varve {
namespace {

// The first byte: up to kShortMax, so many deltas follow; kTokens: the length
// and tokens `delta << 1 | repeated`, after a repeated one how often more than
// twice. The first delta counts from -1, so that no delta is 0.
constexpr uint8_t kShortMax = 5;
constexpr uint8_t kTokens = 0x81;

/// A list this much longer than the other is searched instead of walked.
constexpr size_t kGallopRatio = 16;

absl::Status Malformed() { return DataLoss("malformed posting list"); }

/// The first place in [from, end) whose id is not below `id`, found in steps
/// that double.
const uint32_t* Gallop(const uint32_t* from, const uint32_t* end, uint32_t id) {
  size_t step = 1;
  while (step < static_cast<size_t>(end - from) && from[step] < id) {
    from += step;
    step *= 2;
  }
  const size_t left = static_cast<size_t>(end - from);
  return std::lower_bound(from, from + std::min(step + 1, left), id);
}

/// Calls f(id) for ids of `ids` with whether `other` has them, until f gives
/// false.
template <typename F>
void Walk(std::span<const uint32_t> ids, std::span<const uint32_t> other,
          const F& f) {
  const uint32_t* at = other.data();
  const uint32_t* const end = at + other.size();
  const bool gallop = other.size() / kGallopRatio > ids.size();
  for (const uint32_t id : ids) {
    if (gallop) {
      at = Gallop(at, end, id);
    } else {
      while (at != end && *at < id) ++at;
    }
    if (!f(id, at != end && *at == id)) return;
  }
}

/// Calls begin(number of ids), then run(first, delta, count) for the ids first,
/// first + delta, ... until it gives false. The runs are as many ids as begin()
/// was told, all below `series`.
template <typename Begin, typename Run>
absl::Status ForEachRun(std::string_view bytes, uint32_t series,
                        const Begin& begin, const Run& run) {
  Decoder in(bytes);
  const uint8_t tag = in.U8();
  const bool tokens = tag == kTokens;
  if (!in.ok()) return Malformed();
  if (!tokens && (tag == 0 || tag > kShortMax)) {
    return Unimplemented(
        "posting list of kind {}, which this version does not know", tag);
  }
  uint64_t left = tokens ? in.VarintAtMost(series) : tag;
  begin(left);
  uint64_t last = UINT64_MAX;  // -1
  while (left > 0) {
    const uint64_t token = in.Varint();
    const uint64_t delta = tokens ? token >> 1 : token;
    const uint64_t repeats =
        tokens && (token & 1) != 0 ? in.VarintAtMost(left) + 2 : 1;
    if (!in.ok() || delta == 0 || delta > series || repeats > left ||
        last + delta * repeats >= series) {
      return Malformed();
    }
    left -= repeats;
    if (!run(static_cast<uint32_t>(last + delta), static_cast<uint32_t>(delta),
             static_cast<uint32_t>(repeats))) {
      return absl::OkStatus();
    }
    last += delta * repeats;
  }
  return in.done() ? absl::OkStatus() : Malformed();
}

}  // namespace

void PutPosting(std::string* out, std::span<const uint32_t> ids) {
  uint64_t last = UINT64_MAX;  // -1
  if (ids.size() <= kShortMax) {
    PutU8(out, static_cast<uint8_t>(ids.size()));
    for (const uint32_t id : ids) {
      PutVarint(out, id - last);
      last = id;
    }
    return;
  }
  PutU8(out, kTokens);
  PutVarint(out, ids.size());
  for (size_t i = 0; i < ids.size();) {
    const uint64_t delta = ids[i] - last;
    size_t repeats = 1;
    while (i + repeats < ids.size() &&
           ids[i + repeats] - ids[i + repeats - 1] == delta) {
      ++repeats;
    }
    PutVarint(out, delta << 1 | (repeats > 1 ? 1 : 0));
    if (repeats > 1) PutVarint(out, repeats - 2);
    i += repeats;
    last = ids[i - 1];
  }
}

uint64_t PostingLength(std::string_view bytes) {
  Decoder in(bytes);
  const uint8_t tag = in.U8();
  return tag <= kShortMax ? tag : in.Varint();
}

absl::Status AppendPosting(std::string_view bytes, uint32_t series, Ids* out) {
  const size_t begin = out->size();
  uint32_t* at = nullptr;
  const absl::Status status = ForEachRun(
      bytes, series,
      [&](uint64_t ids) {
        // Lists are appended one by one: growing each time by just as much as
        // is needed would copy what is there each time.
        if (out->capacity() < begin + ids) {
          out->reserve(std::max<size_t>(begin + ids, 2 * out->capacity()));
        }
        out->resize(begin + ids);
        at = out->data() + begin;
      },
      [&](uint32_t first, uint32_t delta, uint32_t count) {
        for (uint32_t i = 0; i < count; ++i) *at++ = first + i * delta;
        return true;
      });
  if (!status.ok()) out->resize(begin);
  return status;
}

absl::StatusOr<bool> PostingIntersects(std::string_view bytes, uint32_t series,
                                       const IdBits& ids) {
  bool found = false;
  VARVE_RETURN_IF_ERROR(ForEachRun(
      bytes, series, [](uint64_t) {},
      [&](uint32_t first, uint32_t delta, uint32_t count) {
        for (uint32_t i = 0; i < count && !found; ++i) {
          found = ids.Has(first + i * delta);
        }
        return !found;
      }));
  return found;
}

IdBits::IdBits(uint32_t series, std::span<const uint32_t> ids)
    : words_((uint64_t{series} + 63) / 64) {
  for (const uint32_t id : ids) words_[id / 64] |= uint64_t{1} << (id % 64);
}

void SortUnion(uint32_t series, Ids* ids) {
  if (std::is_sorted(ids->begin(), ids->end())) return;
  // A bitmap costs as much as sorting so many (postings_bench).
  if (ids->size() < series / 2048) {
    std::sort(ids->begin(), ids->end());
    return;
  }
  std::vector<uint64_t> bits((uint64_t{series} + 63) / 64);
  for (const uint32_t id : *ids) bits[id / 64] |= uint64_t{1} << (id % 64);
  size_t n = 0;
  for (size_t word = 0; word < bits.size(); ++word) {
    for (uint64_t b = bits[word]; b != 0; b &= b - 1) {
      (*ids)[n++] = static_cast<uint32_t>(word * 64 + std::countr_zero(b));
    }
  }
  ids->resize(n);
}

void Intersect(Ids* ids, std::span<const uint32_t> other) {
  if (ids->size() / kGallopRatio > other.size()) {
    Ids out;
    Walk(other, *ids, [&](uint32_t id, bool both) {
      if (both) out.push_back(id);
      return true;
    });
    *ids = std::move(out);
    return;
  }
  size_t n = 0;
  Walk(*ids, other, [&](uint32_t id, bool both) {
    if (both) (*ids)[n++] = id;
    return true;
  });
  ids->resize(n);
}

void Subtract(Ids* ids, std::span<const uint32_t> other) {
  size_t n = 0;
  Walk(*ids, other, [&](uint32_t id, bool both) {
    if (!both) (*ids)[n++] = id;
    return true;
  });
  ids->resize(n);
}

}  // namespace varve
