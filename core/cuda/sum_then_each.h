// Sums over rows, and then a loop over all elements that reads what became of the sums.
#pragma once

#include <algorithm>

#include "core/cuda/grid.h"
#include "core/cuda/sums.h"

namespace lamina::cuda {

// What has `columns` packs in each of its rows, of which it reads `bytes_again` for the sums and once more.
struct Rows {
  std::int64_t rows, columns, bytes_again;
};

// The sums, what becomes of them, and the loop, as phases of one kernel.
template <int K, int width, typename Value, typename Finish, typename Prepare>
struct SumThenEach {
  LAMINA_DEVICE void operator()(Grid& grid) const {
    grid.each_block(static_cast<int>(plan.blocks()), [&](int block) {
      block::sum_part<K, width, Value::in_turn>(plan, block, value, partial, finish);
    });
    if (plan.parts > 1)
      grid.each_team(outputs, [&](const Team& team, std::int64_t output) {
        thread::finish_output<K>(team, output, partial, plan.parts, finish);
      });
    grid.each_thread(threads, [&](std::int64_t number) {
      thread::for_each_column<Prepare::in_turn>(number, plan.middle, columns, prepare);
    });
  }

  // As many as any of its loops has work for.
  std::int64_t blocks() const {
    return std::max(
        {plan.blocks(), ceil_div(outputs, block_threads / Team::size), ceil_div(threads, block_threads)});
  }

  SumPlan plan;
  Value value;
  double* partial;
  Finish finish;
  Prepare prepare;
  Divisor columns;
  std::int64_t outputs, threads;
};

// sum_middle() of value and finish over the rows, and then for_each_column() of prepare: the same bits in one
// launch, where is_cooperative(), as in several. Value::in_turn and Prepare::in_turn are how many terms and
// calls a thread loads at once.
template <int K, int width, typename Value, typename Finish, typename Prepare>
void sum_then_each(Stream stream, Allocator& allocator, const Rows& of, const Value& value,
                   const Finish& finish, const Prepare& prepare) {
  const AxisSum axis{1, of.rows, of.columns};
  if (is_cooperative(of.bytes_again)) {
    const SumPlan plan(axis, Value::in_turn);
    const std::int64_t outputs = of.columns * width;
    const Scratch<double> partial(allocator, plan.parts > 1 ? outputs * K * plan.parts : 0);
    const SumThenEach<K, width, Value, Finish, Prepare> body{
        .plan = plan,
        .value = value,
        .partial = partial.data(),
        .finish = finish,
        .prepare = prepare,
        .columns = of.columns,
        .outputs = outputs,
        .threads = ceil_div(of.rows, thread::calls) * of.columns};
    if (cooperate(stream, body.blocks(), body)) return;
  }
  sum_middle<K, width, Value::in_turn>(stream, allocator, axis, value, finish);
  for_each_column<Prepare::in_turn>(stream, of.rows, of.columns, prepare);
}

}  // namespace lamina::cuda
