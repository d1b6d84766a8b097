// Tensor: a small value handle on a contiguous, row-major block of memory. Copies share the memory.
// Images are NHWC, convolution weights [out, kh, kw, in].
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace lamina {

class Allocator;
struct Node;  // core/autograd.h

// A block of memory of one device; returned to its allocator when the last tensor on it dies.
class Storage {
 public:
  Storage(Device device, std::size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  Allocator* allocator_;
  std::byte* data_;
  std::size_t bytes_;
  Device device_;
};

struct TensorOptions {
  DType dtype = DType::f32;
  Device device = {};
};

class Tensor {
 public:
  Tensor() = default;  // undefined: holds no memory; only defined() and assignment are allowed

  // Making tensors. empty() leaves the contents unset.
  static Tensor empty(const Shape& shape, TensorOptions options = {});
  static Tensor zeros(const Shape& shape, TensorOptions options = {});
  static Tensor full(const Shape& shape, double value, TensorOptions options = {});
  static Tensor empty_like(const Tensor& other) { return empty(other.shape(), other.options()); }
  static Tensor zeros_like(const Tensor& other) { return zeros(other.shape(), other.options()); }
  template <typename T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = {}) {
    return from_host(values.data(), values.size(), dtype_of<T>, shape, device);
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  std::int64_t size(int axis) const;  // negative axes count from the back
  int rank() const { return shape_.rank(); }
  std::int64_t elements() const { return shape_.elements(); }
  std::size_t bytes() const { return static_cast<std::size_t>(elements()) * size_of(dtype_); }
  DType dtype() const { return dtype_; }
  Device device() const { return storage_ ? storage_->device() : Device{}; }
  TensorOptions options() const { return {dtype_, device()}; }
  std::string str() const;  // "f32[128, 10] on cpu"

  // The elements, in memory of device(). Throws Error if T is not the dtype. Elements may be written through
  // either form; constness is that of the handle, as with std::span.
  template <typename T>
  T* data() const {
    check_dtype(dtype_of<T>);
    return reinterpret_cast<T*>(raw());
  }
  std::byte* raw() const { return storage_->data() + offset_; }

  double item() const;  // the only element, read to the host; throws Error if there is not exactly one
  template <typename T>
  std::vector<T> to_vector() const {  // a host copy of the elements
    check_dtype(dtype_of<T>);
    std::vector<T> values(static_cast<std::size_t>(elements()));
    copy_to_host(values.data());
    return values;
  }

  // Same memory, no gradient history:
  Tensor detach() const;
  Tensor view(const Shape& shape) const;                      // another shape of as many elements
  Tensor rows(std::int64_t first, std::int64_t count) const;  // [first, first + count) of axis 0
  Tensor flat(std::int64_t first, const Shape& shape) const;  // elements from `first` on, of any tensor
  // New memory, no gradient history:
  Tensor clone() const;
  Tensor to(Device device) const;        // *this (detached) when already there
  void copy_from(const Tensor& source);  // overwrite; same shape and dtype, any device
  void fill(double value);
  bool shares_storage(const Tensor& other) const { return storage_ == other.storage_; }

  // Autograd (core/autograd.h). A tensor without a node is a constant.
  const std::shared_ptr<Node>& node() const { return node_; }
  Tensor with_node(std::shared_ptr<Node> node) const;  // same memory, this history
  bool requires_grad() const { return node_ != nullptr; }
  Tensor& requires_grad_();            // makes this handle (and later copies of it) a leaf
  void bind_grad(const Tensor& grad);  // a leaf's gradient accumulates into `grad`, which the caller zeroes
  const Tensor& grad() const;          // a leaf's accumulated gradient; undefined before the first backward
  void zero_grad();
  void backward() const;  // of a scalar: accumulates d(this)/d(leaf) into every leaf's grad

 private:
  static Tensor from_host(const void* values, std::size_t count, DType dtype, const Shape& shape,
                          Device device);
  void copy_to_host(void* destination) const;
  void check_dtype(DType wanted) const;

  std::shared_ptr<Storage> storage_;
  std::size_t offset_ = 0;  // bytes
  Shape shape_;
  DType dtype_ = DType::f32;
  std::shared_ptr<Node> node_;
};

}  // namespace lamina
