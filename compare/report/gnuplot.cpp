#include "compare/report/gnuplot.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "compare/on_one_line.h"
#include "compare/report/html.h"
#include "core/base/atomic_file.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/interrupt.h"
#include "core/base/text_columns.h"
#include "core/base/whole_file.h"

namespace lamina::compare {
namespace {

namespace fs = std::filesystem;

constexpr const char* commands_file = "draw.gp.tmp";
constexpr const char* messages_file = "gnuplot.txt.tmp";

// What gnuplot has written so far; nothing where it has not begun.
std::string written(const fs::path& path) { return is_there(path) ? read_text(path) : ""; }

std::string replace_all(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// Removes every piece from `begin` through `end`.
std::string without(std::string text, const std::string& begin, const std::string& end) {
  for (std::size_t at = text.find(begin); at != std::string::npos; at = text.find(begin, at)) {
    const std::size_t last = text.find(end, at + begin.size());
    if (last == std::string::npos) break;
    text.erase(at, last + end.size() - at);
  }
  return text;
}

// gnuplot's exit status; it runs in the folder, and its messages go to a file there.
int run_gnuplot(const fs::path& folder) {
  std::string arguments[] = {"gnuplot", "-d", commands_file};
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addchdir_np(&files, folder.c_str());
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&files, 2, messages_file, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  pid_t process = 0;
  const int error = ::posix_spawnp(&process, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  check(error != ENOENT,
        "report: gnuplot, which draws the figures, is not installed; install the package gnuplot-nox "
        "(apt-get install gnuplot-nox)");
  check(error == 0, "report: gnuplot cannot be started: {}", std::strerror(error));
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// gnuplot leaves out what it cannot read, warns and is content. Harmless is what it says of axes over a
// single value, of maps with blank cells, and of long names in the legend.
std::string warnings_in(const std::string& messages) {
  std::string warnings;
  for (std::size_t begin = 0; begin < messages.size();) {
    const std::size_t end = std::min(messages.find('\n', begin), messages.size());
    const std::string line = messages.substr(begin, end - begin);
    const auto says = [&](const char* words) { return line.find(words) != std::string::npos; };
    const bool harmless = says("adjusting to") || says("matrix contains missing or undefined values") ||
                          says("difficulty fitting plot titles into key");
    if (!harmless && (says("arning") || says("annot"))) warnings += line + "\n";
    begin = end + 1;
  }
  return warnings;
}

bool is_whole(const fs::path& picture) { return written(picture).find("</svg>") != std::string::npos; }

}  // namespace

std::string gnuplot_string(std::string text) {
  return "'" + replace_all(on_one_line(std::move(text)), "'", "''") + "'";
}

std::string gnuplot_tic_label(std::string text) {
  return gnuplot_string(replace_all(std::move(text), "%", "%%"));
}

std::string shortened(const std::string& text, std::size_t characters) {
  return columns_of(text) > characters ? first_columns(text, characters - 1) + "…" : text;
}

std::string palette(int exponent) {
  constexpr const char* viridis[] = {"#440154", "#482878", "#3e4989", "#31688e", "#26828e",
                                     "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"};
  std::string colours;
  for (int i = 0; i < 10; ++i)
    colours += fmt::format("{}{:g} \"{}\"", i == 0 ? "" : ", ", std::pow(i, exponent), viridis[i]);
  return fmt::format("set palette maxcolors {} defined \\\n  ({})", exponent == 1 ? 64 : 256, colours);
}

double tic_step(double extent, double least) {
  const double smallest = std::max(extent / 5, least),
               power = std::pow(10.0, std::floor(std::log10(smallest)));
  for (const double multiple : {1.0, 2.0, 5.0}) {
    if (multiple * power >= smallest) return multiple * power;
  }
  return 10 * power;
}

std::string logarithmic_tics(double low, double high, TicPlaces places) {
  const double decades = std::log10(high / low);
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int stride = std::max(1, static_cast<int>(decades / 6));
  std::vector<double> tics;
  for (int power = first; power <= first + decades + 1; power += stride) {
    for (const double multiple : {1.0, 2.0, 5.0}) {
      const double tic = multiple * std::pow(10.0, power);
      if ((multiple == 1 || decades < 2) && tic >= low && tic <= high) tics.push_back(tic);
    }
  }
  if (tics.size() < 2) {
    const double step = tic_step(high - low, 0);
    tics.clear();
    for (double k = std::ceil(low / step); k * step <= high; ++k) tics.push_back(k * step);
  }
  std::string text;
  for (const double tic : tics) {
    const std::string label = gnuplot_tic_label(fmt::format("{:.3g}", tic));
    text += fmt::format("{}{} {:.6g}", text.empty() ? "" : ", ", label,
                        places == TicPlaces::of_logarithms ? std::log10(tic) : tic);
  }
  return text;
}

std::string script_head(const std::string& name, const std::string& what, int width, int height,
                        std::size_t legend_rows) {
  return fmt::format(R"(# {what}, of {name}.csv:
#   gnuplot -e "picture='{name}.pdf'" {name}.gp
# The ending of `picture` says the format: svg, pdf or png. legend=0 leaves the legend out.

if (!exists("picture")) picture = "{name}.svg"
if (!exists("legend")) legend = 1
format = picture[strlen(picture) - 2 : *]
width = {width}
height = {height} + (legend ? {legend_height} : 0)
if (format eq "svg") set terminal svg size width, height noenhanced font "sans-serif,13"
if (format eq "pdf") set terminal pdfcairo size width / 90.0, height / 90.0 noenhanced font "sans,9.5"
if (format eq "png") set terminal pngcairo size 2 * width, 2 * height noenhanced font "sans,13" fontscale 1.35
set output picture

set datafile separator ","
set border 3 lc rgb "#777777"
set tics nomirror out scale 0.6 textcolor rgb "#333333"
set grid ytics lt 1 lc rgb "#dddddd" lw 1
)",
                     fmt::arg("what", what), fmt::arg("name", name), fmt::arg("width", width),
                     fmt::arg("height", height),
                     fmt::arg("legend_height", legend_rows == 0 ? 0 : 14 + 19 * legend_rows));
}

void draw(const fs::path& folder, const std::vector<Drawing>& drawings) {
  std::string commands;
  for (const Drawing& drawing : drawings) {
    commands += fmt::format("reset\npicture = {}\nlegend = {}\nload {}\n", gnuplot_string(drawing.picture),
                            drawing.legend ? 1 : 0, gnuplot_string(drawing.script + ".gp"));
  }
  write_file_atomically(folder / commands_file, commands);
  const int status = run_gnuplot(fs::absolute(folder));
  const std::string messages = written(folder / messages_file);
  check(InterruptHandler::signal() == 0, "report: interrupted; an earlier one is as it was");
  check(status == 0, "report: gnuplot failed with exit status {}:\n{}", status, messages);
  const std::string warnings = warnings_in(messages);
  check(warnings.empty(), "report: gnuplot left out a part of a figure:\n{}", warnings);
  for (const Drawing& drawing : drawings) {
    check(is_whole(folder / drawing.picture), "report: gnuplot left {} unfinished; check the free space\n{}",
          drawing.picture, messages);
  }
}

std::string inline_svg(const fs::path& file, const std::string& description) {
  std::string svg = read_text(file);
  svg.erase(0, svg.find("<svg") + 4);
  svg = without(svg, "<title>", "</title>");
  svg = without(svg, "<desc>", "</desc>");
  svg = without(svg, "<defs>", "</defs>");
  svg = without(svg, " id=\"", "\"");
  svg = replace_all(replace_all(svg, "\n", " "), "\t", "");
  return fmt::format("<svg role=\"img\" aria-label=\"{}\"{}", escape_html(description), svg);
}

std::string svg_symbols(const fs::path& file) {
  const std::string svg = read_text(file);
  const std::size_t begin = svg.find("<defs>"), end = svg.find("</defs>");
  if (begin == std::string::npos || end == std::string::npos) return "";
  return "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\">" +
         svg.substr(begin, end - begin) + "</defs></svg>\n";
}

}  // namespace lamina::compare
