// The page of a loss landscape, from numbers alone.
#include "compare/report/landscape.h"

#include <cmath>
#include <limits>

#include "catch.h"
#include "compare/report/gnuplot.h"
#include "message_of.h"
#include "program.h"

namespace lamina::tests {
namespace {

using compare::Landscape;

// A bowl around (0.5, 0) with a hole, where the loss is not a number, and a wall, where it is infinite.
Landscape made_up_plane() {
  Landscape landscape{.title = "A <bowl> & its 'rim'",
                      .caption = "Drawn from \"made-up\" numbers.",
                      .facts = {{"command", "lamina landscape 'a b'"}},
                      .axes = {{"a, in steps", -1, 1, 9}, {"b", -0.5, 0.5, 5}},
                      .losses = {}};
  for (int j = 0; j < 5; ++j) {
    for (int i = 0; i < 9; ++i) {
      const double a = -1 + 0.25 * i - 0.5, b = -0.5 + 0.25 * j;
      landscape.losses.push_back(0.1 + 3 * a * a + 2 * b * b);
      landscape.accuracies.push_back(1 / (1 + a * a + b * b));
    }
  }
  landscape.losses[3] = std::nan("");
  landscape.losses[7] = std::numeric_limits<double>::infinity();
  return landscape;
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("a landscape is a page by itself, with contours, a surface and the accuracy") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  Landscape landscape = made_up_plane();
  landscape.joined = true;
  landscape.marks = {{"first_{step}", 0.9, 0.3, 0.9}, {"end", 0.5, 0, 0.1}};
  write_landscape(landscape, folder / "page.html");
  const std::string html = read_file(folder / "page.html");
  CHECK(count_of(html, "<figure>") == 3);
  CHECK(count_of(html, "</svg>") == 3 + 1);  // and the symbols
  CHECK(count_of(html, "src=") == 0);
  CHECK(count_of(html, "href=\"http") == 0);
  CHECK(count_of(html, "A &lt;bowl&gt; &amp; its &#39;rim&#39;") == 2);
  CHECK(count_of(html, "Drawn from &quot;made-up&quot; numbers.") == 1);
  CHECK(count_of(html, "<td class=\"text\">lamina landscape &#39;a b&#39;</td>") == 1);
  CHECK(count_of(html, "first_{step}") == 1);
  const std::string csv = read_file(folder / "page-files/loss-contours.csv");
  CHECK(csv.starts_with("a,b,loss,accuracy\n-1,-0.5,7.35"));
  CHECK(count_of(csv, "NaN") == 2);  // not a number, and infinite
  CHECK(count_of(csv, "\n\n") == 4);

  // Again, as a line with the ways between two runs: what the plane had is gone.
  landscape = {.title = "Line",
               .caption = "",
               .facts = {},
               .axes = {{"a", 0, 1, 3}},
               .losses = {1, 3, 2},
               .accuracies = {0.5, 0.25, 0.5},
               .ways = {{"x – y", {1, 3, 2}, 1.5, 0.5}}};
  write_landscape(landscape, folder / "page.html");
  CHECK(!fs::exists(folder / "page-files/loss-contours.csv"));
  CHECK(read_file(folder / "page-files/loss-line.csv") == "a,loss,accuracy\n0,1,0.5\n0.5,3,0.25\n1,2,0.5\n");
  CHECK(count_of(read_file(folder / "page.html"), "<td>1.5</td><td>0.5</td>") == 1);
}

TEST_CASE("a landscape without accuracies, or of one loss everywhere, is drawn too") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  Landscape landscape = made_up_plane();
  landscape.accuracies.clear();
  write_landscape(landscape, folder / "page.html");
  CHECK(count_of(read_file(folder / "page.html"), "<figure>") == 2);
  landscape.losses.assign(45, 2.5);
  write_landscape(landscape, folder / "page.html");
  CHECK(count_of(read_file(folder / "page.html"), "<figure>") == 2);
}

TEST_CASE("a landscape of which no loss is finite is refused, and an earlier page stays") {
  if (gnuplot_is_missing()) return;
  const TemporaryFolder folder;
  Landscape landscape = made_up_plane();
  write_landscape(landscape, folder / "page.html");
  const std::string before = read_file(folder / "page.html");
  landscape.losses.assign(45, std::nan(""));
  CHECK(unexplained([&] { write_landscape(landscape, folder / "page.html"); },
                    {"45 losses", "none is finite"}) == "nothing");
  CHECK(read_file(folder / "page.html") == before);
}

TEST_CASE("tics of a logarithmic axis") {
  using compare::logarithmic_tics;
  CHECK(logarithmic_tics(0.1, 100) == "'0.1' 0.1, '1' 1, '10' 10, '100' 100");
  CHECK(logarithmic_tics(0.1, 1, compare::TicPlaces::of_logarithms) ==
        "'0.1' -1, '0.2' -0.69897, '0.5' -0.30103, '1' 0");
  CHECK(logarithmic_tics(0.6, 0.9) == "'0.6' 0.6, '0.7' 0.7, '0.8' 0.8, '0.9' 0.9");
}

}  // namespace lamina::tests
