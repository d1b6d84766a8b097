#include "train/evaluation_file.h"

#include <fmt/format.h>

#include "core/base/error.h"
#include "core/base/json_number.h"
#include "core/base/whole_file.h"

namespace lamina::train {

nlohmann::json evaluation_json(const Evaluation& evaluation, const std::vector<std::string>& classes) {
  const ConfusionMatrix& confusion = evaluation.confusion;
  const bool named = std::ssize(classes) == confusion.classes();
  nlohmann::json per_class = nlohmann::json::array(), rows = nlohmann::json::array();
  for (std::int64_t c = 0; c < confusion.classes(); ++c) {
    per_class.push_back({{"class", named ? classes[static_cast<std::size_t>(c)] : std::to_string(c)},
                         {"accuracy", confusion.accuracy(c)},
                         {"samples", confusion.samples(c)}});
    nlohmann::json& row = rows.emplace_back(nlohmann::json::array());
    for (std::int64_t p = 0; p < confusion.classes(); ++p) row.push_back(confusion.count(c, p));
  }
  return {{"images", evaluation.samples},    {"correct", evaluation.correct},
          {"accuracy", evaluation.accuracy}, {"loss", json_number(evaluation.loss)},
          {"top5", evaluation.top5},         {"per_class", std::move(per_class)},
          {"confusion", std::move(rows)}};
}

std::string text_by_elements(const nlohmann::json& object) {
  std::string text;
  for (const auto& [key, value] : object.items()) {
    text += (text.empty() ? "{\n  " : ",\n  ") + nlohmann::json(key).dump() + ": ";
    if (!value.is_array() || value.empty()) {
      text += value.dump();
      continue;
    }
    std::string elements;
    for (const nlohmann::json& element : value)
      elements += (elements.empty() ? "\n    " : ",\n    ") + element.dump();
    text += "[" + elements + "\n  ]";
  }
  return text + "\n}";
}

ClassResults read_evaluation(const std::filesystem::path& path) {
  const nlohmann::json json = nlohmann::json::parse(read_text(path), nullptr, /*allow_exceptions=*/false);
  try {
    check(json.is_object(), "it is not a JSON object");
    const nlohmann::json &per_class = json.at("per_class"), &rows = json.at("confusion");
    ClassResults results{.classes = {}, .confusion = ConfusionMatrix(std::ssize(rows))};
    for (const nlohmann::json& of_class : per_class)
      results.classes.push_back(of_class.at("class").get<std::string>());
    check(results.classes.size() == rows.size(), "{} classes, but {} rows", results.classes.size(),
          rows.size());
    for (std::size_t c = 0; c < rows.size(); ++c) {
      check(rows[c].size() == rows.size(), "row {} of {} numbers", c, rows[c].size());
      for (std::size_t p = 0; p < rows.size(); ++p)
        results.confusion.add(std::int64_t(c), std::int64_t(p),
                              whole_number_from_json<std::int64_t>(rows[c][p]));
    }
    return results;
  } catch (const std::exception& error) {
    fail("{}: holds no confusion matrix ({}); remove it, and resuming the run writes it again", path.string(),
         error.what());
  }
}

}  // namespace lamina::train
