// The training loop: what README.md shows, what `lamina train` and studies run.
//
//   ResNet net = resnet20({.classes = 10});
//   Classification objective(net);
//   TvLars optimizer(net.parameters(), {.lr = 2, .lambda = 1e-2});
//   data::Loader loader(data.train, {.batch = 1024, .augment = data::standard(), .drop_last = true});
//   Trainer trainer(objective, optimizer, loader, {.epochs = 20, .directory = "runs/mine"});
//   trainer.test(data.test).run();
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/error.h"
#include "core/memory/allocator.h"
#include "data/loader.h"
#include "layers/weights.h"
#include "optim/optimizer.h"
#include "train/evaluation.h"
#include "train/metrics.h"
#include "train/objective.h"
#include "train/observer.h"
#include "train/observers.h"
#include "train/run_ranks.h"
#include "train/sharpness_aware.h"
#include "train/weight_average.h"

namespace lamina {

namespace train {
class RunDirectory;
class RunLogs;
class TrainingStep;
struct Checkpoint;
}  // namespace train

// The loss, of a step or of what was measured after an epoch, a gradient or a trust ratio stopped being
// finite: nothing is wrong but the options.
class Diverged : public Error {
 public:
  using Error::Error;
};

enum class Keep { last, best };

struct TrainerOptions {
  std::int64_t epochs = 1;  // passes over the loader's split
  // The run directory (docs/files.md). If a run is there it goes on, to the bits of a run that was not
  // stopped; with more epochs than before, if its schedule and knobs do not depend on their number
  // (train/longer_run.h). Empty: nothing is written.
  std::filesystem::path directory = {};
  Keep keep = Keep::last;       // which epoch's weights are the final ones; best: on the validation split
  std::int64_t patience = 0;    // epochs without a better validation that end the run; 0: none do
  std::int64_t test_every = 1;  // epochs; 0: only after the last
  std::int64_t checkpoint_every = 1;  // epochs; 0: only at the end
  std::int64_t checkpoint_steps = 0;  // also every so many steps; 0: never
  // The newest ones stay, so many of them: 2 or more, since the last one may turn out to be damaged.
  std::int64_t keep_checkpoints = 2;
  // Decay of an average of the weights (train/weight_average.h), below 1. It is what is measured, chosen
  // among epochs and written at the end, and what the module has after the last epoch. 0: the weights as they
  // are.
  double ema = 0;
  // Gradients at w + ε (train/sharpness_aware.h), two for each step; losses and metrics of steps are those at
  // w. Observers see the gradients that the optimizer does; in part() the weights may be w + ε. Unset: none.
  std::optional<SamOptions> sharpness_aware = {};
  std::int64_t test_batch = 0;  // images at once; 0: as many as in training, 500 at most
  int test_workers = 2;         // threads that prepare them
  bool capture = true;          // on a GPU: steps as a graph (core/captured.h)
  // Those that train together, each with a Trainer of the same parts and options in its own process; null:
  // this process alone. The loader's batches stay what they are: each rank computes its share of every one,
  // in parts of at most micro_batch samples, with the loader's workers. Rank 0 alone has the directory; what
  // it has measured, saved and read is that of all ranks, which stop after the same step when a signal comes
  // to any of them. Observers of parts see those of their rank. On a
  // GPU each rank has one of its own.
  Collective* ranks = nullptr;
  // Of several ranks: batch normalisation with the statistics of the whole batch instead of each rank's
  // share, which is then not parted any further.
  bool sync_batch_norm = false;
  WeightInfo weights = {};  // what weight files say; what is empty is filled in where it is known
  // What config.json holds, a JSON object with the run's "options"; default: what the trainer knows of its
  // parts.
  std::string config = {};
};

struct TrainingOutcome {
  bool finished = false;
  int signal = 0;  // that stopped it; if that was before the first step (of `position`), nothing is left
  TrainingPosition position;
};

class Trainer {
 public:
  // The objective and the optimizer, which has taken no step yet, must outlive it. run() throws UsageError
  // unless the optimizer has just those parameters of the objective's module that are not frozen. Throws
  // UsageError where the objective or sharpness_aware cannot do with the loader's batches.
  Trainer(Objective& objective, Optimizer& optimizer, data::Loader loader, TrainerOptions options = {});
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // To be called before run(); each returns the trainer.
  Trainer& observe(Observer& observer);        // it must outlive the trainer; called in the order given
  Trainer& validate(data::Split split);        // after every epoch; Keep::best and patience go by it
  Trainer& test(data::Split split);            // as TrainerOptions::test_every says
  Trainer& in(train::RunDirectory directory);  // one that is open, and locked, instead of a path

  // Trains to the end, or until Ctrl-C or another of the signals of core/base/interrupt.h. Either way
  // everything is saved when it returns. Throws UsageError for options that make no sense, such as parts of a
  // batch that give a batch normalisation one value; Diverged; OutOfMemory, in the first step with what would
  // fit; Error if the directory holds a run of another recipe, a file cannot be written, or an observer
  // throws. Before the first step that leaves no directory that was not there. Once only: another trainer
  // goes on. The module is put into training mode, gradients start from zero. A program with several trainers
  // looks at TrainingOutcome::signal: Ctrl-C stops the one that is running.
  TrainingOutcome run();

  // For observers: run() then ends after this step (on a GPU after those that have been handed out),
  // unfinished as by a signal, but with signal 0.
  void stop() { stopped_ = true; }

  const TrainingPosition& position() const { return position_; }

 private:
  void check_options() const;
  void open();
  void resume(const train::Checkpoint& checkpoint);
  void check_optimizer() const;
  void check_ranks() const;
  void start();
  void begin();
  void train();
  void train_epoch();
  bool results_due() const;
  void record_results(double seconds);
  void record_step(TrainedStep step);
  bool finish_epoch();  // measures and records it; false: interrupted
  bool is_better_epoch(const EpochResult& result) const;
  bool measure(const data::Split& split, Metrics& metrics);
  EvaluateOptions evaluate_options() const;
  std::int64_t test_batch() const;
  void record_epoch(const EpochResult& result, bool better);
  void keep_best();
  void save();
  void save_what_is_known();
  void take_final_weights();
  void save_final_weights() const;
  bool save_evaluation();  // false: interrupted
  bool finish();           // measures and leaves the final weights; false: interrupted
  void remove_unstarted();
  void check_observers();
  std::string last_checkpoint() const;
  [[noreturn]] void fail_unsaved();
  [[noreturn]] void fail_diverged(const std::string& symptom);
  [[noreturn]] void fail_measured(const data::Split& split, double loss);
  [[noreturn]] void fail_out_of_memory(const OutOfMemory& error);

  bool finished() const;
  bool out_of_patience() const;
  bool interrupted() const;
  void agree_to_stop();
  bool test_due(bool better) const;
  Device device() const { return optimizer_.arena().device(); }
  const char* part_option() const;  // that says how large parts of a batch are

  Objective& objective_;
  Optimizer& optimizer_;
  TrainerOptions options_;
  train::RunRanks ranks_;
  data::Loader loader_;  // of this rank's share
  data::Split valid_, test_;
  train::Observers observers_;
  std::unique_ptr<train::RunDirectory> directory_;
  std::unique_ptr<TrainingRun> run_;
  std::unique_ptr<train::RunLogs> logs_;
  std::unique_ptr<train::TrainingStep> step_;
  std::unique_ptr<WeightAverage> average_;  // null: none
  std::unique_ptr<Evaluator> evaluator_;    // made at the first evaluation
  TensorFile best_;                         // weights of the best epoch, where they are kept
  TrainingPosition position_;
  std::vector<std::int64_t> checkpoints_;  // steps of the last ones that are known or taken to be whole
  bool is_longer_ = false;                 // than the run that the directory holds was to be
  bool begun_ = false;                     // has taken a step here
  bool saved_ = false;                     // the newest checkpoint is of this position
  bool within_step_ = false;               // parts of a batch have been computed, but not all
  bool unsaved_ = false;                   // an observer could not save; no checkpoint may come after that
  bool stopped_ = false;
  double busy_seconds_ = 0;  // of this epoch, training and not waiting for other ranks
  int agreed_signal_ = 0;    // of several ranks, after a step; -1: an observer stops the run
};

}  // namespace lamina
