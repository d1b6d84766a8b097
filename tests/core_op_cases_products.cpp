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

// Batches of matrices, whose leading axes broadcast.
void add_batched_matmul_row(Rows& rows, const Extents& a, const Extents& b, MatmulOptions o) {
  OpCase row{.op = "matmul", .inputs = {values(a), values(b)}};
  row.parameters = fmt::format("batched {}{}", o.transpose_a ? "aT" : "", o.transpose_b ? "bT" : "");
  row.apply = [=](const Tensors& in) { return matmul(in[0], in[1], o); };
  row.reference = [=](const Arrays& in) {
    const Extents batch = naive::broadcast_shape({a.begin(), a.end() - 2}, {b.begin(), b.end() - 2});
    const auto matrix = [](const Array& x, const Extents& i) {
      Array own({x.size(static_cast<int>(x.shape.size()) - 2), x.shape.back()});
      Extents at = naive::project(i, {x.shape.begin(), x.shape.end() - 2});
      at.resize(x.shape.size());
      const auto first = x.values.begin() + static_cast<std::ptrdiff_t>(x.position(at));
      std::copy_n(first, own.values.size(), own.values.begin());
      return own;
    };
    Array out;
    naive::for_each_index(batch, [&](const Extents& i) {
      const Array product = naive::matmul(matrix(in[0], i), matrix(in[1], i), o.transpose_a, o.transpose_b);
      out.values.insert(out.values.end(), product.values.begin(), product.values.end());
      out.shape = batch;
      out.shape.insert(out.shape.end(), product.shape.begin(), product.shape.end());
    });
    return out;
  };
  rows.push_back(row);
}

// Groups and dilation against the definition: tap k of a kernel reads k * dilation further on.
void add_grouped_conv_row(Rows& rows, const Extents& x, const Extents& weight, const Conv2dOptions& o) {
  OpCase row{.op = "conv2d", .inputs = {values(x), values(weight)}};
  row.parameters =
      fmt::format("stride={} padding={} groups={} dilation={}", o.stride, o.padding, o.groups, o.dilation);
  row.apply = [=](const Tensors& in) { return conv2d(in[0], in[1], o); };
  row.reference = [=](const Arrays& in) {
    const std::int64_t kernel_h = (weight[1] - 1) * o.dilation + 1,
                       kernel_w = (weight[2] - 1) * o.dilation + 1;
    Array y({x[0], naive::windows(x[1], kernel_h, o.stride, o.padding),
             naive::windows(x[2], kernel_w, o.stride, o.padding), weight[0]});
    naive::for_each_index(y.shape, [&](const Extents& i) {
      naive::for_each_index({weight[1], weight[2], weight[3]}, [&](const Extents& k) {
        const std::int64_t h = i[1] * o.stride - o.padding + k[0] * o.dilation;
        const std::int64_t w = i[2] * o.stride - o.padding + k[1] * o.dilation;
        const std::int64_t group = i[3] / (weight[0] / o.groups);
        if (h < 0 || h >= x[1] || w < 0 || w >= x[2]) return;
        y.at(i) += in[0].at({i[0], h, w, group * weight[3] + k[2]}) * in[1].at({i[3], k[0], k[1], k[2]});
      });
    });
    return y;
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
  add_batched_matmul_row(rows, {2, 3, 4}, {2, 4, 2}, {});
  add_batched_matmul_row(rows, {2, 4, 3}, {2, 2, 4}, {.transpose_a = true, .transpose_b = true});
  add_batched_matmul_row(rows, {2, 1, 3, 4}, {3, 4, 2}, {});
  add_batched_matmul_row(rows, {3, 4}, {2, 5, 4}, {.transpose_b = true});
  OpCase rank3{
      .op = "linear", .parameters = "rank 3", .inputs = {values({2, 3, 4}), values({5, 4}), values({5})}};
  rank3.apply = [](const Tensors& in) { return linear(in[0], in[1], in[2]); };
  rank3.reference = [](const Arrays& in) {
    Array x = in[0];
    x.shape = {6, 4};
    Array y = naive::combine(naive::matmul(x, in[1], false, true), in[2], std::plus<>());
    y.shape = {2, 3, 5};
    return y;
  };
  rows.push_back(rank3);
  add_grouped_conv_row(rows, {1, 5, 4, 4}, {6, 3, 3, 2}, {.padding = 1, .groups = 2});
  add_grouped_conv_row(rows, {1, 5, 5, 3}, {3, 3, 3, 1}, {.stride = 2, .padding = 1, .groups = 3});
  add_grouped_conv_row(rows, {1, 7, 6, 2}, {3, 3, 2, 2}, {.padding = 2, .dilation = 2});
  add_grouped_conv_row(rows, {1, 6, 6, 4}, {4, 2, 2, 2}, {.stride = 2, .groups = 2, .dilation = 3});
  for (const Conv& conv : convolutions()) add_conv_rows(rows, conv);
}

}  // namespace lamina::tests
