#include "compare/report/html.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/base/error.h"
#include "core/base/printable.h"

namespace lamina::compare {
namespace {

constexpr std::array colours{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#777777"};
constexpr std::array dashes{"", "7 3", "2 3", "9 3 2 3"};

constexpr const char* style = R"css(
:root{color-scheme:light dark;--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;--ink:#1c1f24;--soft:#5b626d;--rule:#d9dde3;--grid:#e4e7eb;--paper:#fff;--panel:#f6f7f9;--link:#0a5c9c}
@media(prefers-color-scheme:dark){:root{--ink:#e4e7eb;--soft:#a3abb7;--rule:#3a414b;--grid:#30363f;--paper:#15181c;--panel:#1d2126;--link:#6fb7ee}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 var(--sans);-webkit-text-size-adjust:100%}
main{max-width:1320px;margin:0 auto;padding:2.2rem clamp(.9rem,3vw,2.5rem) 3rem}
h1{font-size:clamp(1.5rem,3.2vw,2.1rem);line-height:1.2;letter-spacing:-.015em;margin:0 0 .8rem;overflow-wrap:anywhere}
h2{font-size:1.3rem;letter-spacing:-.01em;margin:2.8rem 0 .7rem;padding-top:.8rem;border-top:1px solid var(--rule)}
h3{font-size:1.04rem;margin:2rem 0 .2rem}
p,figcaption,.keys{max-width:52rem}
p{margin:.5rem 0}
.lead{font-size:1.08rem}
.note,figcaption,footer,.keys{color:var(--soft);font-size:.88rem}
a{color:var(--link)}
code{font:.9em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
.scroll{overflow-x:auto;margin:.8rem 0;max-width:100%}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{padding:.38rem .75rem;text-align:right;vertical-align:top;white-space:nowrap}
tbody tr{border-bottom:1px solid var(--rule)}
th:first-child,.text{text-align:left;white-space:normal;font-weight:400;min-width:10.5rem}
thead th,thead th:first-child,thead .text{border-bottom:1.5px solid var(--ink);font-weight:600;vertical-align:bottom;white-space:normal}
th:first-child{padding-left:.2rem}
.text{overflow-wrap:break-word;max-width:30rem}
.keys{display:flex;flex-wrap:wrap;gap:.25rem 1.4rem;max-width:none;margin:.6rem 0;color:var(--ink)}
.label{display:inline-flex;align-items:baseline;gap:.45em;min-width:0}
.label span{min-width:0;overflow-wrap:anywhere}
table .label span{overflow-wrap:break-word}
.label svg{flex:none;width:24px;height:8px;align-self:flex-start;margin-top:.5em}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,390px),1fr));gap:1.4rem 1.8rem;margin:.9rem 0}
.maps{align-items:end}
figure{margin:0;min-width:0;break-inside:avoid}
figure>svg{display:block;width:100%;height:auto}
figure>svg text{fill:var(--ink);font-family:var(--sans)}
figure>svg g[fill="rgb(255,255,255)"] text{fill:#fff;stroke:#0009;stroke-width:3px;paint-order:stroke}
figure>svg [stroke="rgb(221, 221, 221)"]{stroke:var(--grid)}
figure>svg image{image-rendering:pixelated}
figcaption{margin-top:.3rem}
.links{white-space:nowrap;font-size:.8rem}.links a{margin-right:.6em;color:var(--soft);text-decoration-color:var(--rule)}
.map-title{font-size:.92rem;margin:0 0 .1rem}
details{margin:.8rem 0}
summary{cursor:pointer;color:var(--link)}
footer{margin-top:3rem;border-top:1px solid var(--rule);padding-top:.8rem}
@media print{body{font-size:10.5pt}main{max-width:none;padding:0}.scroll{overflow:visible}table{font-size:8.5pt}th,td,th:first-child{white-space:normal;min-width:0;padding:.3rem .4rem;overflow-wrap:anywhere}.figures{grid-template-columns:1fr 1fr}h2,h3{break-after:avoid}}
)css";

}  // namespace

LineStyle line_style(std::size_t contender) {
  return {colours[contender % colours.size()],
          static_cast<int>(std::min(contender / colours.size(), dashes.size() - 1))};
}

// A page with other bytes would be no UTF-8, or show nothing in their place.
std::string escape_html(const std::string& text) {
  std::string blank = text, escaped;
  std::replace_if(
      blank.begin(), blank.end(), [](char c) { return c == '\t' || c == '\r'; }, ' ');
  for (const char c : printable_lines(blank)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string html_label(std::size_t contender, const std::string& label) {
  const LineStyle line = line_style(contender);
  return fmt::format(
      "<span class=\"label\"><svg viewBox=\"0 0 24 8\" aria-hidden=\"true\"><line x1=\"0\" y1=\"4\" "
      "x2=\"24\" "
      "y2=\"4\" stroke=\"{}\" stroke-width=\"3\" stroke-dasharray=\"{}\"/></svg><span>{}</span></span>",
      line.colour, dashes[static_cast<std::size_t>(line.dash)], escape_html(label));
}

std::string relative_url(const std::string& path) {
  std::string url;
  for (const char c : path) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       std::string_view("-_.~/").find(c) != std::string_view::npos;
    url += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return url;
}

std::string figure_links(const std::string& folder, const std::string& name) {
  return fmt::format(
      " <span class=\"links\"><a href=\"{0}.csv\">data</a> <a href=\"{0}.gp\">script</a> "
      "<a href=\"{0}.svg\">picture</a></span>",
      relative_url(folder + "/" + name));
}

std::string HtmlTable::str() const {
  const auto opening = [&](const char* tag, std::size_t column) {
    const bool text = std::count(text_columns.begin(), text_columns.end(), column) > 0;
    return fmt::format("<{}{}>", tag, text ? " class=\"text\"" : "");
  };
  std::string html = "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>";
  for (std::size_t i = 0; i < header.size(); ++i) html += opening("th", i) + header[i] + "</th>";
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : rows) {
    html += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      html += i == 0 ? "<th>" + row[i] + "</th>" : opening("td", i) + row[i] + "</td>";
    }
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string html_page(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n"
      "<style>{}</style>\n</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
      escape_html(title), style, body);
}

}  // namespace lamina::compare
