#include <fmt/format.h>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/commands.h"
#include "apps/output.h"
#include "apps/view_table.h"
#include "core/backend.h"
#include "core/base/error.h"
#include "core/base/resource_limits.h"
#include "core/base/table.h"
#include "core/base/version.h"
#include "core/instruction_set.h"
#include "data/dataset.h"
#include "data/find.h"
#include "layers/resnet.h"
#include "optim/presets.h"

namespace lamina::app {
namespace {

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(std::min(line.find(':') + 2, line.size()));
  }
  return "unknown";
}

std::vector<std::string> gpus() {
  std::vector<std::string> descriptions(static_cast<std::size_t>(cuda_device_count()));
  for (std::size_t i = 0; i < descriptions.size(); ++i)
    descriptions[i] = cuda_device_description(static_cast<int>(i));
  return descriptions;
}

nlohmann::json describe_all() {
  nlohmann::json data = nlohmann::json::object();
  for (const std::string& name : data::names()) {
    const std::string place = data::locate(name).string();
    if (!place.empty()) data[name] = place;
  }
  return {{"version", version()},
          {"build", build_description()},
          {"cpu", cpu_name()},
          {"instruction_set", instruction_set()},
          {"instruction_sets", instruction_sets()},
          {"threads", threads()},
          {"threads_limited_by", usable_cores().why()},
          {"cuda", cuda_build_description()},
          {"cuda_devices", cuda_device_count()},
          {"cuda_libraries", cuda_libraries()},
          {"gpus", gpus()},
          {"libraries", LAMINA_LIBRARIES},
          {"models", resnet_names()},
          {"optimizers", optimizer_names()},
          {"data", data}};
}

nlohmann::json presets_json() {
  nlohmann::json list = nlohmann::json::array();
  for (const Preset& preset : presets()) {
    list.push_back({{"name", full_name(preset)},
                    {"settings", preset.settings},
                    {"description", preset.description},
                    {"source", preset.source}});
  }
  return list;
}

void print_info(const nlohmann::json& info) {
  const auto line = [](const char* name, const std::string& what) {
    print_result("{:<11} {}\n", name, what);
  };
  const auto text = [&](const char* key) { return info[key].get<std::string>(); };
  const auto list = [&](const char* key) {
    return fmt::format("{}", fmt::join(info[key].get<std::vector<std::string>>(), ", "));
  };
  line("lamina", text("version") + " (" + text("build") + ")");
  const std::string why = text("threads_limited_by");
  line("cpu", fmt::format("{}; {} threads{}", text("cpu"), info["threads"].get<int>(),
                          why.empty() ? "" : ": " + why));
  line("kernels",
       fmt::format("{} of {} (LAMINA_CPU chooses)", text("instruction_set"), list("instruction_sets")));
  line("cuda", fmt::format("{}; {} devices", text("cuda"), info["cuda_devices"].get<int>()));
  for (const auto& library : info["cuda_libraries"]) line("", library.get<std::string>());
  int index = 0;
  for (const auto& gpu : info["gpus"]) line(Device::cuda(index++).str().c_str(), gpu.get<std::string>());
  line("libraries", text("libraries"));
  line("models", list("models"));
  line("optimizers", list("optimizers") + " (presets: lamina info --presets)");
  const char* name = "data";
  for (const auto& [data, place] : info["data"].items()) {
    line(std::exchange(name, ""), data + ": " + place.get<std::string>());
  }
  if (info["data"].empty()) line(name, "none found; --data NAME:DIR says where it is");
}

struct InfoCommand {
  bool presets = false, views = false, json = false;
  std::string knobs;
};

nlohmann::json knobs_json(const std::string& optimizer) {
  nlohmann::json list = nlohmann::json::array();
  for (const KnobHelp& knob : knob_help(optimizer))
    list.push_back({{"name", knob.name}, {"value", knob.value}, {"meaning", knob.meaning}});
  return list;
}

nlohmann::json chosen_json(const InfoCommand& command) {
  if (command.presets) return {{"presets", presets_json()}};
  if (command.views) return {{"views", views_json()}};
  if (!command.knobs.empty()) return {{"knobs", knobs_json(command.knobs)}};
  return describe_all();
}

int run_info(const InfoCommand& command) {
  if (int{command.presets} + int{command.views} + int{!command.knobs.empty()} > 1)
    fail_usage("--presets, --views and --knobs: give one of them");
  if (command.json) {
    print_result_json(chosen_json(command), 2);
  } else if (!command.knobs.empty()) {
    print_result("{}\n", knob_table(command.knobs));
  } else if (command.presets) {
    print_result("{}\n", preset_table());
  } else if (command.views) {
    print_result("{}", view_table());
  } else {
    print_info(describe_all());
  }
  return 0;
}

}  // namespace

void add_info_command(const Command& program) {
  const Command info = program.add("info", "Version, build, CPU, GPU, libraries, data sets, presets, views");
  auto command = std::make_shared<InfoCommand>();
  info.option("--presets", command->presets, "the optimizers' presets and their sources");
  info.option("--views", command->views, "the recipes of views and their sources");
  info.option("--knobs", command->knobs, "an optimizer's knobs, their values and meanings", "O[:PRESET]");
  info.option("--json", command->json, "one JSON object on standard output, nothing else");
  info.runs([command] { return run_info(*command); });
}

}  // namespace lamina::app
