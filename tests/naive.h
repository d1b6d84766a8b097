// Reference implementations for the tests: plain loops in f64, one per op, sharing nothing with the library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace naive {

using Extents = std::vector<std::int64_t>;

inline std::size_t count(const Extents& shape) {
  return static_cast<std::size_t>(
      std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>()));
}

struct Array {  // row-major
  Extents shape;
  std::vector<double> values;

  Array() = default;
  explicit Array(Extents extents, double value = 0)
      : shape(std::move(extents)), values(count(shape), value) {}
  std::int64_t size(int axis) const { return shape[static_cast<std::size_t>(axis)]; }
  double& at(const Extents& index) { return values[position(index)]; }
  double at(const Extents& index) const { return values[position(index)]; }

  std::size_t position(const Extents& index) const {
    std::int64_t p = 0;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) p = p * shape[axis] + index[axis];
    return static_cast<std::size_t>(p);
  }
};

// body(index) for every index of the shape, in row-major order.
template <typename Body>
void for_each_index(const Extents& shape, const Body& body) {
  Extents index(shape.size(), 0);
  for (std::size_t left = count(shape); left > 0; --left) {
    body(static_cast<const Extents&>(index));
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
}

// Where an index of the broadcast shape reads in an operand of `shape`.
inline Extents project(const Extents& index, const Extents& shape) {
  Extents own(shape.size());
  const std::size_t skipped = index.size() - shape.size();
  for (std::size_t axis = 0; axis < shape.size(); ++axis)
    own[axis] = shape[axis] == 1 ? 0 : index[axis + skipped];
  return own;
}

inline Extents broadcast_shape(const Extents& a, const Extents& b) {
  Extents out(std::max(a.size(), b.size()), 1);
  for (const Extents* operand : {&a, &b})
    for (std::size_t i = 0; i < operand->size(); ++i) {
      std::int64_t& extent = out[out.size() - 1 - i];
      extent = std::max(extent, (*operand)[operand->size() - 1 - i]);
    }
  return out;
}

template <typename F>
Array map(const Array& x, const F& f) {
  Array y = x;
  for (double& value : y.values) value = f(value);
  return y;
}

template <typename F>
Array combine(const Array& a, const Array& b, const F& f) {
  Array out(broadcast_shape(a.shape, b.shape));
  for_each_index(out.shape, [&](const Extents& i) {
    out.at(i) = f(a.at(project(i, a.shape)), b.at(project(i, b.shape)));
  });
  return out;
}

inline Array sum_to(const Array& x, const Extents& shape) {
  Array out(shape);
  for_each_index(x.shape, [&](const Extents& i) { out.at(project(i, shape)) += x.at(i); });
  return out;
}

inline Array broadcast_to(const Array& x, const Extents& shape) {
  Array out(shape);
  for_each_index(shape, [&](const Extents& i) { out.at(i) = x.at(project(i, x.shape)); });
  return out;
}

// Elements start, start + step, … of one axis.
struct Range {
  std::size_t axis;
  std::int64_t start, count, step;
};

inline Array slice(const Array& x, const Range& range) {
  Extents shape = x.shape;
  shape[range.axis] = range.count;
  Array out(shape);
  for_each_index(shape, [&](const Extents& i) {
    Extents from = i;
    from[range.axis] = range.start + i[range.axis] * range.step;
    out.at(i) = x.at(from);
  });
  return out;
}

inline Array embed(const Array& x, const Range& range, std::int64_t extent) {
  Extents shape = x.shape;
  shape[range.axis] = extent;
  Array out(shape);
  for_each_index(x.shape, [&](const Extents& i) {
    Extents to = i;
    to[range.axis] = range.start + i[range.axis] * range.step;
    out.at(to) = x.at(i);
  });
  return out;
}

inline Array concat(const std::vector<Array>& parts, std::size_t axis) {
  Extents shape = parts.front().shape;
  shape[axis] = 0;
  for (const Array& part : parts) shape[axis] += part.shape[axis];
  Array out(shape);
  std::int64_t first = 0;
  for (const Array& part : parts) {
    for_each_index(part.shape, [&](const Extents& i) {
      Extents to = i;
      to[axis] += first;
      out.at(to) = part.at(i);
    });
    first += part.shape[axis];
  }
  return out;
}

inline Array matmul(const Array& a, const Array& b, bool transpose_a, bool transpose_b) {
  const std::int64_t m = a.size(transpose_a ? 1 : 0), inner = a.size(transpose_a ? 0 : 1);
  const std::int64_t n = b.size(transpose_b ? 0 : 1);
  Array out({m, n});
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t k = 0; k < inner; ++k)
        out.at({i, j}) +=
            (transpose_a ? a.at({k, i}) : a.at({i, k})) * (transpose_b ? b.at({j, k}) : b.at({k, j}));
  return out;
}

// body(output, input, weight): the index triples that a convolution multiplies, x NHWC, weight [out, kh, kw,
// in].
template <typename Body>
void for_each_product(const Extents& x, const Extents& weight, const Extents& y, std::int64_t stride,
                      std::int64_t padding, const Body& body) {
  Extents i(4), k(4);
  for_each_index(y, [&](const Extents& o) {
    i[0] = o[0];
    k[0] = o[3];
    for (k[1] = 0; k[1] < weight[1]; ++k[1])
      for (k[2] = 0; k[2] < weight[2]; ++k[2]) {
        i[1] = o[1] * stride - padding + k[1];
        i[2] = o[2] * stride - padding + k[2];
        if (i[1] < 0 || i[1] >= x[1] || i[2] < 0 || i[2] >= x[2]) continue;
        for (std::int64_t c = 0; c < x[3]; ++c) {
          i[3] = k[3] = c;
          body(o, i, k);
        }
      }
  });
}

inline std::int64_t windows(std::int64_t extent, std::int64_t size, std::int64_t stride,
                            std::int64_t padding) {
  return (extent + 2 * padding - size) / stride + 1;
}

inline Extents conv2d_shape(const Extents& x, const Extents& weight, std::int64_t stride,
                            std::int64_t padding) {
  return {x[0], windows(x[1], weight[1], stride, padding), windows(x[2], weight[2], stride, padding),
          weight[0]};
}

inline Array conv2d(const Array& x, const Array& weight, std::int64_t stride, std::int64_t padding) {
  Array y(conv2d_shape(x.shape, weight.shape, stride, padding));
  for_each_product(
      x.shape, weight.shape, y.shape, stride, padding,
      [&](const Extents& o, const Extents& i, const Extents& k) { y.at(o) += x.at(i) * weight.at(k); });
  return y;
}

inline Array conv2d_grad_input(const Array& grad, const Array& weight, const Extents& x_shape,
                               std::int64_t stride, std::int64_t padding) {
  Array grad_x(x_shape);
  for_each_product(x_shape, weight.shape, grad.shape, stride, padding,
                   [&](const Extents& o, const Extents& i, const Extents& k) {
                     grad_x.at(i) += grad.at(o) * weight.at(k);
                   });
  return grad_x;
}

inline Array conv2d_grad_weight(const Array& grad, const Array& x, const Extents& weight_shape,
                                std::int64_t stride, std::int64_t padding) {
  Array grad_weight(weight_shape);
  for_each_product(x.shape, weight_shape, grad.shape, stride, padding,
                   [&](const Extents& o, const Extents& i, const Extents& k) {
                     grad_weight.at(k) += grad.at(o) * x.at(i);
                   });
  return grad_weight;
}

// Mean and biased variance of each channel (the last axis), in two passes.
struct Statistics {
  std::vector<double> mean, var;
};

inline Statistics channel_statistics(const Array& x) {
  const auto channels = static_cast<std::size_t>(x.shape.back());
  const std::size_t images_and_pixels = x.values.size() / channels;
  const auto rows = static_cast<double>(images_and_pixels);
  Statistics s{std::vector<double>(channels), std::vector<double>(channels)};
  for (std::size_t i = 0; i < x.values.size(); ++i) s.mean[i % channels] += x.values[i] / rows;
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    const double d = x.values[i] - s.mean[i % channels];
    s.var[i % channels] += d * d / rows;
  }
  return s;
}

// Before the ReLU. `residual` may be null.
inline Array batch_norm(const Array& x, const Array& weight, const Array& bias, const Statistics& s,
                        double eps, const Array* residual) {
  Array y(x.shape);
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    const std::size_t c = i % weight.values.size();
    y.values[i] = (x.values[i] - s.mean[c]) / std::sqrt(s.var[c] + eps) * weight.values[c] + bias.values[c];
    if (residual) y.values[i] += residual->values[i];
  }
  return y;
}

inline double relu(double x) { return x < 0 ? 0 : x; }  // keeps NaN

// The positions of a pooling window that lie inside the image, in reading order: visit(h, w).
template <typename Visit>
void for_each_in_window(const Array& x, const Extents& o, std::int64_t size, std::int64_t stride,
                        std::int64_t padding, const Visit& visit) {
  for (std::int64_t h = o[1] * stride - padding; h < o[1] * stride - padding + size; ++h)
    for (std::int64_t w = o[2] * stride - padding; w < o[2] * stride - padding + size; ++w)
      if (h >= 0 && h < x.size(1) && w >= 0 && w < x.size(2)) visit(h, w);
}

struct Pooled {
  Array maximum;
  Array position;    // h * W + w of the first maximum
  double gap = 1e9;  // smallest distance between a window's maximum and its runner-up
};

inline Pooled max_pool2d(const Array& x, std::int64_t size, std::int64_t stride, std::int64_t padding) {
  Array y({x.size(0), windows(x.size(1), size, stride, padding), windows(x.size(2), size, stride, padding),
           x.size(3)});
  Pooled pooled{y, y};
  for_each_index(y.shape, [&](const Extents& o) {
    const double lowest = -std::numeric_limits<double>::infinity();
    double best = lowest, second = lowest;
    std::int64_t position = -1;
    for_each_in_window(x, o, size, stride, padding, [&](std::int64_t h, std::int64_t w) {
      const double value = x.at({o[0], h, w, o[3]});
      const bool wins = position < 0 || value > best || (std::isnan(value) && !std::isnan(best));
      second = wins ? best : std::max(second, value);
      if (wins) best = value, position = h * x.size(2) + w;
    });
    pooled.maximum.at(o) = best;
    pooled.position.at(o) = static_cast<double>(position);
    pooled.gap = std::min(pooled.gap, best - second);
  });
  return pooled;
}

inline Array global_avg_pool(const Array& x) {
  Array y({x.size(0), x.size(3)});
  const double pixels = static_cast<double>(x.size(1) * x.size(2));
  for_each_index(x.shape, [&](const Extents& i) { y.at({i[0], i[3]}) += x.at(i) / pixels; });
  return y;
}

inline Array softmax(const Array& logits) {
  Array p = logits;
  for (std::int64_t n = 0; n < p.size(0); ++n) {
    double largest = p.at({n, 0}), total = 0;
    for (std::int64_t c = 0; c < p.size(1); ++c) largest = std::max(largest, p.at({n, c}));
    for (std::int64_t c = 0; c < p.size(1); ++c) total += p.at({n, c}) = std::exp(p.at({n, c}) - largest);
    for (std::int64_t c = 0; c < p.size(1); ++c) p.at({n, c}) /= total;
  }
  return p;
}

inline Array one_hot(const Array& labels, std::int64_t classes) {
  Array rows({labels.size(0), classes});
  for (std::int64_t n = 0; n < labels.size(0); ++n)
    rows.at({n, static_cast<std::int64_t>(labels.at({n}))}) = 1;
  return rows;
}

// -sum over classes of target * log softmax, target = (1 - smoothing) one_hot + smoothing / C.
inline Array cross_entropy(const Array& logits, const Array& labels, double smoothing) {
  Array losses({logits.size(0)});
  const std::int64_t classes = logits.size(1);
  for (std::int64_t n = 0; n < logits.size(0); ++n) {
    double largest = logits.at({n, 0}), total = 0;
    for (std::int64_t c = 0; c < classes; ++c) largest = std::max(largest, logits.at({n, c}));
    for (std::int64_t c = 0; c < classes; ++c) total += std::exp(logits.at({n, c}) - largest);
    for (std::int64_t c = 0; c < classes; ++c) {
      const bool target = static_cast<double>(c) == labels.at({n});
      const double weight = (target ? 1 - smoothing : 0) + smoothing / static_cast<double>(classes);
      losses.at({n}) -= weight * (logits.at({n, c}) - largest - std::log(total));
    }
  }
  return losses;
}

inline Array argmax(const Array& x) {  // [rows, C] -> [rows]; the first of equals; a NaN wins
  Array index({x.size(0)});
  for (std::int64_t n = 0; n < x.size(0); ++n) {
    std::int64_t best = 0;
    for (std::int64_t c = 1; c < x.size(1); ++c) {
      const double value = x.at({n, c}), champion = x.at({n, best});
      if (value > champion || (std::isnan(value) && !std::isnan(champion))) best = c;
    }
    index.at({n}) = static_cast<double>(best);
  }
  return index;
}

}  // namespace naive
