// What knows no tensor: tables, CSV files.

#include <cmath>

#include "catch.h"
#include "core/base/csv.h"
#include "core/base/error.h"
#include "core/base/option_name.h"
#include "core/base/table.h"
#include "message_of.h"
#include "program.h"

namespace lamina::tests {

TEST_CASE("tables align text to the left and numbers to the right") {
  Table table({"name", "value"});
  table.add({"a", "1.5"});
  table.add({"φ longer", "-10"});
  CHECK(table.str() ==
        "name      value\n"
        "--------  -----\n"
        "a           1.5\n"
        "φ longer    -10\n");
  CHECK_THROWS_AS(table.add({"one cell"}), Error);
  CHECK(format_duration(3723.4) == "1:02:03");
  CHECK(format_duration(59.6) == "1:00");
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(-1234567) == "-1,234,567");
}

TEST_CASE("a CSV file is cut back to its last kept row") {
  const TemporaryFolder folder;
  const fs::path path = folder / "steps.csv";
  {
    CsvFile file(path, "step,loss", 0);
    file.add("1,0.5");
    file.add("2,0.25");
    CHECK(read_file(path) == "step,loss\n");
    file.flush();
    file.add("3,0.125");
  }
  std::ofstream(path, std::ios::app) << "4,0.06";  // cut short
  CHECK(read_file(path) == "step,loss\n1,0.5\n2,0.25\n3,0.125\n4,0.06");
  CHECK(CsvFile(path, "step,loss", 9).last() == 3);
  CHECK(CsvFile(path, "step,loss", 2).last() == 2);
  CHECK(read_file(path) == "step,loss\n1,0.5\n2,0.25\n");
  CHECK_THROWS_AS(CsvFile(path, "step,accuracy", 2), Error);
  CHECK(CsvFile(path, "step,loss", 0).last() == -1);
}

TEST_CASE("columns that a CSV file need not have are NaN where it lacks them") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.csv";
  std::ofstream(path) << "step,loss\n1,0.5\n";
  const auto rows = read_csv(path, {"loss"}, {"accuracy", "step"});
  REQUIRE(rows.size() == 1);
  CHECK(rows[0][0] == 0.5);
  CHECK(std::isnan(rows[0][1]));
  CHECK(rows[0][2] == 1);
  CHECK(unexplained([&] { read_csv(path, {"accuracy"}); }, {"a.csv", "no column \"accuracy\""}) == "nothing");
}

TEST_CASE("messages call options by their names in code, or as a program says") {
  CHECK(option_name("micro_batch") == "micro_batch");
  set_option_names([](std::string_view name) { return "--" + std::string(name); });
  CHECK(option_name("lr") == "--lr");
  set_option_names({});
  CHECK(option_name("lr") == "lr");
}

}  // namespace lamina::tests
