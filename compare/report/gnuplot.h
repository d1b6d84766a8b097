// What the report's figures ask of gnuplot: scripts with a common style, drawn in one go.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace lamina::compare {

// A string literal that gnuplot reads back as it is, but for what cannot be shown (on_one_line());
// tic_label: in a list of tics, where % starts a format.
std::string gnuplot_string(std::string text);
std::string gnuplot_tic_label(std::string text);

// No more than so many characters of UTF-8; "…" is the last where some are cut off.
std::string shortened(const std::string& text, std::size_t characters);

// `set palette`: the colours of viridis, which the colour-blind can tell apart. An exponent above 1 parts
// small values more finely than large ones.
std::string palette(int exponent);

// The step between about five tics over an extent: 1, 2 or 5 times a power of ten, at least `least`.
double tic_step(double extent, double least = 1);

// A list of tics over a positive range: powers of ten; over less than two decades their 2- and 5-folds as
// well; in equal steps where that is too few. On an axis that is logarithmic, or of logarithms.
enum class TicPlaces { of_values, of_logarithms };
std::string logarithmic_tics(double low, double high, TicPlaces places = TicPlaces::of_values);

// What a script begins with, so that `gnuplot -e "picture='NAME.pdf'" NAME.gp` makes the figure for a paper:
// size in points of an SVG; legend_rows are added below when the legend is shown.
std::string script_head(const std::string& name, const std::string& what, int width, int height,
                        std::size_t legend_rows = 0);

struct Drawing {
  std::string script;   // NAME of NAME.gp
  std::string picture;  // the file to make
  bool legend = true;
};

// Runs the scripts in their folder. Throws Error with gnuplot's message if it is missing (naming the package)
// or fails, if it leaves something out, or if a picture is not whole. Leaves files ending in .tmp.
void draw(const std::filesystem::path& folder, const std::vector<Drawing>& drawings);

// An SVG file of gnuplot as a part of a page: without prologue, ids, titles and symbols. The symbols, the
// same in every file, must be on the page once: svg_symbols().
std::string inline_svg(const std::filesystem::path& file, const std::string& description);
std::string svg_symbols(const std::filesystem::path& file);

}  // namespace lamina::compare
