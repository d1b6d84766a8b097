// The page of a loss landscape: pictures of losses over a line or a plane through parameter space, and what
// they are of. It knows numbers alone; who measured them is none of its business.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace lamina::compare {

struct LandscapeAxis {
  std::string label;
  double first = 0, last = 0;
  int points = 0;
};

// A point with a loss of its own: of a plane that it does not lie in, only its place is the projection's.
struct LandscapeMark {
  std::string label;
  double x = 0, y = 0;  // of a line: x
  double loss = 0;
};

// Losses on the straight way between two marks, at equal steps from 0 to 1.
struct LandscapeWay {
  std::string label;
  std::vector<double> losses;
  double barrier = 0, barrier_at = 0;  // how far they rise above the line between their ends, and where
};

struct Landscape {
  std::string title;
  std::string caption;                                     // plain text, below the pictures
  std::vector<std::pair<std::string, std::string>> facts;  // a table, plain text
  std::vector<LandscapeAxis> axes;                         // one: a line; or two
  std::vector<double> losses;                              // the first axis fastest; may be not finite
  std::vector<double> accuracies = {};                     // 0 … 1; empty: not known
  std::vector<LandscapeMark> marks = {};
  bool joined = false;  // the marks are the way of a training
  std::vector<LandscapeWay> ways = {};
};

// Writes `output` and the folder of its files, "page-files" for "page.html", as write_report() does, and
// throws as that does; Error too if no loss is finite.
// Throws what write_landscape() would for a page that cannot be where it is to be: before hours of measuring.
void check_landscape_output(const std::filesystem::path& output);

void write_landscape(const Landscape& landscape, const std::filesystem::path& output);

}  // namespace lamina::compare
