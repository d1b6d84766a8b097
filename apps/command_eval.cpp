#include <fmt/ranges.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/output.h"
#include "core/autograd.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/note.h"
#include "core/base/table.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "train/evaluation_file.h"
#include "train/load_model.h"
#include "train/match_classes.h"
#include "train/memory_advice.h"
#include "train/recipe.h"
#include "train/run_config.h"
#include "train/run_directory.h"

namespace lamina::app {
namespace {

constexpr std::int64_t most_listed_classes = 20;  // more would not fit a screen

struct EvalCommand {
  std::string file, data, split = "test";
  train::ModelOptions model;
  std::int64_t batch = 500, limit = 0;
  int workers = 2;
  std::optional<int> image_size;
  bool by_position = false, skip_damaged = false, json = false;
  std::optional<std::int64_t> max_pixels;
  // The run's own data, as they were in training; unknown of others.
  data::DataIdentity trained_on;
};

// `lamina eval RUN` without --data: what the run was trained on.
void take_data_of_run(EvalCommand& command) {
  if (!train::RunDirectory::holds_run(command.file)) {
    check(is_there(command.file), "eval: {}: there is no such file or run directory", command.file);
    fail_usage("eval: --data NAME[:DIR] is missing: what to test {} on", command.file);
  }
  const auto run = train::RunDirectory::open(command.file);
  const std::string source = run.file("config.json").string();
  const nlohmann::json config = run.read_config();
  const train::Recipe trained = train::recipe_from_json(config.value("options", nlohmann::json()), source);
  command.data = trained.data;
  if (!command.image_size && data::reads_image_files(trained.data)) command.image_size = trained.image_size;
  command.skip_damaged = command.skip_damaged || trained.skip_damaged;
  if (!command.max_pixels) command.max_pixels = trained.max_pixels;
  command.trained_on = train::data_of_run(config, source);
}

// As in training, unless the command says otherwise.
int image_size_for(const EvalCommand& command, const WeightInfo& info) {
  const int trained = info.image_size.value_or(0);
  if (command.image_size || trained == 0 || !data::reads_image_files(command.data))
    return command.image_size.value_or(0);
  note("images are resized and cropped to {0}x{0}, as in training; --image-size 0 keeps their size", trained);
  return trained;
}

std::string pixels_text(const std::vector<int>& pixels) { return fmt::format("{}", fmt::join(pixels, "x")); }

// Where these images differ from what the network was trained on.
void note_differences(const EvalCommand& command, const train::LoadedModel& model,
                      const data::Dataset& data) {
  const WeightInfo& info = model.info;
  const std::vector<std::string> differences = data::data_differences(command.trained_on, data.identity);
  const bool is_own = !command.trained_on.train.digest.empty();  // whose configuration tells more
  if (const std::string text = train::note_on_data(model, data.identity); !is_own && !text.empty())
    note("{}", text);
  if (!differences.empty())
    note("the data are not what they were in training (there):\n  {}", fmt::join(differences, "\n  "));
  const std::vector<int> pixels{static_cast<int>(data.test.height()), static_cast<int>(data.test.width())};
  if (!info.image_pixels.empty() && info.image_pixels != pixels)
    note("the network was trained on images of {}, these are of {} (height x width)",
         pixels_text(info.image_pixels), pixels_text(pixels));
  const bool told = !command.model.mean.empty() || !command.model.std.empty();
  if (!told &&
      (data::statistics_differ(info.mean, data.mean()) || data::statistics_differ(info.std, data.std())))
    note(
        "images are normalised as the weights want it, with mean {:.3f} and deviation {:.3f}; those "
        "of these data are {:.3f} and {:.3f}",
        fmt::join(info.mean, " "), fmt::join(info.std, " "), fmt::join(data.mean(), " "),
        fmt::join(data.std(), " "));
}

// With labels that are numbers of the model's outputs, whose names `model` has then.
data::Split open_split(const EvalCommand& command, train::LoadedModel& model) {
  data::Dataset data =
      data::open(command.data, {.limit_train = command.split == "train" ? command.limit : 0,
                                .limit_test = command.split == "test" ? command.limit : 0,
                                .image_size = image_size_for(command, model.info),
                                .skip_damaged = command.skip_damaged,
                                .max_pixels = command.max_pixels.value_or(data::max_pixels)});
  data.name = command.data;  // with the folder, for messages
  data::Split split = command.split == "train" ? data.train : data.test;
  check(split.size() > 0, "eval: {} has no {} images", data.name, command.split);
  check(split.channels() == model.channels, "eval: the images of {} have {} channels, {} wants {}", data.name,
        split.channels(), model.file.string(), model.channels);
  note_differences(command, model, data);
  const train::ClassMatch match = train::match_classes(model, data, command.by_position);
  if (!match.note.empty()) note("{}", match.note);
  model.info.classes = match.names;
  split = train::with_labels_of(match, split);
  split.mean = model.info.mean;  // as in training, whatever part of the data set is used here
  split.std = model.info.std;
  return split;
}

Evaluation evaluate_split(const EvalCommand& command, ResNet& net, const data::Split& split) {
  const Device device = net.options().device;
  try {
    return evaluate(net, split, {.batch = command.batch, .workers = command.workers, .device = device});
  } catch (const OutOfMemory& error) {
    const data::Loader loader = data::evaluation_loader(split, command.batch, command.workers);
    const std::int64_t batch = loader.options().batch;
    const auto run = [&](std::int64_t images) {
      const NoGrad no_grad;
      const EvalMode eval_mode(net);
      const train::BlankPart blank(loader, device, images);
      net(blank.part.images());
    };
    throw train::explain(error, {.device = device,
                                 .request = fmt::format("--batch {}", batch),
                                 .option = "--batch",
                                 .images = batch,
                                 .batch = batch,
                                 .run = run});
  }
}

void print_json(const EvalCommand& command, const train::LoadedModel& model, const Evaluation& result) {
  nlohmann::json json = train::evaluation_json(result, model.info.classes);
  json["file"] = model.file.string();
  json["model"] = model.info.model;
  json["data"] = command.data;
  json["split"] = command.split;
  print_result_json_text(train::text_by_elements(json));
}

// "ship (8.1 %)"
std::string most_confused(const ConfusionMatrix& confusion, std::int64_t label,
                          const std::vector<std::string>& classes) {
  const std::int64_t with = confusion.most_confused_with(label);
  if (with < 0) return "";
  const double share =
      static_cast<double>(confusion.count(label, with)) / static_cast<double>(confusion.samples(label));
  return fmt::format("{} ({:.1f} %)", classes[static_cast<std::size_t>(with)], 100 * share);
}

std::string class_table(const ConfusionMatrix& confusion, const std::vector<std::string>& classes) {
  Table table({"class", "images", "accuracy %", "most often taken for"});
  for (std::int64_t c = 0; c < confusion.classes(); ++c) {
    table.add({classes[static_cast<std::size_t>(c)], format_count(confusion.samples(c)),
               confusion.samples(c) > 0 ? fmt::format("{:.2f}", 100 * confusion.accuracy(c)) : "-",
               most_confused(confusion, c, classes)});
  }
  return table.str();
}

void print_text(const EvalCommand& command, const train::LoadedModel& model, const Evaluation& result) {
  print_result("{} ({}) on {} {} images of {}:\naccuracy {:.2f} %, top-5 {:.2f} %, loss {:.4f}\n",
               model.file.string(), model.info.model, format_count(result.samples), command.split,
               command.data, 100 * result.accuracy, 100 * result.top5, result.loss);
  if (result.confusion.classes() <= most_listed_classes)
    print_result("\n{}", class_table(result.confusion, model.info.classes));
}

int run_eval(EvalCommand command) {
  if (command.split != "test" && command.split != "train") {
    fail_usage("--split {}: expected test or train", command.split);
  }
  if (command.data.empty()) take_data_of_run(command);
  train::LoadedModel model = train::load_model(command.file, command.model);
  const data::Split split = open_split(command, model);
  const Evaluation result = evaluate_split(command, model.net, split);
  check(std::isfinite(result.loss), "eval: {}: the loss is {}: the weights are of no use",
        model.file.string(), result.loss);
  (command.json ? print_json : print_text)(command, model, result);
  return 0;
}

}  // namespace

void add_eval_command(const Command& program) {
  const Command eval =
      program.add("eval", "Accuracy and loss of a run, checkpoint or weight file, also of each class");
  auto command = std::make_shared<EvalCommand>();
  eval.argument("file", command->file, "RUN|FILE");
  eval.option("--data", command->data, "NAME[:DIR]; default: what the run was trained on");
  eval.option("--split", command->split, "test or train");
  eval.option("--limit", command->limit, "use only N images; 0: all", at_least(0));
  eval.option("--batch", command->batch, "images at once; changes the result by rounding at most",
              between(1, 1e9));
  eval.option("--workers", command->workers, "threads that prepare batches", between(0, data::most_workers));
  add_image_options(eval, command->image_size, command->skip_damaged, command->max_pixels);
  eval.option("--classes-by-position", command->by_position,
              "take the data's classes for the model's in their order, whatever their names");
  add_options(eval, command->model);
  eval.option("--json", command->json, "one JSON object on standard output, nothing else");
  eval.runs([command] { return run_eval(*command); });
}

}  // namespace lamina::app
