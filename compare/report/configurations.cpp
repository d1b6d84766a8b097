#include "compare/report/configurations.h"

#include <algorithm>
#include <map>

#include "compare/report/html.h"
#include "core/base/error.h"
#include "core/base/option_name.h"

namespace lamina::compare {
namespace {

using DescribedOptions = std::vector<DescribedOption>;

// Names in the order of the first contender that has them.
std::vector<std::string> names_in(const std::vector<DescribedOptions>& contenders) {
  std::vector<std::string> names;
  for (const DescribedOptions& settings : contenders) {
    for (const DescribedOption& setting : settings) {
      if (std::find(names.begin(), names.end(), setting.name) == names.end()) names.push_back(setting.name);
    }
  }
  return names;
}

std::string value_in(const DescribedOptions& settings, const std::string& name) {
  const auto found = std::find_if(settings.begin(), settings.end(),
                                  [&](const auto& setting) { return setting.name == name; });
  if (found == settings.end()) return no_value;
  return found->value.empty() ? no_value : found->value;
}

bool all_share(const std::vector<DescribedOptions>& contenders, const std::string& name) {
  return std::all_of(contenders.begin(), contenders.end(), [&](const DescribedOptions& settings) {
    return value_in(settings, name) == value_in(contenders.front(), name);
  });
}

// A row per name that differs, a column per contender; empty if nothing does.
std::string table_of_differences(const std::vector<Group>& groups,
                                 const std::vector<DescribedOptions>& contenders, const std::string& what,
                                 std::string (*show_name)(std::string_view)) {
  HtmlTable table{{what}};
  for (std::size_t i = 0; i < groups.size(); ++i) {
    table.header.push_back(html_label(i, groups[i].label));
    table.text_columns.push_back(i + 1);
  }
  for (const std::string& name : names_in(contenders)) {
    if (all_share(contenders, name)) continue;
    std::vector<std::string> row{"<code>" + escape_html(show_name(name)) + "</code>"};
    for (const DescribedOptions& settings : contenders) row.push_back(escape_html(value_in(settings, name)));
    table.rows.push_back(row);
  }
  return table.rows.empty() ? "" : table.str();
}

std::string list_of_shared(const std::vector<DescribedOptions>& contenders) {
  std::string text;
  for (const DescribedOption& option : contenders.front()) {
    if (option.is_default || !all_share(contenders, option.name)) continue;
    text += fmt::format("{}<code>{} {}</code>", text.empty() ? "" : ", ", option_name(option.name),
                        escape_html(option.value));
  }
  return text;
}

DescribedOptions knobs_of(const Group& group) {
  DescribedOptions knobs;
  const nlohmann::json& config = group.representative().config;
  const auto resolved = config.value("resolved", nlohmann::json::object());
  const nlohmann::json values = resolved.value("knobs", nlohmann::json::object());
  for (const auto& [name, value] : values.items()) {
    knobs.push_back({name, value.is_string() ? value.get<std::string>() : value.dump()});
  }
  return knobs;
}

std::string commands(const std::vector<Group>& groups) {
  std::string html;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const nlohmann::json& config = groups[i].representative().config;
    if (!config.contains("command") || !config["command"].is_string()) continue;
    html += fmt::format("<p>{}<br><code>{}</code></p>\n", html_label(i, groups[i].label),
                        escape_html(config["command"].get<std::string>()));
  }
  return html;
}

std::string folded(const std::string& title, const std::string& html) {
  return html.empty() ? "" : "<details><summary>" + title + "</summary>\n" + html + "</details>\n";
}

}  // namespace

std::string configurations(const std::vector<Group>& groups) {
  std::vector<DescribedOptions> options, knobs;
  for (const Group& group : groups) {
    options.push_back(describe_options(group.representative()));
    knobs.push_back(knobs_of(group));
  }
  const auto unchanged = [](std::string_view name) { return std::string(name); };
  std::string html = table_of_differences(groups, options, "Option", option_name);
  if (groups.size() > 1 && html.empty()) html = "<p>The contenders’ options are the same.</p>\n";
  html += "<p>" + std::string(groups.size() > 1 ? "All share " : "Options: ") + list_of_shared(options) +
          "; what is not named has its default.</p>\n";
  html += folded("The optimizers’ knobs where they differ",
                 table_of_differences(groups, knobs, "Knob", unchanged));
  return html + folded("Commands that repeat the first run of each", commands(groups));
}

}  // namespace lamina::compare
