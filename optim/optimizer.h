// Optimizers. The formula is a rule (optim/rules), the traversal the engine (optim/engine/engine.h), the
// memory the arena (optim/arena.h), what is told of a step its report (optim/step_reports.h), what a
// checkpoint keeps the state (optim/state.h); this is what a training loop holds:
//
//   TvLars optimizer(net.parameters(), {.lr = 2, .weight_decay = 5e-4, .lambda = 1e-3});
//   optimizer.zero_grad();  loss.backward();  optimizer.step();
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "optim/arena.h"
#include "optim/groups.h"
#include "optim/rules/adamw.h"
#include "optim/rules/lamb.h"
#include "optim/rules/lars.h"
#include "optim/rules/sgd.h"
#include "optim/rules/tvlars.h"
#include "optim/schedule.h"
#include "optim/step_reports.h"

namespace lamina {

namespace engine {
struct CudaState;  // optim/engine/cuda.h
struct Request;    // optim/engine/common.h
}  // namespace engine

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  void zero_grad() { arena_.zero_grad(); }

  // One update from the gradients, which stay as they are. Throws Error naming the step and the first tensor
  // whose gradient or weights are not finite; parameters and state are then as before the call. On a GPU the
  // host learns of it when the report is read, and steps in between change nothing. Error as well in a loop
  // over a loader, after a part of a batch that is not its last.
  void step() { prepare_step(), apply_step(); }

  // The two halves of a step that is captured (core/captured.h): prepare_step() before each run hands over
  // what differs from step to step, apply_step() belongs into the captured work. Tracing is captured as it is
  // set then.
  void prepare_step();
  void apply_step();

  // The learning rate of the next step: the schedule's where there is one, else the last one set.
  double lr() const;
  void set_lr(double lr) { lr_ = lr, schedule_.reset(); }
  // A schedule without a learning rate of its own takes this optimizer's as its peak.
  void set_schedule(Schedule schedule);
  const Schedule* schedule() const {
    return schedule_ ? &*schedule_ : nullptr;
  }  // null: a fixed learning rate

  // Taken so far. On a GPU, which may still be at them: those handed over to it, and once report() or
  // take_reports() has learnt of one that failed, those before that one.
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }  // goes on from there: for load_state()

  // The last step. On a GPU this waits for it, and throws what step() throws on the CPU.
  const StepReport& report();
  // Those of all steps since the last call, the oldest first: of the newest 64 at most. On a GPU this waits;
  // what step() throws on the CPU comes with the call after the one that gave the steps before it.
  std::vector<StepReport> take_reports();
  static constexpr std::int64_t reports_kept = StepReports::kept;
  void set_tracing(bool on) { tracing_ = on; }  // measures every norm of every tensor at each step
  TrustRatios trust_ratios();                   // of the last step; waits and throws as report() does

  // On by default. Off: non-finite gradients pass into the weights, and rules without a layer-wise ratio save
  // one reading of gradients and weights.
  void set_finite_check(bool on) { finite_check_ = on; }

  const std::vector<Segment>& segments() const { return arena_.segments(); }
  const std::vector<LayerSettings>& settings() const { return settings_; }
  const Arena& arena() const { return arena_; }
  virtual std::string name() const = 0;  // "tvlars"
  // Every option by name, as text; none of a rule without a table of knobs.
  virtual std::vector<std::pair<std::string, std::string>> knobs() const = 0;

 protected:
  Optimizer(const ParamList& params, const Groups& groups, const std::vector<std::string>& slots, double lr);
  virtual void prepare(const Step& step, StepReport& report) = 0;  // all of the report but norms and ratios
  virtual void apply(const Step& step, StepReport& report) = 0;    // on a GPU the report stays as it is

  Arena arena_;
  std::vector<LayerSettings> settings_;
  bool tracing_ = false;
  bool finite_check_ = true;
  std::shared_ptr<engine::CudaState> cuda_;  // where the parameters are on a GPU

 private:
  void read_reports();  // from a GPU

  StepReports reports_;
  std::int64_t steps_ = 0;
  double lr_;
  double peak_lr_;
  std::optional<Schedule> schedule_;
  Step step_;        // that was prepared last
  StepReport next_;  // its report
};

// The optimizer of a rule. Options are checked at construction: UsageError names the offending one. What its
// groups freeze is frozen then.
// For a rule of one's own, include lamina/rule.h, which has the definitions.
template <template <typename> class Rule>
class OptimizerOf final : public Optimizer {
 public:
  using Options = typename Rule<float>::Options;
  explicit OptimizerOf(const ParamList& params, const Options& options = {});
  const Options& options() const { return options_; }
  std::string name() const override { return Rule<float>::name; }
  std::vector<std::pair<std::string, std::string>> knobs() const override;

 private:
  void prepare(const Step& step, StepReport& report) override;
  void apply(const Step& step, StepReport& report) override;
  engine::Request request() const;
  Options options_;
};

using Sgd = OptimizerOf<rules::Sgd>;
using AdamW = OptimizerOf<rules::AdamW>;
using Lars = OptimizerOf<rules::Lars>;
using Lamb = OptimizerOf<rules::Lamb>;
using TvLars = OptimizerOf<rules::TvLars>;

extern template class OptimizerOf<rules::Sgd>;
extern template class OptimizerOf<rules::AdamW>;
extern template class OptimizerOf<rules::Lars>;
extern template class OptimizerOf<rules::Lamb>;
extern template class OptimizerOf<rules::TvLars>;

}  // namespace lamina
