// Division by multiplication, as the GPU's kernels index with.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "catch.h"
#include "core/math/divisor.h"
#include "op_inputs.h"

namespace lamina::tests {

TEST_CASE("a divisor gives the quotient and the rest that / and % give") {
  constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
  std::vector<std::int64_t> numbers{0, 1, 2, largest, largest - 1};
  for (int bit = 1; bit < 63; ++bit)
    for (const int beside : {-1, 0, 1}) numbers.push_back((std::int64_t{1} << bit) + beside);
  Draw draw(7);
  for (int i = 0; i < 300; ++i)  // of all magnitudes
    numbers.push_back(static_cast<std::int64_t>(std::exp2(draw.uniform(0, 62.9))));
  for (const std::int64_t value : numbers) {
    const math::Divisor divisor = value;
    REQUIRE(divisor == value);
    if (value == 0) continue;
    int wrong = 0;
    for (const std::int64_t number : numbers)
      for (const std::int64_t n : {number, number - number % value, number - number % value - 1}) {
        if (n < 0) continue;
        wrong += n / divisor != n / value || n % divisor != n % value;
      }
    CAPTURE(value);
    CHECK(wrong == 0);
  }
}

}  // namespace lamina::tests
