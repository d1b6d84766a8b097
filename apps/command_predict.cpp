#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "apps/commands.h"
#include "apps/options.h"
#include "apps/output.h"
#include "core/autograd.h"
#include "core/backend.h"
#include "core/base/error.h"
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
  int top = 5, size = 0;
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

Prediction predict(train::LoadedModel& model, const std::string& path, int size, Device device) {
  Tensor image = data::decode_image(path, model.channels);
  if (size > 0) image = data::resize_image(image, size);
  const Tensor logits = model.net(to_input(image, model.info, device));
  Prediction prediction{path, logits.to_vector<float>(), softmax(logits).to_vector<float>()};
  const bool finite = std::all_of(prediction.logits.begin(), prediction.logits.end(),
                                  [](float x) { return std::isfinite(x); });
  check(finite, "predict {}: {} gives logits that are not finite", path, model.file.string());
  return prediction;
}

void print_json(const std::vector<Prediction>& predictions, const WeightInfo& info) {
  nlohmann::json list = nlohmann::json::array();
  for (const Prediction& p : predictions) {
    list.push_back({{"file", p.file},
                    {"label", info.classes[p.best()]},
                    {"logits", p.logits},
                    {"probabilities", p.probabilities}});
  }
  const nlohmann::json json{
      {"predictions", list}, {"classes", info.classes}, {"mean", info.mean}, {"std", info.std}};
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
  if (command.top < 1) fail_usage("--top {}: expected at least 1", command.top);
  if (command.size < 0) fail_usage("--size {}: expected at least 1, or 0 to keep the size", command.size);
  train::LoadedModel model = train::load_model(command.file, command.model);
  const Device device = model.net.options().device;
  const NoGrad no_grad;
  model.net.eval();
  std::vector<Prediction> predictions;
  for (const std::string& image : command.images) {
    predictions.push_back(predict(model, image, command.size, device));
  }
  if (command.json) {
    print_json(predictions, model.info);
  } else {
    print_text(predictions, model.info, command.top);
  }
  return 0;
}

}  // namespace

void add_predict_command(const Command& program) {
  const Command predict = program.add("predict", "Class probabilities and logits for image files");
  auto command = std::make_shared<PredictCommand>();
  predict.argument("file", command->file, "RUN|FILE");
  predict.argument("images", command->images, "JPEG, PNG, BMP, TGA, PGM or PPM files");
  predict.option("--top", command->top, "classes shown per image", at_least(1));
  predict.option("--size", command->size, "resize and crop images to a square; 0: keep their size",
                 between(0, 65536));
  add_options(predict, command->model);
  predict.option("--json", command->json, "one JSON object on standard output, nothing else");
  predict.runs([command] { return run_predict(*command); });
}

}  // namespace lamina::app
