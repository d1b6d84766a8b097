// `lamina landscape`: the loss over a line or a plane through the weights of runs.
#include <chrono>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/landscape_output.h"
#include "apps/landscape_plane.h"
#include "apps/options.h"
#include "apps/output.h"
#include "apps/progress.h"
#include "compare/report/landscape.h"
#include "core/base/error.h"
#include "core/base/interrupt.h"

namespace lamina::app {
namespace {

namespace fs = std::filesystem;

struct Stopped {};  // by a signal

// Shows how far it is; after a signal whatever goes on ends here, with all points on the disk.
class LandscapeScreen {
 public:
  explicit LandscapeScreen(const LandscapeCommand& command) : progress_(parse_progress(command.progress)) {}

  void tell(const std::string& text) {
    if (InterruptHandler::signal() != 0) throw Stopped();
    progress_.status(text);
  }
  void point(const std::string& what, std::size_t done, std::size_t of) {
    if (what != what_) start_ = Clock::now(), first_ = done, what_ = what;
    std::string left;
    if (done > first_) {
      const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
      left = fmt::format(", {:.0f} s left",
                         seconds * static_cast<double>(of - done) / static_cast<double>(done - first_));
    }
    tell(fmt::format("{}: point {} of {}{}", what, done, of, left));
  }
  void clear() { progress_.clear(); }

 private:
  using Clock = std::chrono::steady_clock;
  Progress progress_;
  std::string what_;
  std::size_t first_ = 0;  // point of this `what_` that this process measured
  Clock::time_point start_;
};

// What the points depend on.
nlohmann::json identity_of(const LandscapeCommand& command, analysis::OpenedSurface& opened,
                           const std::vector<OwnPoint>& own) {
  nlohmann::json json = opened.describe();
  json.erase("file");
  json["plane"] = command.plane;
  json["dimensions"] = *command.dimensions;
  json["size"] = command.size;
  json["range"] = command.range ? nlohmann::json(*command.range) : nlohmann::json();
  json["bn_stats"] = command.bn_stats;
  json["seed"] = command.seed;
  const train::DeviceOptions& device = command.model.device;
  json["device"] = device.device.substr(0, device.device.find(':'));
  json["precision"] = device.precision;
  json["tf32"] = device.tf32;
  json["images"] = fmt::format("{:016x}", analysis::digest_of_samples(opened.surface().parts()));
  for (const OwnPoint& point : own) json["weights"].push_back(fmt::format("{:016x}", digest_of(point.state)));
  return json;
}

fs::path points_folder(fs::path page) { return page.replace_filename(page.stem().string() + "-points"); }

class Measuring {
 public:
  Measuring(analysis::OpenedSurface& opened, const analysis::LandscapeFolder& folder, LandscapeScreen& screen)
      : surface_(opened.surface()), folder_(folder), screen_(screen) {}

  void measure(const std::vector<OwnPoint>& own, MeasuredLandscape& landscape) const {
    std::vector<analysis::State> states;
    for (const OwnPoint& point : own) states.push_back(point.state);
    landscape.own = analysis::measure(surface_, states, landscape.chosen.coordinates,
                                      options(landscape, "own.csv", "the runs themselves"));
    if (landscape.command.plane == "runs") landscape.ways = ways(landscape);
    landscape.grid = analysis::measure(surface_, landscape.chosen.plane, analysis::grid_of(landscape.axes),
                                       options(landscape, "points.csv", "plane"));
  }

 private:
  analysis::LandscapeOptions options(const MeasuredLandscape& landscape, const char* file,
                                     const char* what) const {
    return {.statistics = analysis::parse_statistics_mode(landscape.command.bn_stats),
            .file = folder_.file(file),
            .keep_going = [&screen = screen_, what](std::size_t done, std::size_t of) {
              screen.point(what, done, of);
              return true;
            }};
  }

  // Of all pairs, one after the other in a file.
  std::vector<MeasuredWay> ways(const MeasuredLandscape& landscape) const {
    const auto& runs = landscape.chosen.coordinates;
    std::vector<MeasuredWay> ways;
    std::vector<analysis::Coordinates> places;
    for (std::size_t to = 1; to < runs.size(); ++to) {
      for (std::size_t from = 0; from < to; ++from) {
        ways.push_back({.from = from, .to = to, .points = {}});
        const auto way = analysis::line_between(runs[from], runs[to], landscape.command.size);
        places.insert(places.end(), way.begin(), way.end());
      }
    }
    const auto points = analysis::measure(surface_, landscape.chosen.plane, places,
                                          options(landscape, "ways.csv", "ways between the runs"));
    for (std::size_t i = 0; i < ways.size(); ++i) {
      const auto first = points.begin() + std::ptrdiff_t(i) * landscape.command.size;
      ways[i].points.assign(first, first + landscape.command.size);
      std::vector<double> losses;
      for (const auto& point : ways[i].points) losses.push_back(point.loss);
      ways[i].barrier = analysis::loss_barrier(losses);
    }
    return ways;
  }

  analysis::LossSurface& surface_;
  const analysis::LandscapeFolder& folder_;
  LandscapeScreen& screen_;
};

MeasuredLandscape measure_landscape(const LandscapeCommand& command, LandscapeScreen& screen) {
  analysis::OpenedSurface opened(command);
  const std::vector<OwnPoint> own = own_points(command, opened);
  const analysis::LandscapeFolder folder(points_folder(command.output), identity_of(command, opened, own));
  MeasuredLandscape landscape{.command = command,
                              .title = opened.title(),
                              .surface = opened.describe(),
                              .labels = {},
                              .own = {},
                              .chosen = choose_plane(command, opened, own, folder,
                                                     [&](const std::string& text) { screen.tell(text); }),
                              .axes = {},
                              .grid = {},
                              .has_accuracy = false,
                              .ways = {}};
  for (const OwnPoint& point : own) landscape.labels.push_back(point.label);
  landscape.axes = axes_of(command, landscape.chosen);
  const std::vector<MetricInfo> metrics = opened.surface().objective().metrics();
  landscape.has_accuracy = !metrics.empty() && metrics.front().name == "accuracy";
  folder.keep(landscape.chosen.plane, landscape.chosen.notes);
  Measuring(opened, folder, screen).measure(own, landscape);
  return landscape;
}

int run_landscape(const LandscapeCommand& given) {
  const LandscapeCommand command = completed(given);
  const InterruptHandler interrupts;
  LandscapeScreen screen(command);
  compare::check_landscape_output(command.output);
  try {
    const MeasuredLandscape landscape = measure_landscape(command, screen);
    screen.clear();
    write_page(landscape);
    if (command.json)
      print_result_json(json_of(landscape));
    else
      print_result("{}wrote {}\n", text_of(landscape), command.output);
    return 0;
  } catch (const Stopped&) {
    screen.clear();
    print_note(stderr, "stopped; the points so far are in {}. To go on:\n  {}\n",
               points_folder(command.output).string(), command_to_repeat(command));
    return 128 + InterruptHandler::signal();
  }
}

void add_surface_options(const Command& landscape, LandscapeCommand& command) {
  landscape.argument("runs", command.runs, "RUN|FILE, two or three for --plane runs");
  landscape.option("--data", command.data, "NAME[:DIR]; default: what the first run was trained on");
  landscape.option("--limit", command.samples.samples,
                   "measure on N training images, always the same; 0: all; default: 1024, or all",
                   at_least(0));
  landscape.option("--micro-batch", command.samples.micro_batch,
                   "images computed at once; --bn-stats estimated depends on it", between(1, 1e9));
  landscape.option("--workers", command.samples.workers, "threads that prepare images",
                   between(0, data::most_workers));
  add_image_options(landscape, command.image_size, command.skip_damaged, command.max_pixels);
  add_options(landscape, command.model);
}

}  // namespace

void add_landscape_command(const Command& program) {
  const Command landscape =
      program.add("landscape", "The loss over a line or a plane through the weights of runs, as a page");
  auto command = std::make_shared<LandscapeCommand>();
  add_surface_options(landscape, *command);
  landscape.option("--plane", command->plane,
                   "random, eigen (of the Hessian), pca (of a run's checkpoints) or runs (through two or "
                   "three); default: random of one run, else runs");
  landscape.option("--dimensions", command->dimensions, "1, a line, or 2; default: 2, between two runs 1",
                   between(1, 2));
  landscape.option("--size", command->size, "points along each axis", between(2, 1001));
  landscape.option("--range", command->range,
                   "the axes go from -R to R; default: 1 (random), 0.5 (eigen), else fitted to the points",
                   above(0), "R");
  landscape.option("--bn-stats", command->bn_stats,
                   "running statistics: kept, moved along with the weights (pca, runs), or estimated at each "
                   "point; default: kept, with --plane runs estimated");
  landscape.option("--seed", command->seed, "of random directions, and where eigenvectors start");
  landscape.option("-o,--output", command->output,
                   "the page; its figures and its points go to folders beside it", "FILE.html");
  landscape.option("--progress", command->progress, "auto, plain or none");
  landscape.option("--json", command->json, "one JSON object on standard output, nothing else");
  landscape.runs([command, landscape] {
    command->seed_given = landscape.given("--seed");
    return run_landscape(*command);
  });
}

}  // namespace lamina::app
