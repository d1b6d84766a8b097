// Rows of the op table: reductions, broadcasting, and ops that only move elements.
#include "op_cases.h"

namespace lamina::tests {
namespace {

// `small` broadcasts to `big`: one row down, one row up.
void add_broadcast_rows(Rows& rows, const Extents& big, const Extents& small) {
  const bool large = naive::count(big) > 1000;
  rows.push_back({.op = "sum_to",
                  .parameters = to_shape(small).str(),
                  .inputs = {values(big)},
                  .apply = [=](const Tensors& in) { return sum_to(in[0], to_shape(small)); },
                  .reference = [=](const Arrays& in) { return naive::sum_to(in[0], small); },
                  .large = large});
  rows.push_back({.op = "broadcast_to",
                  .parameters = to_shape(big).str(),
                  .inputs = {values(small)},
                  .apply = [=](const Tensors& in) { return broadcast_to(in[0], to_shape(big)); },
                  .reference = [=](const Arrays& in) { return naive::broadcast_to(in[0], big); },
                  .large = large});
}

void add_total_rows(Rows& rows, const Extents& shape) {
  const bool large = naive::count(shape) > 1000;
  rows.push_back({.op = "sum",
                  .inputs = {values(shape)},
                  .apply = [](const Tensors& in) { return sum(in[0]); },
                  .reference = [](const Arrays& in) { return naive::sum_to(in[0], {}); },
                  .large = large});
  rows.push_back({.op = "mean",
                  .inputs = {values(shape)},
                  .apply = [](const Tensors& in) { return mean(in[0]); },
                  .reference =
                      [](const Arrays& in) {
                        const auto n = static_cast<double>(in[0].values.size());
                        return naive::map(naive::sum_to(in[0], {}), [=](double total) { return total / n; });
                      },
                  .large = large});
}

void add_argmax_row(Rows& rows, const Extents& shape) {
  rows.push_back({.op = "argmax",
                  .inputs = {constant(shape)},
                  .apply = [](const Tensors& in) { return argmax(in[0]); },
                  .reference = [](const Arrays& in) { return naive::argmax(in[0]); }});
  rows.push_back({.op = "is_argmax",
                  .inputs = {constant(shape), labels(shape[0], static_cast<int>(shape[1]))},
                  .apply = [](const Tensors& in) { return is_argmax(in[0], in[1]); },
                  .reference =
                      [](const Arrays& in) {
                        Array is = naive::argmax(in[0]);
                        for (std::size_t n = 0; n < is.values.size(); ++n)
                          is.values[n] = is.values[n] == in[1].values[n] ? 1 : 0;
                        return is;
                      }});
}

// A slice of `shape`, and the same slice filled.
void add_slice_rows(Rows& rows, const Extents& shape, const Slice& s) {
  const naive::Range range{static_cast<std::size_t>(s.axis), s.start, s.count, s.step};
  const std::int64_t extent = shape[range.axis];
  const std::string parameters =
      fmt::format("axis={} start={} count={} step={}", s.axis, s.start, s.count, s.step);
  Extents part = shape;
  part[range.axis] = s.count;
  const bool large = naive::count(shape) > 1000;
  rows.push_back({.op = "slice",
                  .parameters = parameters,
                  .inputs = {values(shape)},
                  .apply = [=](const Tensors& in) { return slice(in[0], s); },
                  .reference = [=](const Arrays& in) { return naive::slice(in[0], range); },
                  .large = large});
  rows.push_back({.op = "embed",
                  .parameters = fmt::format("{} extent={}", parameters, extent),
                  .inputs = {values(part)},
                  .apply = [=](const Tensors& in) { return embed(in[0], s, extent); },
                  .reference = [=](const Arrays& in) { return naive::embed(in[0], range, extent); },
                  .large = large});
}

void add_concat_row(Rows& rows, const std::vector<Extents>& shapes, int axis) {
  OpCase row{.op = "concat", .parameters = fmt::format("axis={}", axis)};
  for (const Extents& shape : shapes) row.inputs.push_back(values(shape));
  row.apply = [=](const Tensors& in) { return concat(in, axis); };
  row.reference = [=](const Arrays& in) { return naive::concat(in, static_cast<std::size_t>(axis)); };
  rows.push_back(row);
}

void add_reshape_row(Rows& rows, const Extents& from, const Extents& to) {
  rows.push_back({.op = "reshape",
                  .parameters = to_shape(to).str(),
                  .inputs = {values(from)},
                  .apply = [=](const Tensors& in) { return reshape(in[0], to_shape(to)); },
                  .reference =
                      [=](const Arrays& in) {
                        Array y = in[0];
                        y.shape = to;
                        return y;
                      }});
}

// To the other of f32 and f64. The inputs and the steps of the finite differences are exact in both.
void add_cast_row(Rows& rows, const Extents& shape) {
  rows.push_back({.op = "cast",
                  .parameters = "f32 <-> f64",
                  .inputs = {values(shape)},
                  .apply =
                      [](const Tensors& in) {
                        return cast(in[0], in[0].dtype() == DType::f32 ? DType::f64 : DType::f32);
                      },
                  .reference = [](const Arrays& in) { return in[0]; },
                  .large = naive::count(shape) > 1000});
}

}  // namespace

void add_reduction_rows(Rows& rows) {
  for (const Extents& small : {Extents{}, {4}, {3, 1}, {1, 4}, {2, 1, 4}, {1, 1, 1}, {2, 1, 1}, {2, 3, 1}})
    add_broadcast_rows(rows, {2, 3, 4}, small);
  add_broadcast_rows(rows, {1}, {});
  add_broadcast_rows(rows, {2, 3, 2, 2, 1, 2}, {1, 2, 1, 2});
  for (const Extents& small : {Extents{}, {13}, {211, 1, 1, 1}, {7, 1, 13}, {211, 7, 11, 1}})
    add_broadcast_rows(rows, {211, 7, 11, 13}, small);
  add_broadcast_rows(rows, {8191, 3}, {3});
  add_broadcast_rows(rows, {3, 8191}, {3, 1});
  for (const Extents& shape : {Extents{}, {1, 1}, {2, 3, 4}, {30011}}) add_total_rows(rows, shape);
  for (const Extents& shape : {Extents{1, 1}, {5, 1}, {1, 6}, {4, 7}, {301, 100}})
    add_argmax_row(rows, shape);
}

void add_rearranging_rows(Rows& rows) {
  add_reshape_row(rows, {2, 3, 4}, {4, 6});
  add_reshape_row(rows, {2, 3, 4}, {24});
  add_reshape_row(rows, {1, 1}, {});
  add_reshape_row(rows, {5}, {1, 5, 1});
  add_slice_rows(rows, {2, 3, 5}, {.axis = 0, .start = 1, .count = 1});
  add_slice_rows(rows, {2, 3, 5}, {.axis = 1, .start = 0, .count = 3});
  add_slice_rows(rows, {2, 3, 5}, {.axis = 2, .start = 1, .count = 2, .step = 2});
  add_slice_rows(rows, {7}, {.axis = 0, .start = 0, .count = 3, .step = 3});
  add_slice_rows(rows, {2, 4, 4, 3}, {.axis = 1, .start = 0, .count = 2, .step = 2});  // option A shortcuts
  add_slice_rows(rows, {2, 2, 2, 6}, {.axis = 3, .start = 2, .count = 3});
  add_slice_rows(rows, {40, 31, 29}, {.axis = 1, .start = 3, .count = 9, .step = 3});
  add_concat_row(rows, {{2, 3}, {4, 3}}, 0);
  add_concat_row(rows, {{2, 3}, {2, 1}, {2, 2}}, 1);
  add_concat_row(rows, {{2, 1, 2, 2}, {2, 1, 2, 3}}, 3);
  add_concat_row(rows, {{3}}, 0);
  for (const Extents& shape : {Extents{}, {2, 3}, {20011}}) add_cast_row(rows, shape);
}

}  // namespace lamina::tests
