// A run that diverges does so on all ranks, which say the same.
#include <algorithm>
#include <limits>

#include "catch.h"
#include "message_of.h"
#include "net_on_ranks.h"
#include "train/trainer.h"

namespace lamina {
namespace {

// Its loss overflows for one image, which only one of the ranks has.
class Overflows final : public Objective {
 public:
  Overflows() : net_("resnet8", DType::f64), objective_(net_) {}
  std::string name() const override { return "overflows"; }
  Module& module() override { return net_; }
  std::vector<MetricInfo> metrics() const override { return objective_.metrics(); }
  PartLoss loss(const data::Part& part) override {
    PartLoss result = objective_.loss(part);
    const bool has_it = std::find(part.samples.begin(), part.samples.end(), 7) != part.samples.end();
    if (has_it) result.loss = exp(result.loss * 1e6);
    return result;
  }

 private:
  tests::OnImages net_;
  Classification objective_;
};

std::string divergence_of(const TrainerOptions& options) {
  Overflows objective;
  Sgd optimizer(objective.module().parameters(), {.lr = 0.05});
  Trainer trainer(objective, optimizer,
                  tests::loader_of_parts(options.ranks, options.ranks == nullptr ? tests::batch : 0),
                  options);
  return tests::message_of([&] { trainer.run(); });
}

}  // namespace

TEST_CASE("what overflows on one rank ends the run on all, which say alike where", "[parallel]") {
  const std::string one = divergence_of({});
  CHECK_THAT(one, Catch::Contains("training diverged in epoch 1") && Catch::Contains("first of all: exp"));
  for (const bool sync_batch_norm : {false, true}) {
    const std::string own = divergence_of({.ranks = &collective(), .sync_batch_norm = sync_batch_norm});
    CHECK_THAT(own, Catch::Contains("first of all: exp"));
    for (const std::string& others : collective().gather(own)) CHECK(others == own);
  }
}

}  // namespace lamina
