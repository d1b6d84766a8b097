#include "core/tensor.h"

#include <utility>

#include "core/autograd.h"
#include "core/backend.h"
#include "core/memory/allocator.h"

namespace lamina {

Storage::Storage(Device device, std::size_t bytes)
    : allocator_(&backend_for(device).allocator()),
      data_(static_cast<std::byte*>(allocator_->allocate(bytes))),
      bytes_(bytes),
      device_(device) {}

Storage::~Storage() { allocator_->release(data_, bytes_); }

Tensor Tensor::empty(const Shape& shape, TensorOptions options) {
  Tensor tensor;
  tensor.shape_ = shape;
  tensor.dtype_ = options.dtype;
  tensor.storage_ = std::make_shared<Storage>(options.device, tensor.bytes());
  return tensor;
}

Tensor Tensor::zeros(const Shape& shape, TensorOptions options) { return full(shape, 0, options); }

Tensor Tensor::full(const Shape& shape, double value, TensorOptions options) {
  Tensor tensor = empty(shape, options);
  tensor.fill(value);
  return tensor;
}

Tensor Tensor::from_host(const void* values, std::size_t count, DType dtype, const Shape& shape,
                         Device device) {
  check(static_cast<std::int64_t>(count) == shape.elements(),
        "Tensor::from: {} values do not fill shape {}, which has {} elements", count, shape.str(),
        shape.elements());
  Tensor tensor = empty(shape, {dtype, device});
  backend_for(device).copy_from_host(values, tensor);
  return tensor;
}

void Tensor::copy_to_host(void* destination) const { backend_for(device()).copy_to_host(*this, destination); }

void Tensor::check_dtype(DType wanted) const {
  check(defined(), "tensor: data asked of an undefined tensor");
  check(dtype_ == wanted, "tensor: data of {} asked for as {}", str(), name_of(wanted));
}

std::int64_t Tensor::size(int axis) const {
  const int from_front = axis < 0 ? axis + rank() : axis;
  check(from_front >= 0 && from_front < rank(), "tensor: axis {} of {} does not exist", axis, str());
  return shape_[from_front];
}

std::string Tensor::str() const {
  if (!defined()) return "undefined tensor";
  return fmt::format("{}{} on {}", name_of(dtype_), shape_.str(), device().str());
}

double Tensor::item() const {
  check(defined() && elements() == 1, "item: {} does not have exactly one element", str());
  Tensor value = Tensor::empty({}, {DType::f64});
  cpu_backend().cast(to(Device::cpu()), value);
  return value.to_vector<double>().front();
}

Tensor Tensor::detach() const { return with_node(nullptr); }

Tensor Tensor::with_node(std::shared_ptr<Node> node) const {
  Tensor tensor = *this;
  tensor.node_ = std::move(node);
  return tensor;
}

Tensor Tensor::view(const Shape& shape) const {
  check(shape.elements() == elements(), "view: {} cannot be seen as {}: {} elements against {}", str(),
        shape.str(), elements(), shape.elements());
  return flat(0, shape);
}

Tensor Tensor::rows(std::int64_t first, std::int64_t count) const {
  check(rank() >= 1 && first >= 0 && count >= 0 && first + count <= shape_[0],
        "rows: [{}, {}) does not lie in axis 0 of {}", first, first + count, str());
  Shape shape = shape_;
  shape[0] = count;
  return flat(first * shape_.elements(1, rank()), shape);
}

Tensor Tensor::flat(std::int64_t first, const Shape& shape) const {
  check(first >= 0 && first + shape.elements() <= elements(), "flat: elements [{}, {}) do not lie in {}",
        first, first + shape.elements(), str());
  Tensor tensor = detach();
  tensor.offset_ += static_cast<std::size_t>(first) * size_of(dtype_);
  tensor.shape_ = shape;
  return tensor;
}

Tensor Tensor::clone() const {
  Tensor copy = empty_like(*this);
  backend_for(device()).copy(*this, copy);
  return copy;
}

Tensor Tensor::to(Device target) const {
  if (target == device()) return detach();
  Tensor moved = empty(shape_, {dtype_, target});
  moved.copy_from(*this);
  return moved;
}

void Tensor::copy_from(const Tensor& source) {
  check(defined() && source.defined() && source.shape() == shape_ && source.dtype() == dtype_,
        "copy_from: {} cannot take the contents of {}; shape and dtype must be equal", str(), source.str());
  if (source.device() == device()) return backend_for(device()).copy(source, *this);
  if (source.device().type == DeviceType::cpu)
    return backend_for(device()).copy_from_host(source.raw(), *this);
  if (device().type == DeviceType::cpu) return source.copy_to_host(raw());
  copy_from(source.to(Device::cpu()));
}

void Tensor::fill(double value) { backend_for(device()).fill(*this, value); }

Tensor& Tensor::requires_grad_() {
  check(defined() && is_floating(dtype_),
        "requires_grad_: {} cannot have a gradient; expected f32, f64 or bf16", str());
  check(!node_ || node_->is_leaf(),
        "requires_grad_: {} is the result of an op, not a leaf; detach() it first", str());
  if (!node_)
    node_ = std::make_shared<Node>("leaf", std::vector<std::shared_ptr<Node>>{}, BackwardFunction{});
  return *this;
}

void Tensor::bind_grad(const Tensor& grad) {
  check(node_ && node_->is_leaf(), "bind_grad: {} is not a leaf; call requires_grad_() first", str());
  check(grad.defined() && grad.shape() == shape_ && grad.dtype() == dtype_ && grad.device() == device(),
        "bind_grad: {} cannot hold the gradient of {}", grad.str(), str());
  node_->grad = grad.detach();
}

const Tensor& Tensor::grad() const {
  check(node_ && node_->is_leaf(),
        "grad: {} is not a leaf; call requires_grad_() on it before the forward pass", str());
  return node_->grad;
}

void Tensor::zero_grad() {
  if (node_ && node_->grad.defined()) node_->grad.fill(0);
}

}  // namespace lamina
