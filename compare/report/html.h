// The parts of a report's HTML that know nothing of what is reported.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace lamina::compare {

// How a contender is drawn everywhere on the page: the colours of Okabe and Ito 2008, which the colour-blind
// can tell apart; after the seventh contender again, dashed.
struct LineStyle {
  const char* colour;  // "#rrggbb"
  int dash;            // 0: solid, else the number of the dash pattern
};
LineStyle line_style(std::size_t contender);

inline constexpr const char* no_value = "–";  // in a table

// Lines stay; what cannot be shown is written as \xNN.
std::string escape_html(const std::string& text);

// For a link to a file whose name may hold anything.
std::string relative_url(const std::string& path);

// A piece of line in the contender's style, and its label; both stay on one line.
std::string html_label(std::size_t contender, const std::string& label);

// To the data, script and picture of the figure `name` in the report's folder.
std::string figure_links(const std::string& folder, const std::string& name);

// Cells are HTML. The first column is the rows' header; columns of `text_columns` are set to the left like
// it, the others to the right. Scrolls in its own box where the page is too narrow.
struct HtmlTable {
  std::vector<std::string> header;
  std::vector<std::size_t> text_columns = {};
  std::vector<std::vector<std::string>> rows = {};
  std::string str() const;
};

// The whole page: `body` within the frame of styles.
std::string html_page(const std::string& title, const std::string& body);

}  // namespace lamina::compare
