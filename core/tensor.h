// Tensor: a small value handle on a contiguous, row-major block of memory. Copies share the memory.
// Images are NHWC, convolution weights [out, kh, kw, in].
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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
  Storage(std::shared_ptr<std::byte> memory, std::size_t bytes);  // that others made, on the CPU
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

  // How often it has been overwritten: by this a backward pass sees that what an op saved is no longer there.
  std::uint64_t version() const { return version_.load(std::memory_order_relaxed); }
  void bump_version() { version_.fetch_add(1, std::memory_order_relaxed); }

 private:
  Allocator* allocator_;  // null: the memory is others'
  std::shared_ptr<std::byte> memory_;
  std::byte* data_;
  std::size_t bytes_;
  Device device_;
  std::atomic<std::uint64_t> version_{0};
};

struct TensorOptions {
  DType dtype = DType::f32;
  Device device = {};
};

// Random tensors are a pure function of (seed, draw), the same on every device.
struct RandomOptions {
  DType dtype = DType::f32;
  Device device = {};
  std::optional<std::uint64_t> seed = {};  // unset: lamina::seed()
  std::optional<std::uint32_t> draw = {};  // unset: next_draw() (core/random.h)
};

struct BackwardOptions {
  bool retain_graph = false;  // keep saved data for another pass
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
  static Tensor ones(const Shape& shape, TensorOptions options = {}) { return full(shape, 1, options); }
  static Tensor eye(std::int64_t n, TensorOptions options = {});               // the identity [n, n]
  static Tensor randn(const Shape& shape, const RandomOptions& options = {});  // standard normal
  static Tensor rand(const Shape& shape,
                     const RandomOptions& options = {});  // uniform in [0, 1); in bf16 rounded, up to 1
  template <typename T>
  static Tensor from(const std::vector<T>& values, const Shape& shape, Device device = {}) {
    return from_host(values.data(), values.size(), dtype_of<T>, shape, device);
  }
  template <typename T>  // from({1.0f, 2.0f}, {2}); the literals' type is the dtype: 1.0 is f64, 1 is i32
  static Tensor from(std::initializer_list<T> values, const Shape& shape, Device device = {}) {
    return from_host(values.begin(), values.size(), dtype_of<T>, shape, device);
  }

  // Of memory that somebody else made and others may hold, on the CPU; it lives as long as the last holder.
  static Tensor over(std::shared_ptr<std::byte> memory, const Shape& shape, DType dtype);

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
  // either form; constness is that of the handle, as with std::span. Who writes what an op may have saved
  // says so by bump_version().
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

  // Same memory:
  Tensor detach() const;                                      // without a gradient history
  Tensor view(const Shape& shape) const;                      // another shape of as many elements
  Tensor rows(std::int64_t first, std::int64_t count) const;  // [first, first + count) of axis 0
  Tensor flat(std::int64_t first, const Shape& shape) const;  // elements from `first` on, of any tensor
  Tensor operator[](std::int64_t i) const;                    // row i of axis 0; from the back if negative
  // New memory:
  Tensor clone() const;
  Tensor to(Device device) const;  // *this when already there
  Tensor to(DType dtype) const;    // *this when it is that already; as cast() (core/ops/elementwise.h)

  // Overwriting. Error for the result of an op, whose history would no longer be true: detach() it first.
  void copy_from(const Tensor& source);  // same shape and dtype, any device; the source's history: also Error
  void fill(double value);
  bool shares_storage(const Tensor& other) const { return storage_ == other.storage_; }
  bool owns_storage_alone() const { return storage_.use_count() == 1; }
  // How often its memory was overwritten; of all tensors that share it.
  std::uint64_t version() const { return storage_ ? storage_->version() : 0; }
  void bump_version() const { storage_->bump_version(); }

  // Autograd (core/autograd.h). A tensor without a node is a constant.
  const std::shared_ptr<Node>& node() const { return node_; }
  Tensor with_node(std::shared_ptr<Node> node) const;  // same memory, this history
  bool requires_grad() const { return node_ != nullptr; }
  Tensor& requires_grad_();            // makes this handle (and later copies of it) a leaf
  void bind_grad(const Tensor& grad);  // a leaf's gradient accumulates into `grad`, which the caller zeroes
  const Tensor& grad() const;          // a leaf's accumulated gradient; undefined before the first backward
  void zero_grad();
  // Of a scalar: accumulates d(this)/d(leaf) into every leaf's grad.
  void backward(BackwardOptions options = {}) const;

 private:
  Tensor window(std::int64_t first, const Shape& shape) const;  // same memory, no history
  void check_overwritable(const char* operation) const;
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

// The elements as NumPy prints them, with brackets around each axis and the middle of what is large left out;
// of a scalar the number alone. `element_format`: of one element, as in "{:.2f}".
std::string elements_text(const Tensor& x, std::string_view element_format = {});
std::ostream& operator<<(std::ostream& out, const Tensor& x);

// What error messages say of a tensor (core/base/error.h): not its elements.
inline std::string in_message(const Tensor& x) { return x.str(); }
inline std::string in_message(const Shape& shape) { return shape.str(); }

}  // namespace lamina

// "{}", "{:.2f}": as elements_text().
template <>
struct fmt::formatter<lamina::Tensor> {
  constexpr auto parse(format_parse_context& context) {
    const auto* end = context.begin();
    while (end != context.end() && *end != '}') ++end;
    element_format_ = {context.begin(), static_cast<std::size_t>(end - context.begin())};
    return end;
  }
  auto format(const lamina::Tensor& x, format_context& context) const {
    const std::string text =
        lamina::elements_text(x, std::string_view(element_format_.data(), element_format_.size()));
    return std::copy(text.begin(), text.end(), context.out());
  }

 private:
  fmt::string_view element_format_;
};
