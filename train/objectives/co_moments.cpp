#include "train/objectives/co_moments.h"

#include "core/autograd.h"
#include "core/ops/elementwise.h"
#include "core/ops/matmul.h"
#include "core/ops/reduce.h"
#include "core/ops/shape_ops.h"

namespace lamina::train {
namespace {

CoMoments moments_of(const Tensor& x, const Tensor& y) {
  CoMoments part;
  part.count = x.size(0);
  part.mean_x = mean(x, 0, {.keep = true});
  part.mean_y = mean(y, 0, {.keep = true});
  const Tensor centred_x = x - part.mean_x, centred_y = y - part.mean_y;
  part.squares_x = sum(square(centred_x), 0, {.keep = true});
  part.squares_y = sum(square(centred_y), 0, {.keep = true});
  part.products = matmul(centred_x, centred_y, {.transpose_a = true});
  return part;
}

void widen(CoMoments& moments) {
  for (Tensor* sums :
       {&moments.mean_x, &moments.mean_y, &moments.squares_x, &moments.squares_y, &moments.products}) {
    if (sums->device().type == DeviceType::cpu) *sums = cast(*sums, DType::f64);
  }
}

}  // namespace

void CoMoments::add(const Tensor& x, const Tensor& y) {
  const NoGrad no_grad;
  CoMoments part = moments_of(x, y);
  if (count == 0) {
    *this = std::move(part);
    return;
  }
  widen(*this);
  widen(part);
  const auto n = static_cast<double>(part.count), m = static_cast<double>(count), weight = n * m / (n + m);
  const Tensor shift_x = part.mean_x - mean_x, shift_y = part.mean_y - mean_y;
  squares_x += part.squares_x + weight * square(shift_x);
  squares_y += part.squares_y + weight * square(shift_y);
  products += part.products;
  products += matmul(weight * shift_x, shift_y, {.transpose_a = true});
  mean_x += shift_x * (n / (n + m));
  mean_y += shift_y * (n / (n + m));
  count += part.count;
}

Tensor diagonal(const Tensor& matrix) {
  const std::int64_t d = matrix.size(0);
  return slice(reshape(matrix, {d * d}), {.axis = 0, .start = 0, .count = d, .step = d + 1});
}

Tensor diagonal_matrix(const Tensor& values) {
  const std::int64_t d = values.size(0);
  return reshape(embed(values, {.axis = 0, .start = 0, .count = d, .step = d + 1}, d * d), {d, d});
}

Tensor off_diagonal(const Tensor& matrix) { return matrix - diagonal_matrix(diagonal(matrix)); }

}  // namespace lamina::train
