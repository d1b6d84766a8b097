// Rows of the op table: reductions over axes, permutations, and ops that choose or look up elements.
#include "core/random.h"
#include "op_cases.h"

namespace lamina::tests {
namespace {

struct Reduction {
  const char* op;
  std::function<Tensor(const Tensor&, const Axes&, bool keep)> apply;
  std::function<double(const std::vector<double>&)> value;
  std::function<double(const std::vector<double>&)> kink_distance = nullptr;
};

double total(const std::vector<double>& x) { return std::accumulate(x.begin(), x.end(), 0.0); }

double variance(const std::vector<double>& x, double correction) {
  const double center = total(x) / static_cast<double>(x.size());
  double squares = 0;
  for (const double value : x) squares += (value - center) * (value - center);
  return squares / (static_cast<double>(x.size()) - correction);
}

double length(const std::vector<double>& x) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  return std::sqrt(squares);
}

// The largest of sign * x; a NaN wins.
double extreme(const std::vector<double>& x, double sign) {
  double best = x.front();
  for (const double value : x)
    if (sign * value > sign * best || std::isnan(value)) best = value;
  return best;
}

// How far the largest of sign * x is above the others.
double gap(std::vector<double> x, double sign) {
  if (x.size() < 2) return 1e9;
  std::sort(x.begin(), x.end(), [=](double a, double b) { return sign * a > sign * b; });
  return std::abs(x[0] - x[1]);
}

std::vector<Reduction> reductions() {
  using Values = std::vector<double>;
  return {
      {"sum", [](const Tensor& x, const Axes& a, bool keep) { return sum(x, a, {.keep = keep}); }, total},
      {"mean", [](const Tensor& x, const Axes& a, bool keep) { return mean(x, a, {.keep = keep}); },
       [](const Values& x) { return total(x) / static_cast<double>(x.size()); }},
      {"var",
       [](const Tensor& x, const Axes& a, bool keep) { return var(x, a, {.correction = 0, .keep = keep}); },
       [](const Values& x) { return variance(x, 0); }},
      {"max", [](const Tensor& x, const Axes& a, bool keep) { return max(x, a, {.keep = keep}); },
       [](const Values& x) { return extreme(x, 1); }, [](const Values& x) { return gap(x, 1); }},
      {"min", [](const Tensor& x, const Axes& a, bool keep) { return min(x, a, {.keep = keep}); },
       [](const Values& x) { return extreme(x, -1); }, [](const Values& x) { return gap(x, -1); }},
      {"norm", [](const Tensor& x, const Axes& a, bool keep) { return norm(x, a, {.keep = keep}); }, length,
       length},
  };
}

// visit(index of the result, the elements that are reduced to it), of x with `axes` kept as 1.
template <typename Visit>
void for_each_reduced(const Array& x, const std::vector<int>& axes, const Visit& visit) {
  Extents kept = x.shape, over(x.shape.size(), 1);
  for (const int axis : axes) {
    const auto a = static_cast<std::size_t>(axis);
    std::swap(kept[a], over[a]);
  }
  naive::for_each_index(kept, [&](const Extents& i) {
    std::vector<double> elements;
    naive::for_each_index(over, [&](const Extents& j) {
      Extents at = i;
      for (std::size_t a = 0; a < at.size(); ++a) at[a] += j[a];
      elements.push_back(x.at(at));
    });
    visit(i, elements);
  });
}

// `axes` from the front, rising; they are named from the back, falling.
void add_reduction_row(Rows& rows, const Reduction& f, const Extents& shape, const std::vector<int>& axes,
                       bool keep) {
  const int rank = static_cast<int>(shape.size());
  std::vector<int> named;
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) named.push_back(*axis - rank);
  Extents kept = shape, without;
  for (const int axis : axes) kept[static_cast<std::size_t>(axis)] = 1;
  for (int axis = 0; axis < rank; ++axis)
    if (std::find(axes.begin(), axes.end(), axis) == axes.end())
      without.push_back(shape[static_cast<std::size_t>(axis)]);
  OpCase row{.op = f.op, .inputs = {values(shape)}};
  row.parameters =
      fmt::format("axes={}{}", to_shape(Extents(axes.begin(), axes.end())).str(), keep ? " keep" : "");
  row.apply = [=](const Tensors& in) { return f.apply(in[0], named, keep); };
  row.reference = [=](const Arrays& in) {
    Array y(kept);
    for_each_reduced(in[0], axes,
                     [&](const Extents& i, const std::vector<double>& x) { y.at(i) = f.value(x); });
    if (!keep) y.shape = without;
    return y;
  };
  row.large = naive::count(shape) > 1000;
  if (f.kink_distance && !row.large) {
    row.kink_distance = [=](const Arrays& in) {
      double distance = 1e9;
      for_each_reduced(in[0], axes, [&](const Extents&, const std::vector<double>& x) {
        distance = std::min(distance, f.kink_distance(x));
      });
      return distance;
    };
  }
  rows.push_back(row);
}

void add_norm_rows(Rows& rows) {
  OpCase unit{.op = "normalize", .inputs = {values({3, 4})}};
  unit.apply = [](const Tensors& in) { return normalize(in[0]); };
  unit.reference = [](const Arrays& in) {
    Array y = in[0];
    for_each_reduced(in[0], {1}, [&](const Extents& i, const std::vector<double>& x) {
      for (std::int64_t c = 0; c < 4; ++c) y.at({i[0], c}) /= length(x);
    });
    return y;
  };
  rows.push_back(unit);

  OpCase product{.op = "dot", .inputs = {values({5}), values({5})}};
  product.apply = [](const Tensors& in) { return dot(in[0], in[1]); };
  product.reference = [](const Arrays& in) {
    Array y(Extents{});
    for (std::size_t i = 0; i < 5; ++i) y.values[0] += in[0].values[i] * in[1].values[i];
    return y;
  };
  rows.push_back(product);
}

void add_permute_row(Rows& rows, const Extents& shape, const std::vector<int>& order) {
  Extents to;
  for (const int axis : order) to.push_back(shape[static_cast<std::size_t>(axis)]);
  OpCase row{.op = "permute", .inputs = {values(shape)}};
  row.parameters = to_shape(Extents(order.begin(), order.end())).str();
  row.apply = [=](const Tensors& in) { return permute(in[0], order); };
  row.reference = [=](const Arrays& in) {
    Array y(to);
    naive::for_each_index(to, [&](const Extents& i) {
      Extents from(i.size());
      for (std::size_t axis = 0; axis < i.size(); ++axis)
        from[static_cast<std::size_t>(order[axis])] = i[axis];
      y.at(i) = in[0].at(from);
    });
    return y;
  };
  row.large = naive::count(shape) > 1000;
  rows.push_back(row);
  if (order != std::vector<int>{0, 2, 1}) return;
  row.op = "transpose";
  row.apply = [](const Tensors& in) { return transpose(in[0]); };
  rows.push_back(row);
}

void add_same_elements_rows(Rows& rows) {
  const auto with_shape = [](const Extents& shape) {
    return [shape](const Arrays& in) {
      Array y = in[0];
      y.shape = shape;
      return y;
    };
  };
  const std::vector<Input> input{values({2, 3, 4})};
  rows.push_back({.op = "flatten",
                  .parameters = "from 1",
                  .inputs = input,
                  .apply = [](const Tensors& in) { return flatten(in[0], 1); },
                  .reference = with_shape({2, 12})});
  rows.push_back({.op = "clone",
                  .inputs = input,
                  .apply = [](const Tensors& in) { return in[0].clone(); },
                  .reference = with_shape({2, 3, 4})});
  rows.push_back({.op = "to",
                  .parameters = "the CPU",
                  .inputs = input,
                  .apply = [](const Tensors& in) { return in[0].to(Device::cpu()); },
                  .reference = with_shape({2, 3, 4})});
  rows.push_back({.op = "flat",
                  .parameters = "8 elements from 5",
                  .inputs = input,
                  .apply =
                      [](const Tensors& in) {
                        return in[0].flat(5, {4, 2});
                      },
                  .reference =
                      [](const Arrays& in) {
                        Array y({4, 2});
                        std::copy_n(in[0].values.begin() + 5, 8, y.values.begin());
                        return y;
                      }});
  OpCase row{.op = "flat", .parameters = "row -1", .inputs = input};
  row.apply = [](const Tensors& in) { return in[0][-1]; };
  row.reference = [](const Arrays& in) {
    Array y({3, 4});
    std::copy_n(in[0].values.begin() + 12, 12, y.values.begin());
    return y;
  };
  rows.push_back(row);
}

void add_stack_row(Rows& rows, int axis, const Extents& shape, int parts) {
  OpCase row{.op = "stack", .parameters = fmt::format("axis={}", axis)};
  for (int i = 0; i < parts; ++i) row.inputs.push_back(values(shape));
  row.apply = [=](const Tensors& in) { return stack(in, axis); };
  row.reference = [=](const Arrays& in) {
    const auto at = static_cast<std::ptrdiff_t>(axis < 0 ? axis + static_cast<int>(shape.size()) + 1 : axis);
    Arrays apart = in;
    for (Array& part : apart) part.shape.insert(part.shape.begin() + at, 1);
    return naive::concat(apart, static_cast<std::size_t>(at));
  };
  rows.push_back(row);
}

void add_where_row(Rows& rows, const Extents& condition, const Extents& a, const Extents& b) {
  OpCase row{.op = "where", .inputs = {constant(condition), values(a), values(b)}};
  row.apply = [](const Tensors& in) { return where(in[0] > 0.0, in[1], in[2]); };
  row.reference = [](const Arrays& in) {
    const Array first = naive::combine(in[0], in[1], [](double c, double x) { return c > 0 ? x : 0; });
    const Array second = naive::combine(in[0], in[2], [](double c, double x) { return c > 0 ? 0 : x; });
    return naive::combine(first, second, std::plus<>());
  };
  row.large = naive::count(a) > 1000;
  rows.push_back(row);
}

// visit(index of the result, index of x) where index `chosen`, [K] or shaped like the result, says which.
template <typename Visit>
void for_each_chosen(const Extents& result, std::size_t axis, const Array& chosen, const Visit& visit) {
  naive::for_each_index(result, [&](const Extents& i) {
    Extents from = i;
    from[axis] = static_cast<std::int64_t>(chosen.shape.size() == 1 ? chosen.at({i[axis]}) : chosen.at(i));
    visit(i, from);
  });
}

// Looking up along an axis with an index of the shape given, and the sums that are its gradient.
void add_lookup_rows(Rows& rows, const Extents& shape, int axis, const Extents& index) {
  const auto a = static_cast<std::size_t>(axis);
  const bool selects = index.size() == 1 && shape.size() > 1;
  Extents result = shape;
  result[a] = selects ? index[0] : index[a];
  const std::int64_t extent = shape[a];
  const Input chosen{.shape = index, .differentiable = false, .classes = static_cast<int>(extent)};
  OpCase row{.op = selects ? "index_select" : "gather", .parameters = fmt::format("axis={}", axis)};
  row.inputs = {values(shape), chosen};
  row.apply = [=](const Tensors& in) {
    return selects ? index_select(in[0], axis, in[1]) : gather(in[0], axis, in[1]);
  };
  row.reference = [=](const Arrays& in) {
    Array y(result);
    for_each_chosen(result, a, in[1],
                    [&](const Extents& i, const Extents& from) { y.at(i) = in[0].at(from); });
    return y;
  };
  row.large = naive::count(shape) > 1000;
  rows.push_back(row);

  row.op = "scatter_add";
  row.parameters += fmt::format(" extent={}", extent);
  row.inputs = {values(result), chosen};
  row.apply = [=](const Tensors& in) { return scatter_add(in[0], axis, in[1], extent); };
  row.reference = [=](const Arrays& in) {
    Array y(shape);
    for_each_chosen(result, a, in[1], [&](const Extents& i, const Extents& to) { y.at(to) += in[0].at(i); });
    return y;
  };
  rows.push_back(row);
}

void add_dropout_row(Rows& rows, const Extents& shape, double p) {
  OpCase row{.op = "dropout", .parameters = fmt::format("p={}", p), .inputs = {values(shape)}};
  row.apply = [=](const Tensors& in) {
    const Tensor draw = Tensor::full({}, 3, {DType::i32, in[0].device()});
    return dropout(in[0], p, draw, 17);
  };
  row.reference = [=](const Arrays& in) {
    Array y = in[0];
    const Random random{.seed = 17, .stream = Stream::dropout, .epoch = 3};
    for (std::size_t i = 0; i < y.values.size(); ++i) {
      const bool kept = random.bits(static_cast<std::uint32_t>(i)) < (1 - p) * 0x1p32;
      y.values[i] *= kept ? static_cast<double>(static_cast<float>(1 / (1 - p))) : 0;
    }
    return y;
  };
  row.large = naive::count(shape) > 1000;
  rows.push_back(row);
}

}  // namespace

void add_axis_rows(Rows& rows) {
  for (const Reduction& f : reductions()) {
    add_reduction_row(rows, f, {2, 3, 4}, {1}, false);
    add_reduction_row(rows, f, {2, 3, 4}, {0, 2}, true);
    add_reduction_row(rows, f, {2, 3, 4}, {0, 1, 2}, false);
    add_reduction_row(rows, f, {3, 4}, {1}, true);
    add_reduction_row(rows, f, {61, 33, 17}, {0, 2}, false);
  }
  rows.push_back({.op = "var",
                  .parameters = "unbiased, of all",
                  .inputs = {values({2, 3})},
                  .apply = [](const Tensors& in) { return var(in[0]); },
                  .reference = [](const Arrays& in) { return Array(Extents{}, variance(in[0].values, 1)); }});
  add_norm_rows(rows);
  for (const std::vector<int>& order : {std::vector{0, 2, 1}, {2, 0, 1}, {1, 0, 2}, {2, 1, 0}, {0, 1, 2}})
    add_permute_row(rows, {2, 3, 4}, order);
  add_permute_row(rows, {1, 2, 1, 3}, {3, 2, 1, 0});
  add_permute_row(rows, {130, 70, 5}, {1, 0, 2});
  add_permute_row(rows, {130, 70, 5}, {2, 1, 0});
  add_same_elements_rows(rows);
  add_stack_row(rows, 0, {2, 3}, 3);
  add_stack_row(rows, -1, {2, 3}, 2);
  add_stack_row(rows, 1, {2, 3}, 1);
}

void add_index_rows(Rows& rows) {
  add_where_row(rows, {2, 3, 4}, {2, 3, 4}, {2, 3, 4});
  add_where_row(rows, {3, 1}, {4}, {2, 1, 1});
  add_where_row(rows, {}, {2, 3}, {});
  add_where_row(rows, {61, 33, 17}, {61, 33, 17}, {17});
  add_lookup_rows(rows, {2, 5, 3}, 1, {2, 4, 3});
  add_lookup_rows(rows, {4, 6}, 1, {4, 1});
  add_lookup_rows(rows, {5}, 0, {7});
  add_lookup_rows(rows, {2, 5, 3}, 1, {6});
  add_lookup_rows(rows, {4, 3}, 0, {2});
  add_lookup_rows(rows, {301, 100}, 1, {301, 7});
  add_lookup_rows(rows, {31, 500}, 0, {90});
  add_dropout_row(rows, {3, 7}, 0.25);
  add_dropout_row(rows, {3, 7}, 0);
  add_dropout_row(rows, {20011}, 0.5);
}

}  // namespace lamina::tests
