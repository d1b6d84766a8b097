// Sums over ranks on GPUs, with a stand-in for NCCL (tests/emulated_cuda/nccl.cpp): tests/parallel.sh starts
// these cases under mpirun; alone they are of one rank.
#include <cmath>
#include <vector>

#include "catch.h"
#include "core/captured.h"
#include "core/gpu_sums.h"
#include "core/ops/elementwise.h"
#include "core/random.h"
#include "data/sets/synthetic.h"
#include "emulated_cuda/machine.h"
#include "layers/resnet.h"
#include "message_of.h"
#include "steps_of_ranks.h"
#include "train/objectives/classification.h"

namespace lamina::tests {
namespace {

// Of very different sizes, so that the order of an addition shows.
std::vector<float> values_of_rank(int rank, std::int64_t n, std::uint32_t run) {
  const Random random{.seed = 7 + run, .stream = Stream::init, .epoch = static_cast<std::uint32_t>(rank)};
  std::vector<float> values;
  for (std::int64_t i = 0; i < n; ++i)
    values.push_back(static_cast<float>(
        std::ldexp(random.normal(static_cast<std::uint32_t>(i)), static_cast<int>((i * 7 + rank * 5) % 40))));
  return values;
}

std::vector<float> summed_over_ranks(std::int64_t n, std::uint32_t run) {
  std::vector<float> total = values_of_rank(0, n, run);
  for (int r = 1; r < collective().size(); ++r) {
    const std::vector<float> more = values_of_rank(r, n, run);
    for (std::size_t i = 0; i < total.size(); ++i) total[i] += more[i];
  }
  return total;
}

// A machine with a GPU for each rank.
struct Gpus {
  Gpus() { emulated_machine().gpus = std::max(2, collective().size()); }
  ~Gpus() { emulated_machine() = {}; }
  Device own = Device::cuda(collective().rank());
};

#ifdef LAMINA_CUDA  // else the library's optimizers know no GPU

// Weights and running statistics after four steps of all ranks, some of which have more parts than others.
std::vector<double> trained_on(Device device) {
  ResNet net("resnet8", {.classes = 4, .device = device, .seed = 3});
  Classification objective(net);
  Sgd optimizer(net.parameters(), {.lr = 0.01});
  const data::Share share{.index = collective().rank(), .of = collective().size()};
  const data::Loader loader(data::synthetic({.classes = 4, .height = 8, .width = 8, .train = 36}).train,
                            {.batch = 9, .micro_batch = 2, .share = share, .workers = 0, .seed = 5});
  train::TrainingStep step(objective, optimizer, {.ranks = &collective()});
  for (const data::Part& part : loader.epoch(0, device)) step.run(part);
  CHECK(step.results().failure.empty());
  std::vector<double> state;
  for (const auto& param : net.state()) {
    if (!is_floating(param->value.dtype())) continue;  // counts, which on a GPU are of the rank alone
    const std::vector<float> values = param->value.detach().to_vector<float>();
    state.insert(state.end(), values.begin(), values.end());
  }
  return state;
}

#endif

}  // namespace

#ifdef LAMINA_CUDA

TEST_CASE("ranks with a GPU each end in the weights and running statistics of those on the CPU", "[ranks]") {
  const Gpus gpus;
  // sums of f32 in other orders, over four steps
  CHECK(largest_difference(trained_on(gpus.own), trained_on(Device::cpu())) < 1e-5);
}

#endif

TEST_CASE("sums of GPUs are those of a loop over the ranks, to the bit", "[ranks]") {
  const Gpus gpus;
  const auto sums = connect_gpus(collective(), gpus.own);
  for (const std::int64_t n : {std::int64_t{0}, std::int64_t{1}, std::int64_t{3}, std::int64_t{1000}}) {
    CAPTURE(n);
    const Tensor values = Tensor::from(values_of_rank(collective().rank(), n, 0), {n}).to(gpus.own);
    sums->sum(values);
    CHECK(values.to_vector<float>() == summed_over_ranks(n, 0));
  }
}

TEST_CASE("sums of GPUs are captured with what comes before and after", "[ranks]") {
  const Gpus gpus;
  constexpr std::int64_t n = 11;
  const auto sums = connect_gpus(collective(), gpus.own);
  const Tensor result = Tensor::zeros({n}, {.device = gpus.own});
  Captured work(gpus.own, [&](const Tensor& x) {
    const Tensor twice = x * 2.0;
    sums->sum(twice);
    Tensor(result).copy_from(twice * 0.5);
  });
  for (std::uint32_t run = 0; run < 4; ++run) {
    work.run(Tensor::from(values_of_rank(collective().rank(), n, run), {n}).to(gpus.own));
    CHECK(result.to_vector<float>() == summed_over_ranks(n, run));
  }
}

TEST_CASE("two ranks have no GPU together, and f64 is the CPU's", "[ranks]") {
  const Gpus gpus;
  if (collective().size() > 1) CHECK_THROWS_AS(connect_gpus(collective(), Device::cuda(0)), UsageError);
  const auto sums = connect_gpus(collective(), gpus.own);
  CHECK_THROWS_WITH(sums->sum(Tensor::zeros({2}, {.dtype = DType::i32, .device = gpus.own})),
                    Catch::Contains("is not f32 on " + gpus.own.str()));
}

}  // namespace lamina::tests
