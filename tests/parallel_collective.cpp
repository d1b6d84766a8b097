// Of every rank: tests/parallel.sh starts this program under mpirun with several numbers of them.
#include <cmath>
#include <string>
#include <vector>

#include "catch.h"
#include "core/base/resource_limits.h"
#include "core/parallel/collective.h"
#include "core/random.h"

namespace lamina {
namespace {

// What rank r holds before a sum; of very different sizes, so that the order of an addition shows.
template <typename Real>
std::vector<Real> values_of(int rank, std::size_t n) {
  const Random random{.seed = 7, .stream = Stream::init, .epoch = static_cast<std::uint32_t>(rank)};
  std::vector<Real> values(n);
  for (std::size_t i = 0; i < n; ++i)
    values[i] =
        static_cast<Real>(std::ldexp(random.normal(static_cast<std::uint32_t>(i)),
                                     static_cast<int>((i * 7 + static_cast<std::size_t>(rank) * 5) % 40)));
  return values;
}

template <typename Real>
std::vector<Real> summed_in_order(std::size_t n) {
  std::vector<Real> total = values_of<Real>(0, n);
  for (int r = 1; r < collective().size(); ++r) {
    const std::vector<Real> more = values_of<Real>(r, n);
    for (std::size_t i = 0; i < n; ++i) total[i] += more[i];
  }
  return total;
}

}  // namespace

TEMPLATE_TEST_CASE("sums of ranks are those of a loop over them, to the bit", "[parallel]", float, double) {
  // fewer values than ranks, one piece, and more than one bucket of up to four pieces of a mebibyte
  for (const std::size_t n :
       {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{1000}, (std::size_t{1} << 20) + 7}) {
    std::vector<TestType> values = values_of<TestType>(collective().rank(), n);
    collective().sum(values);
    CHECK(values == summed_in_order<TestType>(n));
  }
}

TEST_CASE("sums that were started are the same, and in order with other calls", "[parallel]") {
  constexpr std::size_t n = (std::size_t{1} << 18) + 3;
  std::vector<std::vector<float>> values(5, values_of<float>(collective().rank(), n));
  std::vector<double> now = values_of<double>(collective().rank(), 9);
  for (std::size_t i = 0; i < 3; ++i) collective().start_sum(values[i]);
  collective().sum(now);
  for (std::size_t i = 3; i < 5; ++i) collective().start_sum(values[i]);
  CHECK(std::ssize(collective().gather("")) == collective().size());
  CHECK(values[4] == summed_in_order<float>(n));  // other calls wait
  collective().start_sum(values[4]);
  collective().wait_for_sums();
  for (std::size_t i = 0; i < 4; ++i) CHECK(values[i] == summed_in_order<float>(n));
  CHECK(now == summed_in_order<double>(9));
}

TEST_CASE("texts are gathered in the order of the ranks", "[parallel]") {
  const auto text_of = [](int rank) {
    return std::string(static_cast<std::size_t>(3 * rank), 'x') + std::to_string(rank);
  };
  const std::vector<std::string> texts = collective().gather(text_of(collective().rank()));
  REQUIRE(std::ssize(texts) == collective().size());
  for (int r = 0; r < collective().size(); ++r) CHECK(texts[static_cast<std::size_t>(r)] == text_of(r));
}

TEST_CASE("a broadcast is the root's", "[parallel]") {
  for (int root = 0; root < collective().size(); ++root) {
    std::vector<std::byte> bytes(100'000, static_cast<std::byte>(collective().rank() + 1));
    collective().broadcast(bytes, root);
    CHECK(bytes == std::vector<std::byte>(100'000, static_cast<std::byte>(root + 1)));
  }
}

TEST_CASE("ranks know their place", "[parallel]") {
  CHECK(collective().rank() >= 0);
  CHECK(collective().rank() < collective().size());
  CHECK(collective().gather_on_host("here") == collective().gather("here"));  // all are on one machine
  CHECK(cores_of_rank(collective()) >= 1);
  CHECK(cores_of_rank(collective()) <= std::max(1, usable_cores().allowed));
  CHECK(collective().size() == std::max(1, launched_processes()));
  collective().barrier();
}

}  // namespace lamina
