// Tensors as text.
#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "core/tensor.h"

namespace lamina {
namespace {

constexpr std::int64_t most_elements = 1000;  // of a tensor that is printed in full, as in NumPy
constexpr std::int64_t edge = 3;              // of an axis, on either side of what is left out

// Prints a tensor whose elements are `values`, in the format that fits them all.
class Printer {
 public:
  Printer(const Shape& shape, const std::vector<double>& values, DType dtype, std::string_view format)
      : shape_(shape),
        values_(values),
        shortens_(shape.elements() > most_elements),
        is_integer_(!is_floating(dtype)) {
    format_ = format.empty() ? (is_integer_ ? "{}" : "{:.5g}") : fmt::format("{{:{}}}", format);
    visit(0, 0, [this](std::int64_t at) { width_ = std::max(width_, element(at).size()); });
  }

  std::string text() {
    if (shape_.rank() == 0) return element(0);
    print(0, 0);
    return text_;
  }

 private:
  std::string element(std::int64_t at) const {
    const double value = values_[static_cast<std::size_t>(at)];
    try {
      return is_integer_ ? fmt::format(fmt::runtime(format_), static_cast<std::int64_t>(value))
                         : fmt::format(fmt::runtime(format_), value);
    } catch (const fmt::format_error& error) {
      fail("print: the format {} is not one of {} elements: {}", format_,
           is_integer_ ? "integer" : "floating-point", error.what());
    }
  }

  bool left_out(int axis, std::int64_t i) const { return shortens_ && i >= edge && i < shape_[axis] - edge; }

  // body(position) for each element that is shown.
  template <typename Body>
  void visit(int axis, std::int64_t first, const Body& body) const {
    if (axis == shape_.rank()) return body(first);
    const std::int64_t step = shape_.elements(axis + 1, shape_.rank());
    for (std::int64_t i = 0; i < shape_[axis]; ++i) {
      if (!left_out(axis, i)) visit(axis + 1, first + i * step, body);
    }
  }

  void print(int axis, std::int64_t first) {
    if (axis == shape_.rank()) {
      text_ += fmt::format("{:>{}}", element(first), width_);
      return;
    }
    const std::int64_t step = shape_.elements(axis + 1, shape_.rank());
    text_ += '[';
    for (std::int64_t i = 0; i < shape_[axis]; ++i) {
      if (left_out(axis, i) && i > edge) continue;
      if (i > 0) separate(axis);
      if (left_out(axis, i)) {
        text_ += "...";
      } else {
        print(axis + 1, first + i * step);
      }
    }
    text_ += ']';
  }

  // A line for each innermost axis, and an empty one more for each axis around it.
  void separate(int axis) {
    const int around = shape_.rank() - 1 - axis;
    text_ += around == 0 ? ", " : ",";
    if (around == 0) return;
    text_.append(static_cast<std::size_t>(around), '\n');
    text_.append(static_cast<std::size_t>(axis) + 1, ' ');
  }

  const Shape& shape_;
  const std::vector<double>& values_;
  bool shortens_, is_integer_;
  std::string format_;
  std::size_t width_ = 0;
  std::string text_;
};

}  // namespace

std::string elements_text(const Tensor& x, std::string_view element_format) {
  if (!x.defined()) return "undefined tensor";
  const NoGrad no_grad;
  const std::vector<double> values = x.to(Device::cpu()).to(DType::f64).to_vector<double>();
  return Printer(x.shape(), values, x.dtype(), element_format).text();
}

std::ostream& operator<<(std::ostream& out, const Tensor& x) { return out << elements_text(x); }

}  // namespace lamina
