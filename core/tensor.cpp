#include "core/tensor.h"

#include <utility>

#include "core/autograd.h"
#include "core/backend.h"
#include "core/memory/allocator.h"
#include "core/ops/elementwise.h"
#include "core/ops/shape_ops.h"
#include "core/random_fill.h"

namespace lamina {

Storage::Storage(Device device, std::size_t bytes)
    : allocator_(&backend_for(device).allocator()),
      data_(static_cast<std::byte*>(allocator_->allocate(bytes))),
      bytes_(bytes),
      device_(device) {}

Storage::Storage(std::shared_ptr<std::byte> memory, std::size_t bytes)
    : allocator_(nullptr), memory_(std::move(memory)), data_(memory_.get()), bytes_(bytes) {}

Storage::~Storage() {
  if (allocator_ != nullptr) allocator_->release(data_, bytes_);
}

Tensor Tensor::empty(const Shape& shape, TensorOptions options) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = options.dtype;
  tensor.storage_ = std::make_shared<Storage>(options.device, tensor.bytes());
  return tensor;
}

Tensor Tensor::over(std::shared_ptr<std::byte> memory, const Shape& shape, DType dtype) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  tensor.storage_ = std::make_shared<Storage>(std::move(memory), tensor.bytes());
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, TensorOptions options) { return full(shape, 0, options); }

Tensor Tensor::full(const Shape& shape, double value, TensorOptions options) {
  Tensor tensor = empty(shape, options);
  tensor.fill(value);
  return tensor;
}

Tensor Tensor::eye(std::int64_t n, TensorOptions options) {
  check(n >= 0, "Tensor::eye: {} rows; expected 0 or more", n);
  std::vector<float> values(static_cast<std::size_t>(n * n));
  for (std::int64_t i = 0; i < n; ++i) values[static_cast<std::size_t>(i * (n + 1))] = 1;
  return cast(from(values, {n, n}), options.dtype).to(options.device);
}

namespace {

// Filled on the CPU: libm differs between devices.
Tensor random_tensor(const Shape& shape, const RandomOptions& options,
                     void (*fill)(const Random& random, std::span<double> values)) {
  const std::uint64_t seed = options.seed.value_or(lamina::seed());
  const std::uint32_t draw = options.draw ? *options.draw : next_draw();
  std::vector<double> values(static_cast<std::size_t>(shape.elements()));
  constexpr std::size_t of_sample = std::size_t{1} << 30;  // a normal number takes two draws
  for (std::size_t first = 0; first < values.size(); first += of_sample) {
    const Random random{seed, Stream::tensor, draw, static_cast<std::uint32_t>(first / of_sample)};
    fill(random, std::span(values).subspan(first, std::min(of_sample, values.size() - first)));
  }
  return cast(Tensor::from(values, shape), options.dtype).to(options.device);
}

}  // namespace

Tensor Tensor::randn(const Shape& shape, const RandomOptions& options) {
  return random_tensor(shape, options, fill_normal);
}

Tensor Tensor::rand(const Shape& shape, const RandomOptions& options) {
  return random_tensor(shape, options, fill_uniform);
}

Tensor Tensor::from_host(const void* values, std::size_t count, DType dtype, const Shape& shape,
                         Device device) {
  check(static_cast<std::int64_t>(count) == shape.elements(),
        "Tensor::from: {} values do not fill shape {}, which has {} elements", count, shape,
        shape.elements());
  Tensor tensor = empty(shape, {dtype, device});
  backend_for(device).copy_from_host(values, tensor);
  return tensor;
}

void Tensor::copy_to_host(void* destination) const { backend_for(device()).copy_to_host(*this, destination); }

void Tensor::check_dtype(DType wanted) const {
  check(defined(), "tensor: data asked of an undefined tensor");
  check(dtype_ == wanted, "tensor: data of {} asked for as {}", *this, name_of(wanted));
}

std::int64_t Tensor::size(int axis) const {
  const int from_front = axis < 0 ? axis + rank() : axis;
  check(from_front >= 0 && from_front < rank(), "tensor: axis {} of {} does not exist", axis, *this);
  return shape_[from_front];
}

std::string Tensor::str() const {
  if (!defined()) return "undefined tensor";
  return fmt::format("{}{} on {}", name_of(dtype_), shape_.str(), device().str());
}

double Tensor::item() const {
  check(defined() && elements() == 1, "item: {} does not have exactly one element", *this);
  Tensor value = Tensor::empty({}, {DType::f64});
  cpu_backend().cast(detach().to(Device::cpu()), value);
  return value.to_vector<double>().front();
}

Tensor Tensor::detach() const { return with_node(nullptr); }

Tensor Tensor::with_node(std::shared_ptr<Node> node) const {
  Tensor tensor = *this;
  tensor.node_ = std::move(node);
  return tensor;
}

Tensor Tensor::window(std::int64_t first, const Shape& shape) const {
  Tensor tensor = detach();
  tensor.offset_ += static_cast<std::size_t>(first) * size_of(dtype_);
  tensor.shape_ = shape;
  return tensor;
}

Tensor Tensor::view(const Shape& shape) const {
  check(shape.elements() == elements(), "view: {} cannot be seen as {}: {} elements against {}", *this, shape,
        shape.elements(), elements());
  Tensor seen = window(0, shape);
  if (!records(*this)) return seen;
  return record("reshape", seen, {*this},
                [from = shape_](const Tensor& grad, Grads& grads) { grads.set(0, grad.view(from)); });
}

Tensor Tensor::flat(std::int64_t first, const Shape& shape) const {
  const std::int64_t count = shape.elements(), all = elements();
  check(first >= 0 && first + count <= all, "flat: elements [{}, {}) do not lie in {}", first, first + count,
        *this);
  Tensor seen = window(first, shape);
  if (!records(*this)) return seen;
  return record("flat", seen, {*this}, [=, from = shape_](const Tensor& grad, Grads& grads) {
    if (count == 0) return grads.set(0, Tensor::zeros(from, grad.options()));
    grads.set(0, embed(grad.view({count}), {.axis = 0, .start = first, .count = count}, all).view(from));
  });
}

Tensor Tensor::rows(std::int64_t first, std::int64_t count) const {
  check(rank() >= 1 && first >= 0 && count >= 0 && first + count <= shape_[0],
        "rows: [{}, {}) does not lie in axis 0 of {}", first, first + count, *this);
  Shape shape = shape_;
  shape[0] = count;
  return flat(first * shape_.elements(1, rank()), shape);
}

Tensor Tensor::operator[](std::int64_t i) const {
  const std::int64_t rows = rank() >= 1 ? shape_[0] : 0, row = i < 0 ? i + rows : i;
  check(row >= 0 && row < rows, "tensor: row {} of {} does not exist", i, *this);
  return flat(row * shape_.elements(1, rank()), Shape(shape_.begin() + 1, shape_.end()));
}

Tensor Tensor::clone() const {
  check(defined(), "clone: of an undefined tensor");
  Tensor copy = empty_like(*this);
  backend_for(device()).copy(*this, copy);
  if (!records(*this)) return copy;
  return record("clone", copy, {*this}, [](const Tensor& grad, Grads& grads) { grads.set(0, grad); });
}

Tensor Tensor::to(Device target) const {
  check(defined(), "to: {} asked of an undefined tensor", target.str());
  if (target == device()) return *this;
  Tensor moved = empty(shape_, {dtype_, target});
  moved.copy_from(detach());
  if (!records(*this)) return moved;
  return record("to", moved, {*this},
                [from = device()](const Tensor& grad, Grads& grads) { grads.set(0, grad.to(from)); });
}

Tensor Tensor::to(DType dtype) const { return cast(*this, dtype); }

void Tensor::check_overwritable(const char* operation) const {
  check(node_ == nullptr || node_->is_leaf(),
        "{}: {} is the result of {}, and its gradient would still be that of its old elements; detach() it "
        "first",
        operation, *this, node_ ? node_->name : "");
}

void Tensor::copy_from(const Tensor& source) {
  check(defined() && source.defined() && source.shape() == shape_ && source.dtype() == dtype_,
        "copy_from: {} cannot take the contents of {}; shape and dtype must be equal", *this, source);
  check_overwritable("copy_from");
  check(!records(source),
        "copy_from: the source {} has a gradient history, which would be lost; detach() it, or copy under "
        "NoGrad",
        source);
  bump_version();
  const std::byte *from = source.raw(), *to = raw();
  const bool overlaps = from != to && from < to + bytes() && to < from + bytes();
  if (overlaps) return copy_from(source.detach().clone());
  if (source.device() == device()) return backend_for(device()).copy(source, *this);
  if (source.device().type == DeviceType::cpu)
    return backend_for(device()).copy_from_host(source.raw(), *this);
  if (device().type == DeviceType::cpu) return source.copy_to_host(raw());
  copy_from(source.detach().to(Device::cpu()));
}

void Tensor::fill(double value) {
  check(defined(), "fill: with {} of an undefined tensor", value);
  check_overwritable("fill");
  bump_version();
  backend_for(device()).fill(*this, value);
}

Tensor& Tensor::requires_grad_() {
  check(defined() && is_floating(dtype_),
        "requires_grad_: {} cannot have a gradient; expected f32, f64 or bf16", *this);
  check(!node_ || node_->is_leaf(),
        "requires_grad_: {} is the result of an op, not a leaf; detach() it first", *this);
  if (!node_)
    node_ = std::make_shared<Node>("leaf", std::vector<std::shared_ptr<Node>>{}, BackwardFunction{});
  return *this;
}

void Tensor::bind_grad(const Tensor& grad) {
  check(node_ && node_->is_leaf(), "bind_grad: {} is not a leaf; call requires_grad_() first", *this);
  check(grad.defined() && grad.shape() == shape_ && grad.dtype() == dtype_ && grad.device() == device(),
        "bind_grad: {} cannot hold the gradient of {}", grad, *this);
  node_->grad = grad.detach();
}

const Tensor& Tensor::grad() const {
  check(node_ && node_->is_leaf(),
        "grad: {} is not a leaf; call requires_grad_() on it before the forward pass", *this);
  return node_->grad;
}

void Tensor::zero_grad() {
  if (node_ && node_->grad.defined()) node_->grad.fill(0);
}

}  // namespace lamina
