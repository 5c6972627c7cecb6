#include "cache/write_buffer.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace dbc {

bool WriteBuffer::has_room(const Key &key, uint64_t size) const {
  auto present = pending_.find(key);
  uint64_t items = pending_.size() + writing_.size() - (present == pending_.end() ? 0 : 1);
  uint64_t bytes = pending_bytes_ + writing_bytes_ - (present == pending_.end() ? 0 : present->second.item->size());
  return items < max_items_ && (bytes + size <= max_bytes_ || items == 0);
}

bool WriteBuffer::try_add(const Entry &entry, const std::function<uint64_t()> &reserve, double *fill) {
  Key key = entry.item->as_key();
  uint64_t size = entry.item->size();
  Entry replaced;  // let go of after the mutex
  std::lock_guard lock(mutex_);
  if (!has_room(key, size)) return false;
  auto [at, fresh] = pending_.try_emplace(key);
  uint64_t version = reserve();
  entry.item->set_version(version);
  entry.whole->set_version(version);
  last_version_.store(version, std::memory_order_relaxed);
  if (!fresh) {
    pending_bytes_ -= at->second.item->size();
    // The map's key must point into the entry that stays.
    auto node = pending_.extract(at);
    node.key() = key;
    at = pending_.insert(std::move(node)).position;
    replaced = std::move(at->second);
  }
  at->second = entry;
  pending_bytes_ += size;
  *fill = std::max(static_cast<double>(pending_.size() + writing_.size()) / static_cast<double>(max_items_),
                   static_cast<double>(pending_bytes_ + writing_bytes_) / static_cast<double>(max_bytes_));
  return true;
}

void WriteBuffer::drop_older(const Key &key, uint64_t version) noexcept {
  Entry dropped;  // let go of after the mutex
  std::lock_guard lock(mutex_);
  auto at = pending_.find(key);
  if (at == pending_.end() || version < at->second.item->version()) return;
  pending_bytes_ -= at->second.item->size();
  dropped = std::move(at->second);
  pending_.erase(at);
}

WriteBuffer::Entry WriteBuffer::find(const Key &key) const {
  std::lock_guard lock(mutex_);
  if (auto at = pending_.find(key); at != pending_.end()) return at->second;
  if (auto at = writing_.find(key); at != writing_.end()) return at->second;
  return {};
}

bool WriteBuffer::has_later(const Item &item) const {
  // Mostly it is the last put of all that asks, or one that is later than any.
  if (last_version_.load(std::memory_order_relaxed) <= item.version()) return false;
  Entry present = find(item.as_key());
  return present.item && present.item->version() > item.version();
}

size_t WriteBuffer::size() const {
  std::lock_guard lock(mutex_);
  return pending_.size() + writing_.size();
}

std::vector<WriteBuffer::Entry> WriteBuffer::take() {
  std::vector<Entry> entries;
  {
    std::lock_guard lock(mutex_);
    entries.reserve(pending_.size());
    for (const auto &[key, entry] : pending_) entries.push_back(entry);
    writing_.swap(pending_);
    std::swap(writing_bytes_, pending_bytes_);
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry &a, const Entry &b) { return a.item->version() < b.item->version(); });
  return entries;
}

void WriteBuffer::done(bool committed) noexcept {
  std::lock_guard lock(mutex_);
  if (!committed) {
    // Those that came meanwhile are the later ones.
    writing_.swap(pending_);
    std::swap(writing_bytes_, pending_bytes_);
    for (auto at = writing_.begin(); at != writing_.end();) {
      auto next = std::next(at);
      auto older = pending_.find(at->first);
      if (older != pending_.end()) {
        pending_bytes_ -= older->second.item->size();
        pending_.erase(older);
      }
      pending_bytes_ += at->second.item->size();
      pending_.insert(writing_.extract(at));
      at = next;
    }
  }
  writing_.clear();
  writing_bytes_ = 0;
}

}  // namespace dbc
