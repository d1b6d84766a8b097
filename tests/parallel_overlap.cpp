// Of every rank, as parallel_collective.cpp: gradients that are summed while the backward pass goes on.
#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>
#include <vector>

#include "catch.h"
#include "core/autograd.h"
#include "core/ops/ops.h"
#include "core/parallel/background.h"
#include "core/parallel/collective.h"
#include "layers/init.h"
#include "layers/linear.h"
#include "layers/sequential.h"
#include "optim/optimizer.h"
#include "train/objective.h"
#include "train/rank_sums.h"
#include "train/step.h"

namespace lamina {
namespace {

// The ranks, which notes what the gradient of the first layer was when each sum began.
class Noting final : public Collective {
 public:
  explicit Noting(Tensor first, bool network = true) : network_(network), first_(std::move(first)) {}
  int rank() const override { return collective().rank(); }
  int size() const override { return collective().size(); }
  int rank_on_host() const override { return collective().rank_on_host(); }
  void sum(std::span<float> values) override { collective().sum(values); }
  void sum(std::span<double> values) override { collective().sum(values); }
  void start_sum(std::span<float> values) override { note(values); }
  void start_sum(std::span<double> values) override { note(values); }
  void wait_for_sums() override { collective().wait_for_sums(); }
  bool sums_wait_for_network() const override { return network_; }
  void broadcast(std::span<std::byte> bytes, int root) override { collective().broadcast(bytes, root); }
  std::vector<std::string> gather(std::string_view text) override { return collective().gather(text); }
  std::vector<std::string> gather_on_host(std::string_view text) override { return gather(text); }
  void barrier() override { collective().barrier(); }
  [[noreturn]] void abort(int) override { std::terminate(); }

  int before_first = 0, after_first = 0;  // sums that began while it was zero, and later

 private:
  template <typename Real>
  void note(std::span<Real> values) {
    const bool is_there = first_.to_vector<float>()[0] != 0;
    ++(is_there ? after_first : before_first);
    collective().start_sum(values);
  }
  bool network_;
  Tensor first_;
};

// Layers of 4 MiB, one of which is used twice, and one never.
struct Layers final : Module {
  explicit Layers(int count) {
    for (int i = 0; i < count; ++i) add_child<Linear>(std::to_string(i), 1024, 1024);
    add_child<Linear>("unused", 1024, 1024);
  }
  std::string kind() const override { return "layers"; }
  Tensor forward(const Tensor& x) override {
    Tensor y = x;
    for (std::size_t i = 0; i + 1 < children().size(); ++i) y = relu((*children()[i])(y));
    return (*children()[1])(y);
  }
};

struct MeanOfSquares final : Objective {
  explicit MeanOfSquares(Module& of) : net(of) {}
  std::string name() const override { return "mean of squares"; }
  Module& module() override { return net; }
  PartLoss loss(const data::Part& part) override { return mean(square(net(part.views[0]))); }
  Module& net;
};

data::Part part_of_rank() {
  const auto rank = static_cast<std::uint64_t>(collective().rank());
  return {.views = {Tensor::randn({4, 1024}, {.seed = rank, .draw = 0})},
          .labels = Tensor::zeros({4}, {.dtype = DType::i32}),
          .batch_samples = 4};
}

}  // namespace

TEST_CASE("gradients are summed beside the backward pass, to the bits of sums after it", "[parallel]") {
  Layers net(7);
  initialise(net, {}, 1);
  MeanOfSquares objective(net);
  Sgd optimizer(net.parameters(), {.lr = 0.1});
  const Arena& arena = optimizer.arena();
  Noting ranks(arena.segment_of(arena.grads(), arena.segments().front()));
  train::RankSums sums(ranks, objective, arena);
  const data::Part part = part_of_rank();
  const Tensor total = Tensor::zeros({1});
  std::vector<std::vector<float>> gradients;
  for (const bool beside : {true, false, true}) {
    optimizer.zero_grad();
    ranks.before_first = 0;
    sums.begin();
    {
      std::optional<LeafWatch> watch;
      if (beside) watch.emplace(sums.sum_when_complete());
      accumulate_gradients(objective, part, total);
    }
    sums.add_up(total);
    gradients.push_back(arena.grads().to_vector<float>());
    CHECK((ranks.before_first > 0) == beside);
  }
  const bool alike = gradients[0] == gradients[1] && gradients[0] == gradients[2];
  CHECK(alike);
  CHECK(std::isfinite(gradients[0][0]));

  sums.begin();
  const LeafWatch watch(sums.sum_when_complete());
  accumulate_gradients(objective, part, total);
  CHECK_THROWS_WITH(accumulate_gradients(objective, part, total),
                    Catch::Matchers::Contains("a second backward() within the last part"));
}

TEST_CASE("steps whose sums wait for a network end in the bits of those whose sums do not", "[parallel]") {
  std::vector<std::vector<float>> weights;
  for (const bool network : {false, true}) {
    Layers net(3);
    initialise(net, {}, 1);
    MeanOfSquares objective(net);
    Sgd optimizer(net.parameters(), {.lr = 0.1, .momentum = 0.9});
    const Arena& arena = optimizer.arena();
    Noting beside(arena.segment_of(arena.grads(), arena.segments().front()));
    train::TrainingStep step(objective, optimizer, {.ranks = network ? &beside : &collective()});
    for (int i = 0; i < 3; ++i) step.run(part_of_rank());
    CHECK(step.results().failure.empty());
    CHECK((beside.before_first > 0) == network);
    weights.push_back(arena.values().to_vector<float>());
  }
  const bool alike = weights[0] == weights[1];
  CHECK(alike);
}

TEST_CASE("a step sums where it is told to, and else where the ranks have it", "[parallel]") {
  for (const std::optional<bool> told : {std::optional<bool>(), std::optional(true), std::optional(false)}) {
    for (const bool network : {false, true}) {
      Layers net(3);
      initialise(net, {}, 1);
      MeanOfSquares objective(net);
      Sgd optimizer(net.parameters(), {.lr = 0.1});
      const Arena& arena = optimizer.arena();
      Noting ranks(arena.segment_of(arena.grads(), arena.segments().front()), network);
      train::TrainingStep step(objective, optimizer, {.ranks = &ranks, .sums_beside_backward = told});
      step.run(part_of_rank());
      CHECK((ranks.before_first > 0) == told.value_or(network));
    }
  }
}

TEST_CASE("jobs in the background run in order, and the first failure ends them", "[parallel]") {
  std::vector<int> done;
  {
    Background background;
    background.wait();
    for (int i = 0; i < 100; ++i) background.start([&done, i] { done.push_back(i); });
    background.wait();
    CHECK(std::ssize(done) == 100);
    CHECK(std::is_sorted(done.begin(), done.end()));
    background.start([] { fail("the second wire is cut"); });
    background.start([&] { done.push_back(-1); });
    CHECK_THROWS_WITH(background.wait(), Catch::Matchers::Contains("the second wire is cut"));
    background.wait();
    background.start([&] { done.push_back(100); });
  }
  CHECK(done.back() == 100);
  CHECK(std::ssize(done) == 101);
}

}  // namespace lamina
