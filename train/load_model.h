// A model from whatever the user points at: a weight file of ours or of others, a checkpoint, a run
// directory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "data/identity.h"
#include "layers/resnet.h"
#include "layers/weights.h"
#include "train/device_options.h"

namespace lamina::train {

struct FoundWeights {
  std::filesystem::path path;
  TensorFile file;  // of a checkpoint with its optimizer's state: weights_of() leaves that out
};
// A file means itself; a run directory its final weights, else its newest readable checkpoint. Throws Error
// if there is none.
FoundWeights find_weights(const std::filesystem::path& run_or_file);

// config.json of the run, or what a checkpoint holds of it; else null.
nlohmann::json config_of(const TensorFile& file, const std::filesystem::path& run_or_file);
// Which epoch weights are of, where that is known: of a checkpoint its own; of final weights the run's last,
// unless they may be those of an earlier epoch, which is not noted.
std::optional<std::int64_t> epoch_of(const TensorFile& file, const nlohmann::json& config);

// What the user says about a file; wins over what the file says itself.
struct ModelOptions {
  std::optional<std::string> model, stem, shortcut;
  std::vector<float> mean, std;
  DeviceOptions device;
};

struct LoadedModel {
  std::filesystem::path file;
  ResNet net;
  WeightInfo info;  // complete: what a run says of its images; unnamed classes are "0", "1", …; unsaid mean
                    // and std are ImageNet's
  int channels = 3;
  bool names_classes = false;  // the file does
};

// The side of the square images that the network was trained on; 0: not known, or they were not square.
int training_size(const WeightInfo& info);

// In one line, how `data` differ from those that the weights were trained on, by name, size and digest; empty
// if they do not, or the file does not say. Classes: train/match_classes.h.
std::string note_on_data(const LoadedModel& model, const data::DataIdentity& data);

// A run directory means its final weights, else its newest readable checkpoint. Throws Error naming what is
// wrong, or what the file leaves unsaid and which option says it.
LoadedModel load_model(const std::filesystem::path& run_or_file, const ModelOptions& options);

// A network without its last layer or projector, whose output is the features.
struct Backbone {
  std::string name;  // of the file, or "random:resnet8"
  ResNet net;
  WeightInfo info;  // without classes; unsaid mean and std are ImageNet's, of a random net empty
  int channels = 3;
  bool says_statistics = false;  // the file or the options name mean and std
  // How it was trained, as far as that is known; else unset or empty.
  std::optional<std::int64_t> epoch = {};     // that the weights are of; 0: never trained
  std::optional<std::int64_t> bn_batch = {};  // samples that were normalised together
  std::string method = {};                    // of a pretraining
};

// From all that load_model() takes, also from a file without a last layer, such as a pretrained one's. Throws
// Error as that does, and for a file that holds no ResNet.
Backbone load_backbone(const std::filesystem::path& run_or_file, const ModelOptions& options);

// What a run with this seed starts from: what it makes of images is the baseline of all that is learnt.
// Throws UsageError for an unknown model.
Backbone random_backbone(const std::string& model, const ModelOptions& options, std::uint64_t seed,
                         int channels);
Backbone random_backbone(const std::string& model, const ResNetOptions& options);  // without a head

}  // namespace lamina::train
