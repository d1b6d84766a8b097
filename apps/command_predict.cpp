#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <utility>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/output.h"
#include "core/autograd.h"
#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/note.h"
#include "core/base/table.h"
#include "core/ops/ops.h"
#include "data/images/image.h"
#include "train/load_model.h"

namespace lamina::app {
namespace {

struct PredictCommand {
  std::string file;
  std::vector<std::string> images;
  train::ModelOptions model;
  int top = 5;
  std::optional<int> size;
  std::int64_t max_pixels = data::max_pixels;
  bool json = false;
};

struct Prediction {
  std::string file;
  std::vector<float> logits, probabilities;

  std::size_t best() const {
    return static_cast<std::size_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
};

// u8 [H, W, C] -> f32 [1, H, W, C], normalised as in training.
Tensor to_input(const Tensor& image, const WeightInfo& info, Device device) {
  Tensor input = Tensor::empty({1, image.size(0), image.size(1), image.size(2)}, {.device = device});
  const Crop whole;
  backend_for(device).crop_images(image.view(input.shape()).to(device), {&whole, 1}, info.mean, info.std,
                                  input);
  return input;
}

std::string pixels_text(std::int64_t height, std::int64_t width) {
  return fmt::format("{}x{}", height, width);
}

// Images as in training, unless the command says otherwise; says once where they differ from it.
class Preparation {
 public:
  Preparation(const PredictCommand& command, const train::LoadedModel& model)
      : info_(model.info),
        channels_(model.channels),
        max_pixels_(command.max_pixels),
        is_told_(command.size.has_value()),
        size_(command.size.value_or(train::training_size(model.info))) {
    if (info_.image_pixels.size() != 2 && !is_told_)
      note_once(
          fmt::format("{} does not say what size its images had in training; these are taken as they are "
                      "(--size N resizes and crops them)",
                      model.file.string()));
  }

  Tensor image(const std::string& path) {
    const Tensor decoded = data::decode_image(path, channels_, max_pixels_);
    const Tensor result = size_ > 0 ? data::resize_image(decoded, size_, max_pixels_) : decoded;
    note_difference(path, decoded, result);
    return result;
  }

 private:
  void note_once(const std::string& text) {
    if (!std::exchange(noted_, true)) note("{}", text);
  }
  // Training that resized its images says that any size is welcome.
  void note_difference(const std::string& path, const Tensor& decoded, const Tensor& result) {
    if (info_.image_pixels.size() != 2) return;
    const std::string trained = pixels_text(info_.image_pixels[0], info_.image_pixels[1]);
    const std::string own = pixels_text(decoded.size(0), decoded.size(1)),
                      taken = pixels_text(result.size(0), result.size(1));
    if (taken != trained) {
      note_once(fmt::format("{}: taken as {}, but the network was trained on images of {} (height x width)",
                            path, taken, trained));
    } else if (own != taken && !is_told_ && info_.image_size.value_or(0) == 0) {
      note_once(
          fmt::format("{}: {} pixels (height x width); resized and cropped to {}, the size of the training's "
                      "images, as are all others (--size 0 keeps their size)",
                      path, own, trained));
    }
  }

  const WeightInfo& info_;
  int channels_;
  std::int64_t max_pixels_;
  bool is_told_;
  int size_;  // 0: as they are
  bool noted_ = false;
};

Prediction predict(train::LoadedModel& model, const std::string& path, Preparation& preparation,
                   Device device) {
  const Tensor image = preparation.image(path);
  const Tensor logits = model.net(to_input(image, model.info, device));
  Prediction prediction{path, logits.to_vector<float>(), softmax(logits).to_vector<float>()};
  const bool finite = std::all_of(prediction.logits.begin(), prediction.logits.end(),
                                  [](float x) { return std::isfinite(x); });
  check(finite, "predict {}: {} gives logits that are not finite", path, model.file.string());
  return prediction;
}

struct Failure {
  std::string file, error;
};

void print_json(const std::vector<Prediction>& predictions, const std::vector<Failure>& failures,
                const WeightInfo& info) {
  nlohmann::json list = nlohmann::json::array();
  for (const Prediction& p : predictions) {
    list.push_back({{"file", p.file},
                    {"label", info.classes[p.best()]},
                    {"logits", p.logits},
                    {"probabilities", p.probabilities}});
  }
  nlohmann::json json{
      {"predictions", list}, {"classes", info.classes}, {"mean", info.mean}, {"std", info.std}};
  for (const Failure& failure : failures)
    json["failed"].push_back({{"file", failure.file}, {"error", failure.error}});
  print_result_json(json);
}

void print_text(const std::vector<Prediction>& predictions, const WeightInfo& info, int top) {
  Table table({"file", "class", "probability", "logit"});
  for (const Prediction& p : predictions) {
    std::vector<std::size_t> order(p.logits.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return p.logits[a] > p.logits[b]; });
    const std::size_t shown = std::min(order.size(), static_cast<std::size_t>(top));
    for (std::size_t i = 0; i < shown; ++i) {
      table.add({i == 0 ? p.file : "", info.classes[order[i]],
                 fmt::format("{:.2f} %", 100 * p.probabilities[order[i]]),
                 fmt::format("{:.4f}", p.logits[order[i]])});
    }
  }
  print_result("{}", table.str());
}

int run_predict(const PredictCommand& command) {
  train::LoadedModel model = train::load_model(command.file, command.model);
  const Device device = model.net.options().device;
  const NoGrad no_grad;
  model.net.eval();
  Preparation preparation(command, model);
  std::vector<Prediction> predictions;
  std::vector<Failure> failures;  // one damaged image shall not take the results of the others with it
  for (const std::string& image : command.images) {
    try {
      predictions.push_back(predict(model, image, preparation, device));
    } catch (const Error& error) {
      failures.push_back({image, error.what()});
      print_note(stderr, "lamina: {}\n", error.what());
    }
  }
  if (command.json) {
    print_json(predictions, failures, model.info);
  } else if (!predictions.empty()) {
    print_text(predictions, model.info, command.top);
  }
  if (!failures.empty() && command.images.size() > 1)
    print_note(stderr, "lamina: predict: {} of {} images could not be predicted\n", failures.size(),
               command.images.size());
  return failures.empty() ? 0 : 1;
}

}  // namespace

void add_predict_command(const Command& program) {
  const Command predict = program.add("predict", "Class probabilities and logits for image files");
  auto command = std::make_shared<PredictCommand>();
  predict.argument("file", command->file, "RUN|FILE");
  predict.argument("images", command->images, "JPEG, PNG, BMP, TGA, PGM or PPM files");
  predict.option("--top", command->top, "classes shown per image", at_least(1));
  predict.option("--size", command->size,
                 "resize and crop images to a square; 0: keep their size; default: as in training",
                 between(0, data::most_image_size));
  predict.option("--max-pixels", command->max_pixels, "refuse larger images, before memory is spent on them",
                 at_least(1));
  add_options(predict, command->model);
  predict.option("--json", command->json, "one JSON object on standard output, nothing else");
  predict.runs([command] { return run_predict(*command); });
}

}  // namespace lamina::app
