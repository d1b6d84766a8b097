// lamina train --watch: what a frame looks like, and what a terminal shows in the end.
#include <cmath>
#include <limits>

#include "apps/watch.h"
#include "catch.h"
#include "terminal.h"

namespace lamina::tests {

using namespace app;
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

struct Scene {
  std::vector<WatchedLayer> layers;
  StepReport report;

  void add(const std::string& name, double trust, double weight_norm, double grad_norm, double update_norm,
           bool adapts = true) {
    layers.push_back({name, layers.size(), adapts});
    report.layers.push_back({weight_norm, grad_norm, update_norm, trust});
  }
  std::vector<std::string> draw(std::size_t columns, std::size_t rows, bool unicode = false) const {
    return draw_layers(layers, report, widened({}, layers, report),
                       {.size = {columns, rows}, .unicode = unicode});
  }
};

Scene two_layers() {
  Scene scene;
  scene.report.step = 7;
  scene.report.lr = 0.5;
  scene.report.phi = 0.25;
  scene.report.grad_norm = 2;
  scene.add("conv1", 1e-3, 5, 0.2, 0.01);
  scene.add("fc", 0.04, 50, 2, 0.02);
  return scene;
}

std::size_t columns_of(const std::string& line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace

TEST_CASE("a frame has a row for every layer, with bars on logarithmic scales") {
  const std::vector<std::string> frame = two_layers().draw(65, 10);
  // Bars of 10 columns. Trust: 1e-3 is the low end, which still shows; 0.04 is at 8.01.
  CHECK(frame == std::vector<std::string>{
                     "step 7  lr 0.5  phi 0.25  ||grad|| of the model 2",
                     "layer  trust 1e-3..1e-1    ||w|| 1e0..1e2      ||grad|| 1e-1..1e1",
                     "conv1  #          1.0e-03  ###        5.0e+00  ##         2.0e-01",
                     "fc     ########   4.0e-02  ########   5.0e+01  #######    2.0e+00",
                 });
}

TEST_CASE("bars of a terminal with UTF-8 are finer than a column") {
  const std::vector<std::string> frame = two_layers().draw(69, 10, true);
  // Of 88 eighths, ||w|| fills log10(5) / 2, which is 30.8 of them, and ||grad|| log10(2) / 2, which is 13.2.
  CHECK(frame[2].find("███▉        5.0e+00") != std::string::npos);
  CHECK(frame[2].find("█▋          2.0e-01") != std::string::npos);
  for (const std::string& line : frame) CHECK(columns_of(line) <= 69);
  CHECK(columns_of(frame[2]) == columns_of(frame[3]));
}

TEST_CASE("what is not positive and finite has no bar") {
  Scene scene;
  scene.add("zero", 1e-3, 0, 0.2, 0.01);
  scene.add("undefined", nan, 5, 0.2, 0.01);
  scene.add("infinite", infinity, 5, 0.2, 0.01);
  scene.add("bias", 1, 5, nan, 0.01, false);
  const std::vector<std::string> frame = scene.draw(100, 10);
  REQUIRE(frame.size() == 6);
  CHECK(frame[1].find("trust 1e-3..1e-2") != std::string::npos);  // neither inf nor the 1 of `bias` counts
  const auto cell = [&](std::size_t row, const char* heading) {
    const std::size_t begin = frame[1].find(heading), end = frame[1].find("||", begin + 7);
    const std::string text = frame[row].substr(begin, end - begin);
    return text.substr(0, text.find_last_not_of(' ') + 1);
  };
  CHECK(cell(2, "||w||").find('#') == std::string::npos);
  CHECK(cell(2, "||w||").ends_with("0.0e+00"));
  CHECK(cell(3, "trust").find_first_not_of(" -") == std::string::npos);
  CHECK(cell(3, "trust").ends_with("-"));
  CHECK(cell(4, "trust").ends_with("inf"));
  CHECK(cell(5, "trust").find_first_not_of(" -") == std::string::npos);
  CHECK(cell(5, "||grad||").ends_with("-"));
  CHECK(cell(5, "||w||").find('#') != std::string::npos);
}

TEST_CASE("frames fit any terminal") {
  Scene scene;
  for (int i = 0; i < 54; ++i) {
    scene.add(fmt::format("encoder.layer{}.a_rather_long_name.downsample.0", i), std::pow(10, i / 9.0 - 4), 3,
              0.5, 1e-12);
  }
  for (std::size_t columns = 0; columns <= 200; ++columns) {
    for (const std::size_t rows : {0u, 1u, 2u, 3u, 4u, 24u, 100u}) {
      for (const bool unicode : {false, true}) {
        const std::vector<std::string> frame = scene.draw(columns, rows, unicode);
        REQUIRE(frame.size() == std::min<std::size_t>(rows, 56));
        for (const std::string& line : frame) REQUIRE(columns_of(line) <= columns);
      }
    }
  }
  CHECK(scene.draw(200, 60)[1].find("||update||") != std::string::npos);
  CHECK(scene.draw(50, 60)[1].find("||w||") == std::string::npos);
  CHECK(scene.draw(30, 60)[2].starts_with("..downsample.0  "));  // a name is recognised by its end
}

TEST_CASE("where rows do not suffice, layers are left out evenly, and the frame says so") {
  Scene scene;
  for (int i = 0; i < 100; ++i) scene.add(fmt::format("layer{}", i), 1e-3, 1, 1, 1);
  const std::vector<std::string> frame = scene.draw(80, 8);
  REQUIRE(frame.size() == 8);
  const std::vector<std::string> expected{"layer0 ", "layer24 ", "layer49 ", "layer74 ", "layer99 "};
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(frame[2 + i].starts_with(expected[i]));
  CHECK(frame[7] == "5 of 100 layers");
  CHECK(scene.draw(80, 102).back().starts_with("layer99 "));  // all fit: no such line
}

TEST_CASE("scales take in every step and never narrow") {
  Scene scene = two_layers();
  const WatchScales first = widened({}, scene.layers, scene.report);
  CHECK(first[0] == Decades{-3, -1});
  scene.report.layers[0].trust = scene.report.layers[1].trust = 0.005;
  CHECK(widened(first, scene.layers, scene.report) == first);
  scene.report.layers[0].trust = 20;
  CHECK(widened(first, scene.layers, scene.report)[0] == Decades{-3, 2});
  scene.report.layers[0].trust = 0;
  CHECK(widened(first, scene.layers, scene.report) == first);
  CHECK(widened({}, {}, scene.report) == WatchScales{});
}

TEST_CASE("convolutions and linear layers are watched") {
  std::vector<Segment> segments;
  for (const auto& [name, kind] :
       std::vector<std::pair<std::string, ParamKind>>{{"conv1.weight", ParamKind::weight},
                                                      {"bn1.weight", ParamKind::norm},
                                                      {"head", ParamKind::weight},
                                                      {"fc.bias", ParamKind::bias}}) {
    segments.push_back({});
    segments.back().name = name;
    segments.back().kind = kind;
  }
  std::vector<LayerSettings> settings(4);
  settings[0].adapts = true;
  const std::vector<WatchedLayer> layers = watched_layers(segments, settings);
  REQUIRE(layers.size() == 2);
  CHECK(layers[0].name == "conv1");
  CHECK(layers[0].adapts);
  CHECK(layers[1].name == "head");
  CHECK(layers[1].index == 2);
  CHECK(!layers[1].adapts);
}

namespace {

Arguments watched_training(const fs::path& out, int epochs) {
  Arguments arguments = tiny_training(out, epochs);
  *(std::find(arguments.begin(), arguments.end(), "--progress") + 1) = "auto";
  return arguments + Arguments{"--watch"};
}

const TerminalSize ordinary{.columns = 120, .rows = 40};

}  // namespace

TEST_CASE("--watch draws on a terminal, changes nothing and leaves nothing behind") {
  const TemporaryFolder folder;
  const fs::path plain = folder / "plain", watched = folder / "watched";
  REQUIRE(run(tiny_training(plain, 20)).status == 0);
  const TerminalOutcome outcome = run_on_terminal(watched_training(watched, 20), ordinary);
  REQUIRE(outcome.status == 0);
  CHECK(outcome.modes_kept);
  CHECK(outcome.bytes.find("layer1.0.conv1  #") != std::string::npos);  // a frame was drawn
  CHECK(outcome.bytes.find("||update|| 1e") != std::string::npos);  // with norms that only tracing measures
  Screen screen(ordinary);
  screen.show(outcome.bytes);
  const std::string text = screen.text();
  INFO(text);
  CHECK(text.find("layer1.0.conv1") == std::string::npos);  // and wiped away
  CHECK(text.find("||grad||") == std::string::npos);
  CHECK(text.find("images/s  ETA") == std::string::npos);
  for (int epoch = 1; epoch <= 20; ++epoch) {
    const std::string line = fmt::format("epoch {:>2}/20  train loss", epoch);
    INFO(line);
    CHECK(text.find(line) != std::string::npos);
  }

  CHECK(read_file(watched / "weights.safetensors") == read_file(plain / "weights.safetensors"));
  CHECK(steps_of(watched) == steps_of(plain));
  CHECK(read_file(watched / "config.json") == read_file(plain / "config.json"));
  CHECK(!fs::exists(watched / "trace.safetensors"));
}

TEST_CASE("Ctrl-C while watching saves, keeps the message readable and the terminal usable") {
  const TemporaryFolder folder;
  const fs::path out = folder / "run";
  // Steps that take longer than frames, one or two an epoch: the signal comes while testing, or in a step
  // after which a frame is due.
  const std::string images = GENERATE("200", "400");
  const Arguments slow{"--data", "synthetic:32x32x3x4", "--batch", "200", "--limit-train", images};
  const TerminalOutcome outcome =
      run_on_terminal(watched_training(out, 100000) + slow, ordinary, "||update||", "\x03");
  CHECK(outcome.status == 128 + SIGINT);
  CHECK(outcome.modes_kept);
  Screen screen(ordinary);
  screen.show(outcome.bytes);
  const std::string text = screen.text();
  INFO(text);
  const std::size_t message = text.find("\nlamina: stopping after this step; again, and it stops at once\n");
  REQUIRE(message != std::string::npos);
  CHECK(text.find("\nstopped in epoch ", message) != std::string::npos);
  CHECK(text.find("lamina train --resume --out " + out.string() + "\n", message) != std::string::npos);
  // What was saved is whole.
  CHECK(run({"eval", out.string(), "--limit", "8"}).status == 0);
}

TEST_CASE("a training that diverges while watched leaves its message on a clean terminal") {
  const TemporaryFolder folder;
  const TerminalOutcome outcome = run_on_terminal(
      watched_training(folder / "run", 100000) +
          Arguments{"--optimizer", "sgd", "--lr", "3", "--schedule", "constant", "--weight-decay", "1"},
      ordinary);
  Screen screen(ordinary);
  screen.show(outcome.bytes);
  INFO(screen.text());
  CHECK(outcome.status == 1);
  CHECK(outcome.modes_kept);
  CHECK(screen.text().find("\nlamina: training diverged in epoch") != std::string::npos);
  CHECK(screen.text().find("||grad||") == std::string::npos);
}

TEST_CASE("a terminal that becomes narrower keeps no remnants") {
  const PseudoTerminal terminal({.columns = 60, .rows = 20});
  Screen screen({.columns = 60, .rows = 20});
  const PseudoTerminal::StandardError redirected(terminal);
  Progress progress(ProgressMode::watch);
  const auto show = [&] {  // what ends in clearing the rest of the screen
    std::string bytes;
    REQUIRE(wait_until([&] { return (bytes += terminal.read_waiting()).ends_with("\033[J"); }));
    screen.show(bytes);
  };
  const auto draw = [&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(110));  // frames are not drawn more often
    progress.update({}, [](TerminalSize size) {
      return std::vector<std::string>{std::string(size.columns, '#'), "short",
                                      std::string(size.columns, '+')};
    });
    show();
  };
  progress.print("before");
  draw();
  for (const std::size_t columns : {20u, 14u}) {
    terminal.resize({.columns = columns, .rows = 20});
    screen.narrow(columns);
    draw();
    const std::string frame = std::string("epoch 0/0  step 0/0").substr(0, columns - 1) + "\n" +
                              std::string(columns - 1, '#') + "\nshort\n" + std::string(columns - 1, '+') +
                              "\n";
    CHECK(screen.text() == "before\n" + frame + std::string(15, '\n'));
  }
  terminal.resize({.columns = 5, .rows = 20});
  screen.narrow(5);
  progress.clear();
  show();
  CHECK(screen.text() == "befor\ne\n" + std::string(18, '\n'));
}

TEST_CASE("--watch without a terminal prints plain lines, and contradicts --progress") {
  const TemporaryFolder folder;
  Arguments arguments = watched_training(folder / "run", 1);
  const Outcome outcome = run(arguments);
  CHECK(outcome.status == 0);
  CHECK(outcome.err.find("--watch: standard error is not a terminal") != std::string::npos);
  CHECK(outcome.err.find("epoch 1/1  train loss") != std::string::npos);
  CHECK(outcome.err.find('\033') == std::string::npos);
  for (const char* mode : {"plain", "none"}) {
    const Outcome refused = run(watched_training(folder / "other", 1) + Arguments{"--progress", mode});
    CHECK(refused.status == 2);
    CHECK(refused.err.find("--watch") != std::string::npos);
  }
  CHECK(!fs::exists(folder / "other"));
}

}  // namespace lamina::tests
