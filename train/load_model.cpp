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

// A member of a member, where both are there; else null.
nlohmann::json member(const nlohmann::json& config, const char* object, const char* name) {
  const auto found = config.is_object() ? config.find(object) : config.end();
  if (found == config.end() || !found->is_object()) return nullptr;
  return found->value(name, nlohmann::json());
}

// Files of earlier versions do not say how images were prepared; the options of their run do.
void take_image_size_of_run(WeightInfo& info, const nlohmann::json& config) {
  if (info.image_size) return;
  const auto size = whole_number<int>(member(config, "options", "image_size"));
  if (!size || *size < 0) return;
  info.image_size = size;
  if (*info.image_size > 0 && info.image_pixels.empty())
    info.image_pixels = {*info.image_size, *info.image_size};
}

// The option's, else the file's, else ImageNet's.
void complete_statistics(WeightInfo& info, const ModelOptions& options, int channels, const fs::path& path) {
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
}

void complete_classes(WeightInfo& info, int classes, const fs::path& path) {
  check(info.classes.empty() || static_cast<int>(info.classes.size()) == classes,
        "{}: names {} classes, but the last layer has {}", path.string(), info.classes.size(), classes);
  for (int i = static_cast<int>(info.classes.size()); i < classes; ++i)
    info.classes.push_back(std::to_string(i));
}

// A file's weights, and which model they are of.
struct ReadWeights {
  fs::path path;
  TensorFile file, weights;  // all of it, and without an optimizer's state
  WeightInfo info;           // with the model
  ProbableModel probable;
  std::vector<std::string> notes;
};

ReadWeights read_weights(const fs::path& run_or_file, const ModelOptions& options) {
  FoundWeights found = find_weights(run_or_file);
  ReadWeights read;
  read.path = found.path;
  read.file = std::move(found.file);
  read.weights = without_shared_prefix(weights_of(read.file), read.notes);
  read.info = info_from_metadata(read.file.metadata, &read.notes);
  forget_foreign_words(read.info, read.notes);
  read.probable = probable_model(read.weights);
  const std::string source = read.path.string();
  check(read.weights.contains("conv1.weight"),
        "{}: holds no ResNet: there is no conv1.weight among its {} tensors; expected a run, a checkpoint or "
        "weights",
        source, read.weights.tensors.size());
  check(read.probable.other.empty() || options.model,
        "{}: its names and shapes are those of {}; there are {}", source, read.probable.str(),
        fmt::join(resnet_names(), ", "));
  read.info.model = choose(options.model, read.info.model, read.probable.model);
  read.info.stem = choose(options.stem, read.info.stem, read.probable.stem);
  read.info.shortcut = choose(options.shortcut, read.info.shortcut, read.probable.shortcut);
  check(!read.info.model.empty(), "{}: does not say which model it belongs to; give {} (and {})", source,
        option_name("model"), option_name("stem"));
  return read;
}

ResNetOptions net_options_of(const ReadWeights& read, const ModelOptions& options, Device device) {
  ResNetOptions net{.channels = input_channels(read.weights),
                    .device = device,
                    .activations = activations_of(options.device)};
  if (!read.info.stem.empty()) net.stem = parse_stem(read.info.stem);
  if (!read.info.shortcut.empty()) net.shortcut = parse_shortcut(read.info.shortcut);
  return net;
}

void take_values(const ReadWeights& read, ResNet& net) {
  const std::string source = read.path.string();
  load_weights(read.weights, net.state(), true, source);
  check_finite(read.weights, source);
  for (const std::string& text : read.notes) note("{}: {}", source, text);
}

bool says_statistics(const WeightInfo& info, const ModelOptions& options) {
  return (!info.mean.empty() || !options.mean.empty()) && (!info.std.empty() || !options.std.empty());
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

nlohmann::json config_of(const TensorFile& file, const fs::path& run_or_file) {
  if (RunDirectory::holds_run(run_or_file)) return RunDirectory::open(run_or_file).read_config();
  const auto found = file.metadata.find("config");
  if (found == file.metadata.end()) return nullptr;
  return nlohmann::json::parse(found->second, nullptr, /*allow_exceptions=*/false);
}

std::optional<std::int64_t> epoch_of(const TensorFile& file, const nlohmann::json& config) {
  const auto found = file.metadata.find("position");
  if (found != file.metadata.end()) {
    const auto position = nlohmann::json::parse(found->second, nullptr, /*allow_exceptions=*/false);
    if (!position.is_object() || position.value("batch", nlohmann::json()) != 0) return {};  // within one
    return whole_number<std::int64_t>(position.value("epoch", nlohmann::json()));
  }
  const nlohmann::json keep = member(config, "options", "keep"),
                       patience = member(config, "options", "patience");
  const bool ends_as_planned = patience.is_null() || patience == 0;
  if (keep == "best" || !ends_as_planned) return {};
  return whole_number<std::int64_t>(member(config, "options", "epochs"));
}

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
  ReadWeights read = read_weights(run_or_file, options);
  const std::string source = read.path.string();
  check(
      read.probable.classes > 0,
      "{}: no last layer (fc.weight): no classifier. If it is a backbone, train one that starts from it ({})",
      source, option_name("init_weights"));
  ResNetOptions net_options = net_options_of(read, options, device);
  net_options.classes = read.probable.classes;
  LoadedModel loaded{.file = read.path,
                     .net = ResNet(read.info.model, net_options),
                     .info = read.info,
                     .channels = net_options.channels};
  take_values(read, loaded.net);
  loaded.names_classes = !read.info.classes.empty();
  take_image_size_of_run(loaded.info, config_of(read.file, run_or_file));
  complete_statistics(loaded.info, options, loaded.channels, read.path);
  complete_classes(loaded.info, read.probable.classes, read.path);
  return loaded;
}

Backbone load_backbone(const fs::path& run_or_file, const ModelOptions& options) {
  const Device device = use_device(options.device);
  ReadWeights read = read_weights(run_or_file, options);
  std::erase_if(read.weights.tensors, [](const auto& tensor) {
    return tensor.first.starts_with("fc.") || tensor.first.starts_with("projector.");
  });
  read.info.classes.clear();
  ResNetOptions net_options = net_options_of(read, options, device);
  net_options.head = false;
  Backbone backbone{.name = read.path.string(),
                    .net = ResNet(read.info.model, net_options),
                    .info = read.info,
                    .channels = net_options.channels};
  take_values(read, backbone.net);
  const nlohmann::json config = config_of(read.file, run_or_file);
  take_image_size_of_run(backbone.info, config);
  backbone.says_statistics = says_statistics(backbone.info, options);
  complete_statistics(backbone.info, options, backbone.channels, read.path);
  backbone.bn_batch = whole_number<std::int64_t>(member(config, "resolved", "bn_batch"));
  const nlohmann::json method = member(config, "options", "method");
  if (method.is_string()) backbone.method = method.get<std::string>();
  backbone.epoch = epoch_of(read.file, config);
  return backbone;
}

Backbone random_backbone(const std::string& model, const ModelOptions& options, std::uint64_t seed,
                         int channels) {
  ResNetOptions net_options{.head = false,
                            .channels = channels,
                            .device = use_device(options.device),
                            .activations = activations_of(options.device),
                            .seed = seed};
  if (options.stem) net_options.stem = parse_stem(*options.stem);
  if (options.shortcut) net_options.shortcut = parse_shortcut(*options.shortcut);
  Backbone backbone = random_backbone(model, net_options);
  backbone.info.mean = options.mean;
  backbone.info.std = options.std;
  return backbone;
}

Backbone random_backbone(const std::string& model, const ResNetOptions& options) {
  Backbone backbone{.name = "random:" + model,
                    .net = ResNet(model, options),
                    .info = {},
                    .channels = options.channels,
                    .epoch = 0};
  backbone.info.model = model;
  return backbone;
}

}  // namespace lamina::train
