#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "storage/adaptive_ints.h"
#include "storage/adaptive_values.h"
#include "storage/check.h"

// Any bytes are refused, or read alike by all kernels; what was read survives
// being written. The first two bytes are the number of values.

namespace {

using varve::ColumnRead;
using varve::Decoder;

template <typename T, typename Get, typename Put>
void CheckColumn(std::string_view bytes, size_t n, const Get& get,
                 const Put& put) {
  std::vector<T> first(n);
  Decoder first_in(bytes);
  const auto kernels = varve::SupportedColumnKernels();
  const ColumnRead result = get(&first_in, first, *kernels[0]);
  for (const auto* k : kernels) {
    std::vector<T> out(n);
    Decoder in(bytes);
    VARVE_CHECK(get(&in, out, *k) == result);
    if (result != ColumnRead::kOk || n == 0) continue;
    VARVE_CHECK(in.offset() == first_in.offset());
    VARVE_CHECK(std::memcmp(out.data(), first.data(), 8 * n) == 0);
  }
  if (result != ColumnRead::kOk || n == 0) return;
  std::string written;
  put(&written, first);
  std::vector<T> again(n);
  Decoder in(written);
  VARVE_CHECK(get(&in, again, varve::BestColumnKernels()) == ColumnRead::kOk);
  VARVE_CHECK(in.done());
  VARVE_CHECK(std::memcmp(again.data(), first.data(), 8 * n) == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const size_t n = (data[0] | data[1] << 8) % 1024;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2,
                               size - 2);
  CheckColumn<int64_t>(
      bytes, n,
      [](Decoder* in, auto& out, const auto& k) {
        return varve::GetAdaptiveInts(in, out, k);
      },
      [](std::string* out, const auto& values) {
        varve::PutAdaptiveInts(out, values);
      });
  CheckColumn<double>(
      bytes, n,
      [](Decoder* in, auto& out, const auto& k) {
        return varve::GetAdaptiveValues(in, out, k);
      },
      [](std::string* out, const auto& values) {
        varve::PutAdaptiveValues(out, values);
      });
  return 0;
}
