// Self-supervised losses over ranks: what they compute together is what one process computes of the whole
// batch.
#include <functional>
#include <memory>

#include "catch.h"
#include "core/ops/elementwise.h"
#include "core/parallel/collective.h"
#include "data/loader.h"
#include "data/sets/synthetic.h"
#include "layers/resnet.h"
#include "message_of.h"
#include "optim/optimizer.h"
#include "steps_of_ranks.h"
#include "train/objectives/barlow_twins.h"
#include "train/objectives/simclr.h"
#include "train/objectives/vicreg.h"
#include "train/step.h"

namespace lamina {
namespace {

constexpr std::int64_t pairs = 24, pictures = 72;  // of shares that are equal for 1, 2, 3 and 4 ranks

class Embedder final : public Module {
 public:
  Embedder()
      : net_(&add_child<ResNet>("net", "resnet8",
                                ResNetOptions{.head = false,
                                              .projector = ProjectorOptions{.widths = {12, 6}},
                                              .dtype = DType::f64,
                                              .seed = 3})) {}
  std::string kind() const override { return "embedder"; }

 private:
  Tensor forward(const Tensor& x) override { return (*net_)(cast(x, DType::f64)); }
  ResNet* net_;
};

using MakeObjective = std::function<std::unique_ptr<TwoViewObjective>(Module&)>;

using tests::largest_difference, tests::Trained;

std::vector<double> numbers_of(const Tensor& x) { return cast(x.detach(), DType::f64).to_vector<double>(); }

Trained pretrain(const MakeObjective& make, const train::TrainingStepOptions& how, data::Share share,
                 std::int64_t micro_batch) {
  Embedder net;
  const auto objective = make(net);
  Lars optimizer(net.parameters(), {.lr = 0.5});
  const data::LoaderOptions options{.batch = pairs,
                                    .micro_batch = micro_batch,
                                    .share = share,
                                    .augment = data::standard(),
                                    .views = 2,
                                    .drop_last = true,
                                    .seed = 5};
  const data::Split split = data::synthetic({.classes = 4, .height = 8, .width = 8, .train = pictures}).train;
  const data::Loader loader = loader_for(*objective, data::Loader(split, options));
  return tests::take_steps(*objective, optimizer, loader, how, 2);
}

std::vector<std::pair<const char*, MakeObjective>> methods() {
  return {{"Barlow Twins", [](Module& net) { return std::make_unique<BarlowTwins>(net); }},
          {"SimCLR", [](Module& net) { return std::make_unique<SimClr>(net); }},
          {"VICReg", [](Module& net) { return std::make_unique<VicReg>(net); }}};
}

}  // namespace

TEST_CASE("losses over ranks are those of the whole batch", "[parallel]") {
  const std::int64_t size = collective().size();
  const data::Share share{.index = collective().rank(), .of = size};
  for (const auto& [name, make] : methods()) {
    INFO(name);
    const Trained together = pretrain(make, {.ranks = &collective()}, share, 0),
                  parts = pretrain(make, {}, {}, pairs / size);
    CHECK(largest_difference(together.losses, parts.losses) < 1e-10);
    CHECK(largest_difference(together.state, parts.state) < 1e-10);
    const Trained synchronised = pretrain(make, {.ranks = &collective(), .sync_batch_norm = true}, share, 0),
                  whole = pretrain(make, {}, {}, 0);
    CHECK(largest_difference(synchronised.losses, whole.losses) < 1e-10);
    CHECK(largest_difference(synchronised.state, whole.state) < 1e-10);
  }
}

TEST_CASE("the gradient of a loss over ranks is that of the whole batch, with no factor of their number",
          "[parallel]") {
  const std::int64_t size = collective().size();
  for (const auto& [name, make] : methods()) {
    INFO(name);
    const auto gradients = [&](data::Share share, Collective* ranks, std::int64_t micro_batch) {
      Embedder net;
      const auto objective = make(net);
      const data::Split split =
          data::synthetic({.classes = 4, .height = 8, .width = 8, .train = pictures}).train;
      const data::Loader loader = loader_for(
          *objective,
          data::Loader(split,
                       {.batch = pairs, .micro_batch = micro_batch, .share = share, .views = 2, .seed = 5}));
      if (size > 1) objective->share_batches(ranks);
      const Tensor sums = Tensor::zeros({std::ssize(objective->metrics()) + 1}, {DType::f64});
      for (const data::Part& part : loader.epoch(0)) {
        accumulate_gradients(*objective, part, sums);
        if (part.completes_batch) break;
      }
      std::vector<double> all;
      for (const auto& param : net.parameters()) {
        const std::vector<double> of = numbers_of(param->grad());
        all.insert(all.end(), of.begin(), of.end());
      }
      return all;
    };
    std::vector<double> together = gradients({collective().rank(), size}, &collective(), 0);
    collective().sum(together);
    CHECK(largest_difference(together, gradients({}, nullptr, pairs / size)) < 1e-10);
  }
}

TEST_CASE("shares that a loss cannot compare are refused", "[parallel]") {
  if (collective().size() == 1) return;
  Embedder net;
  const BarlowTwins objective(net);
  const data::Split split = data::synthetic({.classes = 4, .height = 8, .width = 8, .train = pictures}).train;
  const std::int64_t size = collective().size();
  const auto refused = [&](data::LoaderOptions options) {
    options.share = {collective().rank(), size};
    options.views = 2;
    options.drop_last = true;
    const std::string message =
        tests::message_of([&] { loader_for(objective, data::Loader(split, options)); });
    return message.find(fmt::format("among {} ranks", size)) == std::string::npos ? message : "refused";
  };
  CHECK(refused({.batch = size}) == "refused");
  CHECK(refused({.batch = 2 * size - 1}) == "refused");
}

}  // namespace lamina
