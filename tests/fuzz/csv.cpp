#include "core/base/csv.h"

#include <cmath>
#include <limits>

#include "target.h"

namespace lamina::fuzz {
namespace {

constexpr auto all = std::numeric_limits<std::int64_t>::max();

}  // namespace

// A log: rows have the columns asked for, and a log that is taken up again loses no whole row.
FUZZ_TARGET(csv) {
  const std::filesystem::path path = put(empty_folder() / "epochs.csv", text_of(input));
  const std::vector<std::string> columns{"epoch", "loss"};
  std::vector<std::vector<double>> rows, again;
  if (!accepts([&] { rows = read_csv(path, columns, {"accuracy"}); })) return;
  for (const std::vector<double>& row : rows) expect(row.size() == 3, "a number for each column");
  if (!accepts([&] { CsvFile(path, "epoch,loss", all).sync(); })) return;
  again = read_csv(path, columns);
  expect(again.size() == rows.size(), "no whole row is lost");
  for (std::size_t i = 0; i < rows.size(); ++i)
    expect(again[i][0] == rows[i][0] || std::isnan(rows[i][0]), "rows keep their order");
}

}  // namespace lamina::fuzz
