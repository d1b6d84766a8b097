// Rows of the op table: matrix products and convolutions.
#include "op_cases.h"

namespace lamina::tests {
namespace {

void add_matmul_rows(Rows& rows, std::int64_t m, std::int64_t k, std::int64_t n) {
  for (const bool transpose_a : {false, true})
    for (const bool transpose_b : {false, true}) {
      OpCase row{.op = "matmul"};
      if (transpose_a) row.parameters += "aT";
      if (transpose_b) row.parameters += "bT";
      row.inputs = {values(transpose_a ? Extents{k, m} : Extents{m, k}),
                    values(transpose_b ? Extents{n, k} : Extents{k, n})};
      row.apply = [=](const Tensors& in) {
        return matmul(in[0], in[1], {.transpose_a = transpose_a, .transpose_b = transpose_b});
      };
      row.reference = [=](const Arrays& in) { return naive::matmul(in[0], in[1], transpose_a, transpose_b); };
      row.large = m * k * n > 1000;
      rows.push_back(row);
    }
}

void add_linear_rows(Rows& rows, std::int64_t n, std::int64_t in_features, std::int64_t out_features) {
  OpCase row{.op = "linear", .parameters = "without bias"};
  row.inputs = {values({n, in_features}), values({out_features, in_features})};
  row.apply = [](const Tensors& in) { return linear(in[0], in[1]); };
  row.reference = [](const Arrays& in) { return naive::matmul(in[0], in[1], false, true); };
  rows.push_back(row);

  row.parameters = "with bias";
  row.inputs.push_back(values({out_features}));
  row.apply = [](const Tensors& in) { return linear(in[0], in[1], in[2]); };
  row.reference = [](const Arrays& in) {
    return naive::combine(naive::matmul(in[0], in[1], false, true), in[2], std::plus<>());
  };
  rows.push_back(row);
}

struct Conv {
  Extents x, weight;  // NHWC, [out, kh, kw, in]
  int stride, padding;
};

// The three directions of one convolution.
void add_conv_rows(Rows& rows, const Conv& conv) {
  const auto [x, weight, stride, padding] = conv;
  const Conv2dOptions options{.stride = stride, .padding = padding};
  const Extents y = naive::conv2d_shape(x, weight, stride, padding);
  const std::string parameters = fmt::format("stride={} padding={}", stride, padding);
  const bool large = naive::count(y) * naive::count(weight) > 20000;

  rows.push_back({.op = "conv2d",
                  .parameters = parameters,
                  .inputs = {values(x), values(weight)},
                  .apply = [=](const Tensors& in) { return conv2d(in[0], in[1], options); },
                  .reference = [=, stride = stride, padding = padding](
                                   const Arrays& in) { return naive::conv2d(in[0], in[1], stride, padding); },
                  .large = large});
  rows.push_back(
      {.op = "conv2d_grad_input",
       .parameters = parameters + " x=" + to_shape(x).str(),
       .inputs = {values(y), values(weight)},
       .apply = [=,
                 x = x](const Tensors& in) { return conv2d_grad_input(in[0], in[1], to_shape(x), options); },
       .reference =
           [=, x = x, stride = stride, padding = padding](const Arrays& in) {
             return naive::conv2d_grad_input(in[0], in[1], x, stride, padding);
           },
       .large = large});
  rows.push_back({.op = "conv2d_grad_weight",
                  .parameters = parameters + " weight=" + to_shape(weight).str(),
                  .inputs = {values(y), values(x)},
                  .apply =
                      [=, weight = weight](const Tensors& in) {
                        return conv2d_grad_weight(in[0], in[1], to_shape(weight), options);
                      },
                  .reference =
                      [=, weight = weight, stride = stride, padding = padding](const Arrays& in) {
                        return naive::conv2d_grad_weight(in[0], in[1], weight, stride, padding);
                      },
                  .large = large});
}

std::vector<Conv> convolutions() {
  return {
      {{2, 5, 4, 3}, {3, 3, 3, 3}, 1, 1},
      {{1, 5, 5, 1}, {1, 3, 3, 1}, 1, 1},
      {{2, 6, 5, 2}, {3, 3, 3, 2}, 1, 0},
      {{1, 3, 3, 2}, {2, 3, 3, 2}, 1, 0},  // one output pixel
      {{1, 1, 1, 4}, {3, 3, 3, 4}, 1, 1},  // one input pixel
      {{2, 1, 7, 2}, {2, 3, 3, 2}, 1, 1},  // one row of pixels
      {{1, 4, 4, 2}, {2, 3, 3, 2}, 1, 2},  // windows that lie wholly in the padding's corner
      {{1, 7, 7, 3}, {5, 3, 3, 3}, 2, 1},
      {{1, 6, 6, 3}, {2, 3, 3, 3}, 2, 1},
      {{1, 8, 5, 2}, {3, 3, 3, 2}, 2, 0},  // the last row is never read
      {{1, 6, 6, 2}, {2, 3, 3, 2}, 3, 0},
      {{2, 4, 4, 5}, {3, 1, 1, 5}, 1, 0},
      {{2, 5, 5, 3}, {4, 1, 1, 3}, 2, 0},  // pixels between strides are never read
      {{1, 5, 5, 1}, {1, 1, 1, 1}, 3, 0},
      {{1, 3, 3, 2}, {2, 1, 1, 2}, 1, 1},  // padding around a 1×1 kernel
      {{1, 6, 5, 2}, {2, 2, 2, 2}, 2, 0},
      {{1, 5, 6, 2}, {2, 2, 2, 2}, 1, 1},
      {{1, 7, 6, 1}, {2, 5, 5, 1}, 1, 2},
      {{1, 9, 9, 3}, {2, 7, 7, 3}, 2, 3},
      {{1, 5, 6, 2}, {2, 3, 1, 2}, 1, 1},  // kernels that are not square
      {{1, 5, 6, 2}, {2, 1, 3, 2}, 2, 0},
      {{1, 7, 9, 5}, {7, 3, 3, 5}, 1, 1},
      {{2, 8, 8, 8}, {8, 3, 3, 8}, 1, 1},
      // The shapes that fill vector registers, tiles and chunks, and those that just miss them.
      {{1, 17, 19, 33}, {40, 3, 3, 33}, 1, 1},
      {{1, 12, 13, 64}, {64, 3, 3, 64}, 1, 1},
      {{1, 6, 6, 20}, {129, 3, 3, 20}, 1, 1},
      {{3, 32, 32, 3}, {16, 3, 3, 3}, 1, 1},
      {{3, 14, 14, 24}, {40, 1, 1, 24}, 1, 0},
      {{2, 15, 15, 16}, {24, 3, 3, 16}, 2, 1},
      {{2, 16, 16, 16}, {32, 1, 1, 16}, 2, 0},
      {{1, 33, 35, 3}, {8, 7, 7, 3}, 2, 3},
      {{1, 13, 13, 6}, {8, 5, 5, 6}, 1, 2},
  };
}

}  // namespace

void add_product_rows(Rows& rows) {
  add_matmul_rows(rows, 3, 5, 4);
  add_matmul_rows(rows, 1, 7, 1);
  add_matmul_rows(rows, 1, 1, 1);
  add_matmul_rows(rows, 9, 2, 1);
  add_matmul_rows(rows, 17, 33, 9);
  add_matmul_rows(rows, 130, 300, 70);
  add_linear_rows(rows, 3, 4, 5);
  add_linear_rows(rows, 1, 2, 1);
  for (const Conv& conv : convolutions()) add_conv_rows(rows, conv);
}

}  // namespace lamina::tests
