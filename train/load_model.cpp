#include "train/load_model.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/json_number.h"
#include "core/base/note.h"
#include "core/base/option_name.h"
#include "data/dataset.h"
#include "layers/foreign_weights.h"
#include "train/checkpoint.h"
#include "train/run_directory.h"

namespace lamina::train {
namespace {

namespace fs = std::filesystem;

// torchvision's models are trained on images normalised with these.
const std::vector<float> imagenet_mean{0.485f, 0.456f, 0.406f}, imagenet_std{0.229f, 0.224f, 0.225f};

// The option, else the file's own word, else what its names and shapes suggest.
std::string choose(const std::optional<std::string>& option, const std::string& said,
                   const std::string& probable) {
  return option ? *option : !said.empty() ? said : probable;
}

int input_channels(const TensorFile& file) {
  const Tensor* stem = file.find("conv1.weight");  // [out, in, kh, kw]
  return stem != nullptr && stem->rank() == 4 ? static_cast<int>(stem->size(1)) : 3;
}

// What another program means by words that are none of this library's is not known.
void forget_foreign_words(WeightInfo& info, std::vector<std::string>& notes) {
  const auto forget = [&](const char* key, std::string& word, const std::vector<std::string>& known) {
    if (word.empty() || std::find(known.begin(), known.end(), word) != known.end()) return;
    notes.push_back(fmt::format("\"{}\" in the metadata is \"{}\", not one of {}: ignored", key, word,
                                fmt::join(known, ", ")));
    word.clear();
  };
  forget("model", info.model, resnet_names());
  forget("stem", info.stem, {"imagenet", "cifar"});
  forget("shortcut", info.shortcut, {"A", "B", "a", "b"});
}

// Files of earlier versions do not say how images were prepared; the options of their run do.
void take_image_size_of_run(WeightInfo& info, const TensorFile& file, const fs::path& run_or_file) {
  if (info.image_size) return;
  nlohmann::json config;
  if (RunDirectory::holds_run(run_or_file)) {
    config = RunDirectory::open(run_or_file).read_config();
  } else if (const auto found = file.metadata.find("config"); found != file.metadata.end()) {
    config = nlohmann::json::parse(found->second, nullptr, /*allow_exceptions=*/false);
  }
  const auto options = config.is_object() ? config.find("options") : config.end();
  if (options == config.end() || !options->is_object() || !options->contains("image_size")) return;
  const auto size = whole_number<int>((*options)["image_size"]);
  if (!size || *size < 0) return;
  info.image_size = size;
  if (*info.image_size > 0 && info.image_pixels.empty())
    info.image_pixels = {*info.image_size, *info.image_size};
}

void complete(WeightInfo& info, const ModelOptions& options, int classes, int channels,
              const fs::path& path) {
  if (!options.mean.empty()) info.mean = options.mean;
  if (!options.std.empty()) info.std = options.std;
  if (info.mean.empty() && channels == 3) info.mean = imagenet_mean;
  if (info.std.empty() && channels == 3) info.std = imagenet_std;
  const auto fits = [&](const std::vector<float>& values) {
    return static_cast<int>(values.size()) == channels;
  };
  check(fits(info.mean) && fits(info.std),
        "{}: images have {} channels, but there are {} means and {} stds; give {} and {}", path.string(),
        channels, info.mean.size(), info.std.size(), option_name("mean"), option_name("std"));
  check(info.classes.empty() || static_cast<int>(info.classes.size()) == classes,
        "{}: names {} classes, but the last layer has {}", path.string(), info.classes.size(), classes);
  for (int i = static_cast<int>(info.classes.size()); i < classes; ++i)
    info.classes.push_back(std::to_string(i));
}

// What a foreign file says there may be anything.
data::DataIdentity data_of(const LoadedModel& model) try {
  const nlohmann::json json = nlohmann::json::parse(model.info.data, nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? data::identity_from_json(json, model.file.string()) : data::DataIdentity();
} catch (const Error&) {
  return {};
}

bool is_same(const data::SplitIdentity& a, const data::SplitIdentity& b) {
  return !a.digest.empty() && a.digest == b.digest;
}

}  // namespace

FoundWeights find_weights(const fs::path& run_or_file) {
  check(is_there(run_or_file), "{}: there is no such file or run directory", run_or_file.string());
  if (kind_at(run_or_file) != fs::file_type::directory) return {run_or_file, read_tensors(run_or_file)};
  const RunDirectory run = RunDirectory::open(run_or_file);
  const fs::path final_weights = run.file("weights.safetensors");
  if (is_there(final_weights)) return {final_weights, read_tensors(final_weights)};
  auto checkpoint = read_newest_checkpoint(run);
  check(checkpoint.has_value(), "run directory {}: neither weights nor a checkpoint yet",
        run_or_file.string());
  return {checkpoint->path, std::move(checkpoint->file)};
}

int training_size(const WeightInfo& info) {
  const std::vector<int>& pixels = info.image_pixels;
  return pixels.size() == 2 && pixels[0] == pixels[1] ? pixels[0] : 0;
}

std::string note_on_data(const LoadedModel& model, const data::DataIdentity& data) {
  data::DataIdentity trained_on = data_of(model);
  trained_on.classes.clear();
  if (is_same(trained_on.train, data.train) && is_same(trained_on.test, data.test)) return "";
  const std::vector<std::string> differences = data::data_differences(trained_on, data);
  if (differences.empty()) return "";
  return fmt::format("{} was trained on other data ({} there): {}", model.file.string(),
                     trained_on.name.empty() ? "unnamed" : trained_on.name, fmt::join(differences, "; "));
}

LoadedModel load_model(const fs::path& run_or_file, const ModelOptions& options) {
  const Device device = use_device(options.device);
  const auto [path, file] = find_weights(run_or_file);
  std::vector<std::string> notes;
  const TensorFile weights = without_shared_prefix(weights_of(file), notes);
  WeightInfo info = info_from_metadata(file.metadata, &notes);
  forget_foreign_words(info, notes);
  const ProbableModel probable = probable_model(weights);
  check(probable.other.empty() || options.model, "{}: its names and shapes are those of {}; there are {}",
        path.string(), probable.str(), fmt::join(resnet_names(), ", "));
  info.model = choose(options.model, info.model, probable.model);
  info.stem = choose(options.stem, info.stem, probable.stem);
  info.shortcut = choose(options.shortcut, info.shortcut, probable.shortcut);
  check(!info.model.empty(), "{}: does not say which model it belongs to; give {} (and {})", path.string(),
        option_name("model"), option_name("stem"));
  check(
      probable.classes > 0,
      "{}: no last layer (fc.weight): no classifier. If it is a backbone, train one that starts from it ({})",
      path.string(), option_name("init_weights"));

  ResNetOptions net_options{.classes = probable.classes,
                            .channels = input_channels(weights),
                            .device = device,
                            .activations = activations_of(options.device)};
  if (!info.stem.empty()) net_options.stem = parse_stem(info.stem);
  if (!info.shortcut.empty()) net_options.shortcut = parse_shortcut(info.shortcut);
  LoadedModel loaded{
      .file = path, .net = ResNet(info.model, net_options), .info = info, .channels = net_options.channels};
  load_weights(weights, loaded.net.state(), true, path.string());
  check_finite(weights, path.string());
  for (const std::string& text : notes) note("{}: {}", path.string(), text);
  loaded.names_classes = !info.classes.empty();
  take_image_size_of_run(loaded.info, file, run_or_file);
  complete(loaded.info, options, probable.classes, loaded.channels, path);
  return loaded;
}

}  // namespace lamina::train
