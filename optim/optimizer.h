// Optimizers. The formula is a rule (optim/rules), the traversal the engine (optim/engine.h), the memory the
// arena (optim/arena.h); this is what a training loop holds:
//
//   TvLars optimizer(net.parameters(), {.lr = 2, .weight_decay = 5e-4, .lambda = 1e-3});
//   optimizer.zero_grad();  loss.backward();  optimizer.step();
#pragma once

#include <fmt/format.h>
#include <cstdint>
#include <deque>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/safetensors.h"
#include "optim/arena.h"
#include "optim/groups.h"
#include "optim/rules/adamw.h"
#include "optim/rules/lamb.h"
#include "optim/rules/lars.h"
#include "optim/rules/sgd.h"
#include "optim/rules/tvlars.h"
#include "optim/schedule.h"

namespace lamina {

namespace engine {
struct CudaState;  // optim/engine_cuda.h
struct Request;    // optim/engine_common.h
}  // namespace engine

inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

// One tensor in one step; norms belong to the moment before it.
struct LayerReport {
  double weight_norm = not_measured;  // ||w||; of layers that adapt, of all while tracing
  double grad_norm = not_measured;    // ||g|| from the backward pass; unless tracing and finite check are off
  double update_norm = not_measured;  // ||w_after - w_before||; while tracing
  double trust = 1;                   // the trust ratio applied
  double ratio() const { return weight_norm / grad_norm; }
};

struct StepReport {
  std::int64_t step = 0;  // from 1
  double lr = 0;
  double phi = 1;                   // TVLARS' phi(t); 1 for rules without one
  double grad_norm = not_measured;  // of the whole model, where every layer's is measured
  std::vector<LayerReport> layers;  // in the order of Optimizer::segments()
};

// Trust ratios of the tensors that adapt; prints as "trust 8.1e-04 (fc.weight) to 2.3e-02 (conv1.weight)".
struct TrustRatios {
  std::vector<std::pair<std::string, double>> layers;
  std::string str() const;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  void zero_grad() { arena_.zero_grad(); }

  // One update from the gradients, which stay as they are. Throws Error naming the step and the first tensor
  // whose gradient or weights are not finite; parameters and state are then as before the call. On a GPU the
  // host learns of it when the report is read, and steps in between change nothing.
  void step() { prepare_step(), apply_step(); }

  // The two halves of a step that is recorded (core/recorded.h): prepare_step() before each run hands over
  // what differs from step to step, apply_step() belongs into the recorded work. Tracing is recorded as it is
  // set then.
  void prepare_step();
  void apply_step();

  // The learning rate of the next step: the schedule's where there is one, else the last one set.
  double lr() const;
  void set_lr(double lr) { lr_ = lr, schedule_.reset(); }
  void set_schedule(Schedule schedule) { schedule_ = std::move(schedule); }
  std::int64_t steps() const { return steps_; }  // taken so far

  // The last step. Tracing measures every norm of every tensor at each step. On a GPU this waits for it.
  const StepReport& report() const;
  // Those of all steps since the last call, the oldest first: of the newest 64 at most. What step() throws
  // comes with the call after the one that gave the steps before it.
  std::vector<StepReport> take_reports();
  static constexpr std::int64_t reports_kept = 64;
  void set_tracing(bool on) { tracing_ = on; }
  TrustRatios trust_ratios() const;

  // On by default. Off: non-finite gradients pass into the weights, and rules without a layer-wise ratio save
  // one reading of the gradients.
  void set_finite_check(bool on) { finite_check_ = on; }

  const std::vector<Segment>& segments() const { return arena_.segments(); }
  const std::vector<LayerSettings>& settings() const { return settings_; }
  const Arena& arena() const { return arena_; }
  virtual std::string name() const = 0;  // "tvlars"
  virtual std::vector<std::pair<std::string, std::string>> knobs()
      const = 0;  // every option by name, as text
  std::string group_table() const { return lamina::group_table(segments(), settings_); }

  // State for checkpoints and replay: adds `state.<slot>.<parameter>` and `state.step` (i32) to the file;
  // load_state throws Error, and changes nothing, if one is missing or differs in shape or dtype.
  void save_state(TensorFile& file) const;
  void load_state(const TensorFile& file);

 protected:
  Optimizer(const ParamList& params, const std::vector<std::string>& slots, double lr);
  virtual void prepare(const Step& step, StepReport& report) = 0;  // all of the report but norms and ratios
  virtual void apply(const Step& step, StepReport& report) = 0;    // on a GPU the report stays as it is

  Arena arena_;
  std::vector<LayerSettings> settings_;
  bool tracing_ = false;
  bool finite_check_ = true;
  std::shared_ptr<engine::CudaState> cuda_;  // where the parameters are on a GPU

 private:
  void add(StepReport report) const;
  void read_reports() const;  // from a GPU
  void throw_failure() const;

  double lr_;
  double peak_lr_;
  std::optional<Schedule> schedule_;
  Step step_;        // that was prepared last
  StepReport next_;  // its report
  // What a GPU has done becomes known when it is read:
  mutable std::int64_t steps_ = 0;
  mutable std::deque<StepReport> reports_;  // never empty
  mutable std::size_t untaken_ = 0;         // of them, at the end
  mutable std::exception_ptr failure_;      // of the step after the last report
};

// The optimizer of a rule. Options are checked at construction: UsageError names the offending one.
// For a rule of one's own, include optim/engine.h, which holds the definitions.
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

template <>
struct fmt::formatter<lamina::TrustRatios> : fmt::formatter<std::string> {
  auto format(const lamina::TrustRatios& ratios, fmt::format_context& context) const {
    return fmt::formatter<std::string>::format(ratios.str(), context);
  }
};
