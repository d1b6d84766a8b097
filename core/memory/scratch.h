// Working memory of a kernel call, from the backend's cache. Holds anything on entry.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/memory/allocator.h"

namespace lamina {

template <typename T>
class Scratch {
 public:
  Scratch(Allocator& allocator, std::int64_t elements)
      : allocator_(allocator),
        elements_(std::max<std::int64_t>(elements, 1)),
        data_(static_cast<T*>(allocator.allocate(bytes()))) {}
  ~Scratch() { allocator_.release(data_, bytes()); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() const { return data_; }
  T& operator[](std::int64_t index) const { return data_[index]; }

 private:
  std::size_t bytes() const { return static_cast<std::size_t>(elements_) * sizeof(T); }

  Allocator& allocator_;
  std::int64_t elements_;
  T* data_;
};

}  // namespace lamina
