// What `lamina landscape` tells of a landscape that it has measured: text, JSON and a page.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "analysis/landscape.h"
#include "apps/landscape_plane.h"

namespace lamina::app {

// The straight way between two runs.
struct MeasuredWay {
  std::size_t from = 0, to = 0;  // of the own points
  std::vector<analysis::LandscapePoint> points;
  analysis::LossBarrier barrier = {};
};

struct MeasuredLandscape {
  LandscapeCommand command;
  std::string title;                          // of what is measured
  nlohmann::json surface;                     // OpenedSurface::describe()
  std::vector<std::string> labels;            // of the own points
  std::vector<analysis::LandscapePoint> own;  // their own losses
  ChosenPlane chosen;
  std::vector<analysis::Axis> axes;
  std::vector<analysis::LandscapePoint> grid;  // the first axis fastest
  bool has_accuracy = false;                   // as the first metric
  std::vector<MeasuredWay> ways;
};

std::string text_of(const MeasuredLandscape& landscape);
nlohmann::json json_of(const MeasuredLandscape& landscape);
void write_page(const MeasuredLandscape& landscape);  // to command.output; throws as compare does

// What gives the landscape again.
std::string command_to_repeat(const LandscapeCommand& command);

}  // namespace lamina::app
