#include "storage/write_batch.h"

namespace varve {

std::string_view RejectionText(Rejection rejection) {
  switch (rejection) {
    case Rejection::kDuplicate:
      return "duplicate sample for timestamp with another value";
    case Rejection::kTooOld:
      return "too old: outside the retention or the out-of-order window";
    case Rejection::kTooFarAhead:
      return "more than 10 minutes ahead of the clock";
    case Rejection::kHistogram:
      return "invalid or out-of-order histogram";
    case Rejection::kExemplar:
      return "exemplar out of order, duplicate or too long";
  }
  return "unknown reason";
}

}  // namespace varve
