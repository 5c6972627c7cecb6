// Ref<T>: an owner of an intrusively counted object, which offers retain() and release().
#pragma once

#include <utility>

namespace dbc {

template <typename T>
class Ref {
 public:
  Ref() = default;
  Ref(const Ref &other) : object_(other.object_) {
    if (object_) object_->retain();
  }
  Ref(Ref &&other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref &operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_) object_->release();
  }

  // Takes over a count that the caller owns.
  static Ref adopt(T *object) {
    Ref ref;
    ref.object_ = object;
    return ref;
  }
  // Adds a count of its own.
  static Ref share(T *object) {
    if (object) object->retain();
    return adopt(object);
  }
  // Hands the count to the caller.
  T *detach() { return std::exchange(object_, nullptr); }

  T *get() const { return object_; }
  T *operator->() const { return object_; }
  T &operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }

 private:
  T *object_ = nullptr;
};

}  // namespace dbc
