// How often the right class is among the likeliest.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace lamina::train {

// Logits [N, C], labels i32 [N]: how many rows have their own class among the first `top`, which are ordered
// as by argmax(): of equal logits the earlier class first, and a NaN before all. A label from C on never
// counts.
std::int64_t count_among_first(const Tensor& logits, const Tensor& labels, std::int64_t top);

}  // namespace lamina::train
