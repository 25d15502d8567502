#include "api/http_query_registry.h"

#include <utility>

namespace varve {

QueryRegistry::Running::Running(QueryRegistry* registry, QueryContext* context,
                                std::string query, std::string path,
                                std::string client)
    : registry_(registry) {
  Entry entry{context, context->clock()->MonotonicNs(), {}};
  entry.info.query = std::move(query);
  entry.info.path = std::move(path);
  entry.info.client = std::move(client);
  MutexLock lock(&registry_->mutex_);
  id_ = entry.info.id = ++registry_->last_id_;
  registry_->running_.emplace(id_, std::move(entry));
}

QueryRegistry::Running::~Running() {
  MutexLock lock(&registry_->mutex_);
  registry_->running_.erase(id_);
}

std::vector<QueryRegistry::Info> QueryRegistry::List() const {
  std::vector<Info> out;
  MutexLock lock(&mutex_);
  for (const auto& [id, entry] : running_) {
    Info& info = out.emplace_back(entry.info);
    info.age_ns = entry.context->clock()->MonotonicNs() - entry.began_ns;
    info.samples = entry.context->samples();
    info.bytes = entry.context->bytes();
  }
  return out;
}

bool QueryRegistry::Cancel(int64_t id) {
  MutexLock lock(&mutex_);
  const auto it = running_.find(id);
  if (it == running_.end()) return false;
  it->second.context->Cancel();
  return true;
}

}  // namespace varve
