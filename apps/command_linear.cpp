// `lamina linear`: a linear probe on the features of a frozen backbone; with --as-official one that is
// trained as the public TVLARS code does.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/commands.h"
#include "apps/feature_command.h"
#include "apps/output.h"
#include "core/base/error.h"
#include "core/base/note.h"
#include "train/linear_probe.h"
#include "train/official_probe.h"

namespace lamina::app {
namespace {

struct LinearCommand : FeatureCommand {
  std::optional<double> l2;
  LinearProbeOptions probe;
  bool as_official = false;
  OfficialProbeOptions official;
};

// What counts for one of the two probes alone.
constexpr const char* official_flags[] = {"--training-mode", "--test-crops", "--cosine-by-iteration",
                                          "--one-shard", "--epochs"};
constexpr const char* exact_flags[] = {"--l2", "--max-iterations"};

void check_flags(const Command& parser, bool as_official) {
  if (as_official) {
    for (const char* flag : exact_flags)
      if (parser.given(flag))
        fail_usage("{} does nothing with --as-official, whose probe is trained by SGD", flag);
    return;
  }
  for (const char* flag : official_flags)
    if (parser.given(flag)) fail_usage("{} does nothing without --as-official", flag);
}

// On standard error, whatever the form of the result.
void note_unconverged(const LinearCommand& command, const LinearFit& fit, const char* data) {
  if (fit.converged) return;
  note(
      "with l2 {} on {} the gradient is {:.1e} after {} iterations, above {:.0e}; it was stopped by {} "
      "(--max-iterations {})",
      fit.l2, data, fit.gradient, fit.iterations, command.probe.gradient_bound, fit.stopped_by,
      command.probe.max_iterations);
}

int run_probe(LinearCommand command) {
  train::FeatureSource source = open_source(command);
  const train::SplitFeatures features = features_of(command, source);
  command.probe.l2 = command.l2;
  command.probe.seed = command.seed;
  const LinearProbe probe = linear_probe(features.train, features.test, command.probe);
  for (const LinearFit& fit : probe.held_out) note_unconverged(command, fit, "nine tenths");
  note_unconverged(command, probe.fit, "all training images");
  if (command.json) {
    nlohmann::json json = describe(command, source);
    json.update(train::to_json(probe, command.probe));
    print_result_json(json);
    return 0;
  }
  print_result("{}:\ntop-1 {:.2f} %, top-5 {:.2f} % of {} test images, {:.2f} % of the training images\n",
               title(command, source), 100 * probe.top1, 100 * probe.top5, probe.samples,
               100 * probe.fit.accuracy);
  print_result("logistic regression on {} features, {} classes: l2 {}, {} iterations, gradient {:.1e}, {}\n",
               probe.width, probe.classes, probe.fit.l2, probe.fit.iterations, probe.fit.gradient,
               probe.fit.converged ? "converged" : "not converged");
  return 0;
}

std::string describe(const OfficialProbeOptions& options) {
  return fmt::format("backbone in {} mode{}, test images {}, cosine {}, {} of the test images",
                     options.training_mode ? "training" : "evaluation",
                     options.training_mode ? " (its running statistics move)" : "",
                     options.test_crops ? "cropped and mirrored at random" : "as they are",
                     options.cosine_by_iteration ? "with a period of 200 iterations" : "over all epochs",
                     options.one_shard ? "a quarter" : "all");
}

int run_official(LinearCommand command) {
  const train::FeatureSource source = open_source(command);
  OfficialProbeOptions& options = command.official;
  options.seed = command.seed;
  options.batch = command.batch;
  options.workers = command.workers;
  options.on_epoch = [&](int epoch, double loss) {
    print_note(stderr, "epoch {} of {}: loss {:.4f}\n", epoch, options.epochs, loss);
  };
  const OfficialProbe probe = train::official_probe_of(source, options);
  if (command.json) {
    nlohmann::json json = describe(command, source);
    json.update(train::to_json(probe, options));
    print_result_json(json);
    return 0;
  }
  print_result("{}:\ntop-1 {:.2f} %, top-5 {:.2f} % of {} test images, as the official code: {}; {} epochs\n",
               title(command, source), 100 * probe.top1, 100 * probe.top5, probe.samples, describe(options),
               options.epochs);
  return 0;
}

void add_official_options(const Command& parser, OfficialProbeOptions& options) {
  parser.option("--training-mode", options.training_mode,
                "as official: the backbone normalises by each batch's statistics; its running ones move");
  parser.option("--test-crops", options.test_crops, "as official: test images are cropped at random, too");
  parser.option("--cosine-by-iteration", options.cosine_by_iteration,
                "as official: the learning rate swings with a period of 200 iterations");
  parser.option("--one-shard", options.one_shard, "as official: only every fourth test image");
  parser.option("--epochs", options.epochs, "as official: of the last layer", between(1, 1e6));
}

}  // namespace

void add_linear_command(const Command& program) {
  const Command linear =
      program.add("linear", "Accuracy of a linear probe on the features of a frozen backbone");
  auto command = std::make_shared<LinearCommand>();
  command->name = "linear";
  command->guesses_statistics = false;
  add_options(linear, *command, ", and of the tenth that is held out; as official: of all that is random");
  linear.option("--l2", command->l2, "weight of the penalty; default: the best on a held-out tenth",
                NumberRange{.least = 0, .most = 1e9, .least_excluded = true});
  linear.option("--max-iterations", command->probe.max_iterations, "of each fit", between(1, 1e9));
  linear.option("--as-official", command->as_official,
                "train a last layer as the public TVLARS code does; each part of that can be switched off");
  add_official_options(linear, command->official);
  linear.option("--json", command->json, "one JSON object on standard output, nothing else");
  linear.runs([command, linear] {
    check_flags(linear, command->as_official);
    return command->as_official ? run_official(*command) : run_probe(*command);
  });
}

}  // namespace lamina::app
