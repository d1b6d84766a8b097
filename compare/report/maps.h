// A report's maps: layer × step, coloured by one traced quantity; one picture for each contender and
// quantity, with one colour scale a quantity, so that contenders can be compared.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "compare/comparison.h"
#include "compare/report/folder.h"

namespace lamina::compare {

struct Quantity {
  const char* tensor;  // in trace.safetensors; "weight_norm" makes files "weight-norm-1.csv"
  const char* symbol;
  const char* meaning;
};
const std::vector<Quantity>& traced_quantities();

// What one run recorded: of steps, averaged over neighbouring ones to a few hundred columns, or of epochs.
struct LayerMap {
  std::vector<std::string> layers;
  std::int64_t first_step = 0, last_step = 0, columns = 0;
  std::vector<std::int64_t> epochs = {};  // of each column; empty: columns are of steps
  // [quantity][layer * columns + column]; NaN where nothing is finite. Trust ratios that are 1 throughout, of
  // an optimizer that adapts no layer, are left out: none.
  std::vector<std::vector<float>> values;
  bool weights_only = false;  // biases and normalisation layers are left out
  std::string problem;        // why there is none; empty if there is one

  bool shows(std::size_t quantity) const { return quantity < values.size() && !values[quantity].empty(); }
};

// What `read` makes of such a file of the group's first run that has one; without any, or where its bytes
// make no sense, that is the map's `problem`. `option`: what a run has to be given for the file.
LayerMap map_in_file(const Group& group, const std::string& file, const std::string& option,
                     const std::function<LayerMap(const std::filesystem::path&)>& read);

// The trace of the group's first run that has one. A trace that cannot be read is told in `problem`.
LayerMap read_layer_map(const Group& group, bool all_layers);

struct ColourRange {
  double low = 0, high = 0;
  bool empty() const { return !(high > 0); }
};
// Of the positive values of a quantity over all maps.
ColourRange colour_range(const std::vector<LayerMap>& maps, std::size_t quantity);

// NAME.csv and NAME.gp of one contender's map, values[quantity]; returns NAME.
std::string write_map(const LayerMap& map, std::size_t quantity, const Quantity& q, const ColourRange& range,
                      std::size_t contender, const std::string& label, const ReportFolder& folder);

// The names in a list of metadata, "[\"conv1.weight\", …]"; none if there is no such key. Throws Error for
// what is no such list.
std::vector<std::string> metadata_names(const std::map<std::string, std::string>& metadata,
                                        const std::string& key);

}  // namespace lamina::compare
