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
  Decoder in(bytes);
  const uint8_t tag = in.U8();
  const bool tokens = tag == kTokens;
  if (!in.ok()) return Malformed();
  if (!tokens && (tag == 0 || tag > kShortMax)) {
    return Unimplemented(
        "posting list of kind {}, which this version does not know", tag);
  }
  uint64_t left = tokens ? in.VarintAtMost(series) : tag;
  out->reserve(out->size() + left);
  uint64_t next = UINT64_MAX;
  while (left > 0) {
    const uint64_t token = in.Varint();
    const uint64_t delta = tokens ? token >> 1 : token;
    const uint64_t repeats =
        tokens && (token & 1) != 0 ? in.VarintAtMost(left) + 2 : 1;
    if (!in.ok() || delta == 0 || delta > series || repeats > left) {
      return Malformed();
    }
    left -= repeats;
    for (uint64_t i = 0; i < repeats; ++i) {
      next += delta;
      if (next >= series) return Malformed();
      out->push_back(static_cast<uint32_t>(next));
    }
  }
  return in.done() ? absl::OkStatus() : Malformed();
}

void SortUnion(uint32_t series, Ids* ids) {
  if (std::is_sorted(ids->begin(), ids->end())) return;
  if (ids->size() < series / 64) {
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

bool Intersects(std::span<const uint32_t> a, std::span<const uint32_t> b) {
  if (a.size() > b.size()) std::swap(a, b);
  bool found = false;
  Walk(a, b, [&](uint32_t, bool both) {
    found = both;
    return !both;
  });
  return found;
}

}  // namespace varve
