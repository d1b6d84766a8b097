// Rows of the op table: batch normalisation, pooling, softmax and cross entropy.
#include "op_cases.h"

namespace lamina::tests {
namespace {

// Inputs: x, weight, bias, running mean, running variance, and the residual if there is one.
naive::Array pre_activation(const Arrays& in, const BatchNormOptions& options) {
  const naive::Statistics running{in[3].values, in[4].values};
  return naive::batch_norm(in[0], in[1], in[2], options.training ? naive::channel_statistics(in[0]) : running,
                           options.eps, in.size() > 5 ? &in[5] : nullptr);
}

void add_batch_norm_rows(Rows& rows, const Extents& shape, BatchNormOptions options, bool with_residual) {
  const Extents channels{shape.back()};
  OpCase row{.op = "batch_norm"};
  row.parameters = fmt::format("{}{}{} eps={}", options.training ? "training" : "inference",
                               options.relu ? " relu" : "", with_residual ? " residual" : "", options.eps);
  row.inputs = {values(shape), values(channels, 0.5, 1.5), values(channels), constant(channels),
                constant(channels, 0.5, 2)};
  if (with_residual) row.inputs.push_back(values(shape));
  row.apply = [=](const Tensors& in) {
    const BatchNormParams params{in[1], in[2], in[3].clone(), in[4].clone()};
    return batch_norm(in[0], params, options, with_residual ? in[5] : Tensor());
  };
  row.reference = [=](const Arrays& in) {
    Array y = pre_activation(in, options);
    return options.relu ? naive::map(y, naive::relu) : y;
  };
  row.large = naive::count(shape) > 1000;
  if (options.relu && !row.large)
    row.kink_distance = [=](const Arrays& in) { return nearest_to_zero(pre_activation(in, options)); };
  rows.push_back(row);

  row.op = "batch_norm_composed";
  row.apply = [=](const Tensors& in) {
    return batch_norm_composed(in[0], {in[1], in[2], in[3], in[4]}, options,
                               with_residual ? in[5] : Tensor());
  };
  rows.push_back(row);
}

void add_all_batch_norm_rows(Rows& rows) {
  for (const bool training : {true, false})
    for (const bool relu : {false, true})
      for (const bool with_residual : {false, true}) {
        const BatchNormOptions options{.training = training, .relu = relu};
        for (const Extents& shape : {Extents{3, 2, 2, 3}, {7, 3}, {4, 1, 1, 1}, {9, 13, 11, 20}})
          add_batch_norm_rows(rows, shape, options, with_residual);
      }
  add_batch_norm_rows(rows, {2, 3, 1, 5}, {.eps = 0.1}, false);
  add_batch_norm_rows(rows, {1, 1, 1, 4}, {.training = false, .relu = true}, true);
  add_batch_norm_rows(rows, {5, 17, 16, 3}, {.relu = true}, true);
}

// max_pool2d, its gradient (scatter) and that one's gradient (gather).
void add_max_pool_rows(Rows& rows, const Extents& shape, const Pool2dOptions& o) {
  const std::string parameters = fmt::format("size={} stride={} padding={}", o.size, o.stride, o.padding);
  const auto pooled = [=](const Arrays& in) { return naive::max_pool2d(in[0], o.size, o.stride, o.padding); };
  const auto pool = [=](const Tensor& x) { return max_pool2d(x, o); };
  const auto scatter = [=](const Tensor& x, const Tensor& grad) {
    return gradient_of(pool, x.detach(), grad);
  };
  const Extents y = naive::max_pool2d(Array(shape), o.size, o.stride, o.padding).maximum.shape;
  const bool large = naive::count(shape) > 1000;

  OpCase row{.op = "max_pool2d", .parameters = parameters, .inputs = {values(shape)}};
  row.apply = [=](const Tensors& in) { return pool(in[0]); };
  row.reference = [=](const Arrays& in) { return pooled(in).maximum; };
  if (!large) row.kink_distance = [=](const Arrays& in) { return pooled(in).gap; };
  row.large = large;
  rows.push_back(row);

  row.op = "max_pool2d_scatter";
  row.kink_distance = nullptr;
  row.inputs = {constant(shape), values(y)};
  row.apply = [=](const Tensors& in) { return scatter(in[0], in[1]); };
  row.reference = [=](const Arrays& in) {
    Array grad_x(shape);
    naive::for_each_index(y, [&, position = pooled(in).position](const Extents& i) {
      const auto at = static_cast<std::int64_t>(position.at(i));
      grad_x.at({i[0], at / shape[2], at % shape[2], i[3]}) += in[1].at(i);
    });
    return grad_x;
  };
  rows.push_back(row);

  row.op = "max_pool2d_gather";
  row.inputs = {constant(shape), values(shape)};
  row.apply = [=](const Tensors& in) {
    const Tensor grad = Tensor::zeros(to_shape(y), in[0].options());
    return gradient_of([&](const Tensor& g) { return scatter(in[0], g); }, grad, in[1]);
  };
  row.reference = [=](const Arrays& in) {
    Array out = pooled(in).position;
    naive::for_each_index(y, [&](const Extents& i) {
      const auto at = static_cast<std::int64_t>(out.at(i));
      out.at(i) = in[1].at({i[0], at / shape[2], at % shape[2], i[3]});
    });
    return out;
  };
  rows.push_back(row);
}

void add_average_pool_rows(Rows& rows) {
  for (const Extents& shape : {Extents{2, 3, 4, 5}, {1, 1, 1, 3}, {3, 1, 2, 1}, {7, 16, 15, 20}})
    rows.push_back({.op = "global_avg_pool",
                    .inputs = {values(shape)},
                    .apply = [](const Tensors& in) { return global_avg_pool(in[0]); },
                    .reference = [](const Arrays& in) { return naive::global_avg_pool(in[0]); },
                    .large = naive::count(shape) > 1000});
}

void add_avg_pool_rows(Rows& rows, const Extents& shape, const Pool2dOptions& o) {
  const Extents y{shape[0], naive::windows(shape[1], o.size, o.stride, o.padding),
                  naive::windows(shape[2], o.size, o.stride, o.padding), shape[3]};
  const double share = 1.0 / (o.size * o.size);
  // visit(result, pixel) for every pixel of every window
  const auto for_each_pixel = [=](const auto& visit) {
    naive::for_each_index(y, [&](const Extents& i) {
      naive::for_each_in_window(Array(shape), i, o.size, o.stride, o.padding,
                                [&](std::int64_t h, std::int64_t w) {
                                  visit(i, Extents{i[0], h, w, i[3]});
                                });
    });
  };
  OpCase row{.op = "avg_pool2d", .inputs = {values(shape)}};
  row.parameters = fmt::format("size={} stride={} padding={}", o.size, o.stride, o.padding);
  row.apply = [=](const Tensors& in) { return avg_pool2d(in[0], o); };
  row.reference = [=](const Arrays& in) {
    Array out(y);
    for_each_pixel([&](const Extents& i, const Extents& pixel) { out.at(i) += share * in[0].at(pixel); });
    return out;
  };
  row.large = naive::count(shape) > 1000;
  rows.push_back(row);

  row.op = "avg_pool2d_grad";
  row.inputs = {constant(shape), values(y)};
  row.apply = [=](const Tensors& in) {
    return gradient_of([&](const Tensor& x) { return avg_pool2d(x, o); }, in[0].detach(), in[1]);
  };
  row.reference = [=](const Arrays& in) {
    Array out(shape);
    for_each_pixel([&](const Extents& i, const Extents& pixel) { out.at(pixel) += share * in[1].at(i); });
    return out;
  };
  rows.push_back(row);
}

void add_softmax_row(Rows& rows, Input logits, bool large) {
  rows.push_back({.op = "softmax",
                  .inputs = {std::move(logits)},
                  .apply = [](const Tensors& in) { return softmax(in[0]); },
                  .reference = [](const Arrays& in) { return naive::softmax(in[0]); },
                  .large = large});
}

// log_softmax, and the cross entropy with targets that are probabilities.
void add_log_softmax_rows(Rows& rows, const Extents& shape, double smoothing) {
  const auto log_softmax_of = [](const Array& logits) {
    Array flat = logits;
    flat.shape = {static_cast<std::int64_t>(logits.values.size()) / logits.shape.back(), logits.shape.back()};
    Array y = naive::map(naive::softmax(flat), [](double p) { return std::log(p); });
    y.shape = logits.shape;
    return y;
  };
  OpCase row{.op = "log_softmax", .inputs = {values(shape)}};
  row.apply = [](const Tensors& in) { return log_softmax(in[0]); };
  row.reference = [=](const Arrays& in) { return log_softmax_of(in[0]); };
  row.large = naive::count(shape) > 1000;
  rows.push_back(row);
  row.op = "softmax";
  row.apply = [](const Tensors& in) { return softmax(in[0]); };
  row.reference = [=](const Arrays& in) {
    return naive::map(log_softmax_of(in[0]), [](double y) { return std::exp(y); });
  };
  rows.push_back(row);
  if (shape.size() != 2) return;

  const double classes = static_cast<double>(shape[1]);
  row.op = "cross_entropy_per_sample";
  row.parameters = fmt::format("targets, smoothing={}", smoothing);
  row.inputs = {values(shape), values(shape, 0, 1)};
  row.apply = [=](const Tensors& in) {
    return cross_entropy_per_sample(in[0], in[1], {.label_smoothing = smoothing});
  };
  row.reference = [=](const Arrays& in) {
    const Array target =
        naive::map(in[1], [=](double t) { return (1 - smoothing) * t + smoothing / classes; });
    const Array terms =
        naive::combine(target, log_softmax_of(in[0]), [](double t, double y) { return -t * y; });
    Array losses = naive::sum_to(terms, {shape[0], 1});
    losses.shape = {shape[0]};
    return losses;
  };
  rows.push_back(row);
}

void add_mse_row(Rows& rows, const Extents& shape) {
  rows.push_back(
      {.op = "mse_loss",
       .inputs = {values(shape), values(shape)},
       .apply = [](const Tensors& in) { return mse_loss(in[0], in[1]); },
       .reference =
           [](const Arrays& in) {
             const auto n = static_cast<double>(in[0].values.size());
             return naive::sum_to(
                 naive::combine(in[0], in[1], [=](double a, double b) { return (a - b) * (a - b) / n; }), {});
           }});
}

void add_one_hot_row(Rows& rows, std::int64_t samples, int classes) {
  rows.push_back({.op = "one_hot",
                  .inputs = {labels(samples, classes)},
                  .apply = [=](const Tensors& in) { return one_hot(in[0], classes); },
                  .reference = [=](const Arrays& in) { return naive::one_hot(in[0], classes); },
                  .large = samples * classes > 1000});
}

void add_cross_entropy_rows(Rows& rows, std::int64_t samples, int classes, double smoothing) {
  OpCase row{.op = "cross_entropy_per_sample", .parameters = fmt::format("smoothing={}", smoothing)};
  row.inputs = {values({samples, classes}, -3, 3), labels(samples, classes)};
  row.apply = [=](const Tensors& in) {
    return cross_entropy_per_sample(in[0], in[1], {.label_smoothing = smoothing});
  };
  row.reference = [=](const Arrays& in) { return naive::cross_entropy(in[0], in[1], smoothing); };
  row.large = samples * classes > 1000;
  rows.push_back(row);

  row.op = "cross_entropy";
  row.apply = [=](const Tensors& in) { return cross_entropy(in[0], in[1], {.label_smoothing = smoothing}); };
  row.reference = [=](const Arrays& in) {
    return naive::map(naive::sum_to(naive::cross_entropy(in[0], in[1], smoothing), {}),
                      [=](double total) { return total / static_cast<double>(samples); });
  };
  rows.push_back(row);
}

}  // namespace

void add_network_rows(Rows& rows) {
  add_all_batch_norm_rows(rows);
  add_avg_pool_rows(rows, {2, 4, 4, 3}, {});
  add_avg_pool_rows(rows, {1, 7, 6, 2}, {.size = 3, .stride = 2, .padding = 1});
  add_avg_pool_rows(rows, {1, 5, 5, 1}, {.size = 2, .stride = 3});
  add_avg_pool_rows(rows, {3, 9, 8, 20}, {.size = 3, .stride = 1, .padding = 1});
  add_max_pool_rows(rows, {2, 4, 4, 3}, {});
  add_max_pool_rows(rows, {1, 7, 6, 2}, {.size = 3, .stride = 2, .padding = 1});
  add_max_pool_rows(rows, {1, 5, 4, 3}, {.size = 2, .stride = 1});
  add_max_pool_rows(rows, {1, 4, 5, 1}, {.size = 3, .stride = 1, .padding = 1});
  add_max_pool_rows(rows, {1, 8, 7, 1}, {.size = 2, .stride = 3});  // pixels that no window sees
  add_max_pool_rows(rows, {2, 3, 1, 2}, {.size = 1, .stride = 1});
  add_max_pool_rows(rows, {1, 5, 5, 1}, {.size = 5, .stride = 2, .padding = 2});
  add_max_pool_rows(rows, {3, 33, 31, 20}, {.size = 3, .stride = 2, .padding = 1});
  add_average_pool_rows(rows);

  add_softmax_row(rows, values({3, 5}), false);
  add_softmax_row(rows, values({1, 1}), false);
  add_softmax_row(rows, values({4, 1}), false);
  add_softmax_row(rows, values({6, 9}, -300, 300), true);  // would overflow without the shift
  add_softmax_row(rows, values({501, 100}), true);
  add_log_softmax_rows(rows, {3, 5}, 0);
  add_log_softmax_rows(rows, {2, 1}, 0.25);
  add_log_softmax_rows(rows, {2, 3, 4}, 0);
  add_log_softmax_rows(rows, {4}, 0);
  add_log_softmax_rows(rows, {301, 100}, 0.1);
  add_mse_row(rows, {3, 4});
  add_mse_row(rows, {});
  add_one_hot_row(rows, 4, 5);
  add_one_hot_row(rows, 1, 1);
  add_one_hot_row(rows, 501, 100);
  for (const double smoothing : {0.0, 0.1, 0.5}) {
    add_cross_entropy_rows(rows, 4, 5, smoothing);
    add_cross_entropy_rows(rows, 1, 1, smoothing);
    add_cross_entropy_rows(rows, 501, 100, smoothing);
  }
}

}  // namespace lamina::tests
