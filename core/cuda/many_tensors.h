// Work on many tensors by one kernel, whose arguments list them: 4 KB at most.
#pragma once

#include <cstdint>

#include "core/base/host_device.h"
#include "core/base/rounding.h"
#include "core/cuda/launch.h"
#include "core/cuda/pack.h"
#include "core/tensor.h"

namespace lamina::cuda {

struct ManyTensors {
  static constexpr int most = 96, width = 4;  // elements of a thread
  struct One {
    const void* from;
    void* to;
    std::int64_t elements;
  };
  One one[most];
  bool narrow[most];             // `from` is bf16
  std::int64_t first[most + 1];  // in the order of all threads, the first at work on it
  int count = 0;

  std::int64_t threads() const { return first[count]; }

  // `from` and `to` begin at multiples of 16 bytes.
  void add(const Tensor& from, const Tensor& to) {
    one[count] = {from.raw(), to.raw(), to.elements()};
    narrow[count] = from.dtype() == DType::bf16;
    first[count + 1] = first[count] + ceil_div(to.elements(), width);
    ++count;
  }
  LAMINA_HD int holding(std::int64_t thread) const {
    int low = 0, high = count - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      thread < first[middle] ? high = middle - 1 : low = middle;
    }
    return low;
  }
};

// What a thread works on: as many elements as a pack has, fewer at the end of a tensor.
struct PartOfMany {
  LAMINA_DEVICE PartOfMany(const ManyTensors& tensors, std::int64_t thread)
      : PartOfMany(tensors, thread, tensors.holding(thread)) {}
  LAMINA_DEVICE PartOfMany(const ManyTensors& tensors, std::int64_t thread, int holding)
      : from(tensors.one[holding].from),
        to(tensors.one[holding].to),
        pack(thread - tensors.first[holding]),
        narrow(tensors.narrow[holding]) {
    const std::int64_t left = tensors.one[holding].elements - pack * width;
    count = left < width ? static_cast<int>(left) : width;
  }

  template <typename T>
  LAMINA_DEVICE Pack<T, ManyTensors::width> load_from(const void* tensor) const {
    const T* elements = static_cast<const T*>(tensor);
    if (count == width) return cuda::load<width>(elements, pack);
    Pack<T, width> some{};
    for (int k = 0; k < width; ++k)
      if (k < count) some.value[k] = elements[pack * width + k];
    return some;
  }
  template <typename T>
  LAMINA_DEVICE void store(const Pack<T, ManyTensors::width>& values) const {
    T* elements = static_cast<T*>(to);
    if (count == width) return cuda::store(values, elements, pack);
    for (int k = 0; k < width; ++k)
      if (k < count) elements[pack * width + k] = values.value[k];
  }

  static constexpr int width = ManyTensors::width;
  const void* from;
  void* to;
  std::int64_t pack;
  int count;
  bool narrow;
};

}  // namespace lamina::cuda
