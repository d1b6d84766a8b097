// How often the right class is among the likeliest.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace lamina::train {

// How many classes come before `label` in a row of logits, as argmax() orders them: of equal logits the
// earlier class first, and a NaN before all.
std::int64_t rank_of(const double* logits, std::int64_t classes, std::int64_t label);

// Logits [N, C], labels i32 [N]: how many rows have their own class among the first `top`, by
// rank_of(). A label from C on never counts.
std::int64_t count_among_first(const Tensor& logits, const Tensor& labels, std::int64_t top);

}  // namespace lamina::train
