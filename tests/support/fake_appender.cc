#include "tests/support/fake_appender.h"

#include <bit>

#include "storage/check.h"

namespace varve {

class FakeAppender final : public Appender {
 public:
  explicit FakeAppender(FakeStore* store) : store_(*store) {}

  uint64_t series_epoch() const override { return store_.epoch_; }

  absl::StatusOr<SeriesRef> Resolve(const Labels& labels) override {
    MutexLock lock(&store_.mutex_);
    if (!store_.resolve_status.ok()) return store_.resolve_status;
    ++store_.resolves;
    const auto [it, added] = store_.refs_.try_emplace(
        labels, static_cast<SeriesRef>(store_.series_.size()));
    if (added) store_.series_.push_back({labels, {}, {}, {}, {}});
    return it->second;
  }

  const Labels LabelsOf(SeriesRef ref) const override {
    MutexLock lock(&store_.mutex_);
    return store_.series_[ref].labels;
  }

  WriteBatch& batch() override { return batch_; }

  absl::StatusOr<WriteResult> Commit() override {
    MutexLock lock(&store_.mutex_);
    if (!store_.commit_status.ok()) return store_.commit_status;
    ++store_.commits;
    WriteResult result;
    VARVE_CHECK(batch_.refs.size() == batch_.timestamps.size());
    VARVE_CHECK(batch_.refs.size() == batch_.values.size());
    VARVE_CHECK(batch_.start_timestamps.empty() ||
                batch_.start_timestamps.size() == batch_.refs.size());
    store_.samples += static_cast<int64_t>(batch_.size());
    if (store_.keep) {
      Floats(&result);
      Rest(&result);
    } else {
      result.samples_stored = static_cast<int64_t>(batch_.refs.size());
    }
    batch_.Clear();
    return result;
  }

 private:
  void Reject(Rejection reason, SeriesRef ref, int64_t timestamp_ms,
              WriteResult* result) {
    ++result->rejected[static_cast<size_t>(reason)];
    if (result->examples.size() < 10) {
      result->examples.push_back({reason, ref, timestamp_ms});
    }
  }

  void Floats(WriteResult* result) {
    for (size_t i = 0; i < batch_.refs.size(); ++i) {
      const int64_t t = batch_.timestamps[i];
      auto& floats = store_.series_.at(batch_.refs[i]).floats;
      if (t < store_.too_old_ms) {
        Reject(Rejection::kTooOld, batch_.refs[i], t, result);
        continue;
      }
      const auto [it, added] = floats.try_emplace(t, batch_.values[i]);
      if (!batch_.start_timestamps.empty() &&
          batch_.start_timestamps[i] != kNoStartTimestamp) {
        store_.series_.at(batch_.refs[i]).starts[t] =
            batch_.start_timestamps[i];
      }
      if (!added && std::bit_cast<uint64_t>(it->second) !=
                        std::bit_cast<uint64_t>(batch_.values[i])) {
        Reject(Rejection::kDuplicate, batch_.refs[i], t, result);
        continue;
      }
      ++result->samples_stored;
    }
  }

  void Rest(WriteResult* result) {
    for (auto& h : batch_.histograms) {
      store_.series_.at(h.ref).histograms[h.timestamp_ms] = h.histogram;
      ++result->histograms_stored;
    }
    for (auto& e : batch_.exemplars) {
      store_.series_.at(e.ref).exemplars.push_back(e.exemplar);
      ++result->exemplars_stored;
    }
    for (auto& m : batch_.metadata) store_.metadata_[m.family] = m.metadata;
  }

  FakeStore& store_;
  WriteBatch batch_;
};

std::unique_ptr<Appender> FakeStore::BeginAppend() {
  return std::make_unique<FakeAppender>(this);
}

const FakeStore::Series* FakeStore::Find(const Labels& labels) const {
  const auto it = refs_.find(labels);
  return it == refs_.end() ? nullptr : &series_[it->second];
}

void FakeStore::Collect() {
  MutexLock lock(&mutex_);
  ++epoch_;
  refs_.clear();
  series_.clear();
}

}  // namespace varve
