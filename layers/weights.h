// Weight files: safetensors with PyTorch's names and layouts, so that
//   model.load_state_dict(safetensors.torch.load_file(path), strict=True)
// reads what save_weights() wrote, and load_weights() reads what safetensors.torch.save_file() wrote.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/files/safetensors.h"
#include "core/param.h"
#include "layers/module.h"

namespace lamina {

// What a file says about itself in its metadata under the names of its members;
// lists are JSON arrays. Whatever a foreign file leaves unsaid is empty.
struct WeightInfo {
  std::string model;                   // "resnet18"
  std::string stem;                    // "imagenet", "cifar"
  std::string shortcut;                // "A", "B"
  std::vector<std::string> classes;    // names, in the order of the logits
  std::vector<float> mean, std;        // per channel, of images scaled to [0, 1]
  std::vector<int> image_pixels = {};  // height and width of the images in training
  // How they got there: the shorter side resized to it, then the centre cut out; 0: the files' own size.
  std::optional<int> image_size = {};
  std::string data = {};  // what they were, a JSON object (data/identity.h)
};

// A list that is not a JSON array of the right type, as a foreign file may have, counts as unsaid; `notes`
// are added to then.
WeightInfo info_from_metadata(const std::map<std::string, std::string>& metadata,
                              std::vector<std::string>* notes = nullptr);
std::map<std::string, std::string> metadata_from_info(const WeightInfo& info);

// Layouts: convolution weights are [out, kh, kw, in] here and [out, in, kh, kw] in files; all else is equal.
// The results are on the CPU resp. on the parameter's device, in new memory.
Tensor to_file_layout(const Param& param);
Tensor from_file_layout(const Param& param, const Tensor& stored);  // casts to the parameter's dtype
Tensor ohwi_to_oihw(const Tensor& weight);                          // on the CPU
Tensor oihw_to_ohwi(const Tensor& weight);                          // on the CPU

// All of module.state(), in file layout; counts are marked to be stored as I64, as PyTorch has them.
TensorFile to_tensor_file(const ParamList& state, const WeightInfo& info);
void save_weights(const std::filesystem::path& path, const Module& module, const WeightInfo& info = {});

struct ProbableModel {
  std::string model, stem, shortcut;  // empty where unknown
  int classes = 0;
  std::string other = {};  // a known ResNet that is not one of this library's: "resnet101"
  // "resnet18 with the imagenet stem, shortcut B and 1000 classes"; what it is if it is none of those.
  std::string str() const;
};
// Which ResNet the names and shapes of a file belong to.
ProbableModel probable_model(const TensorFile& file);

struct LoadedWeights {
  WeightInfo info;
  std::vector<std::string> missing;     // in the model but not in the file: left as they were
  std::vector<std::string> unexpected;  // in the file but not in the model
  std::vector<std::string> notes = {};  // what was read otherwise than it stands there, for people to see
};

// Sets module.state() from the file, in place. Nothing is changed unless everything fits. Throws Error naming
// the tensors that are missing, unexpected or of another shape, and the model the file probably belongs to;
// with strict = false missing and unexpected ones are only reported. A missing num_batches_tracked (files
// older than PyTorch 0.4.1) or num_masks (PyTorch has none) is no error and counts as 0; one that is there
// may have any type. A prefix that all names share, like DataParallel's "module.", is taken off if the rest
// fits.
LoadedWeights load_weights(const std::filesystem::path& path, Module& module, bool strict = true);
LoadedWeights load_weights(const TensorFile& file, const ParamList& state, bool strict = true,
                           const std::string& source = "weights");

struct MatchedWeights {
  WeightInfo info;
  ProbableModel model;                   // that the file's names and shapes are those of
  std::vector<std::string> taken;        // set from the file
  std::vector<std::string> missing;      // in the model but not in the file: left as they were
  std::vector<std::string> other_shape;  // in both, of another shape or type: left as they were
  std::vector<std::string> unexpected;   // in the file but not in the model
  std::vector<std::string> notes = {};   // as LoadedWeights::notes
};

// Sets, in place, what is in the file under the same name and of the same shape, and leaves the rest: a
// pretrained network for another number of classes. Throws UsageError, and changes nothing, if no weight of a
// convolution or linear layer fits, with what the file probably is and what the model expects.
MatchedWeights load_matching_weights(const std::filesystem::path& path, Module& module);
MatchedWeights load_matching_weights(const TensorFile& file, const ParamList& state,
                                     const std::string& source = "weights");

// The metadata alone, without reading the tensors.
WeightInfo read_weight_info(const std::filesystem::path& path);

}  // namespace lamina
