// Cores that a process may use, read from files of made-up machines; numbers as people write them.
#include "core/base/resource_limits.h"

#include <sched.h>

#include <fstream>

#include "catch.h"
#include "core/base/list_names.h"
#include "core/base/number.h"
#include "core/base/option_name.h"
#include "core/base/text_columns.h"
#include "message_of.h"
#include "temporary_directory.h"

namespace lamina::tests {
namespace {

// A root folder whose process is in the control groups of these lines.
class GroupedMachine {
 public:
  explicit GroupedMachine(const std::string& groups) { write("proc/self/cgroup", groups); }
  void write(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = root() / name;
    std::filesystem::create_directories(path.parent_path());
    put(path, text);
  }
  std::filesystem::path root() const { return folder_.file("root"); }
  int quota() const { return usable_cores(root()).quota; }

 private:
  Directory folder_;
};

}  // namespace

TEST_CASE("a control group's share of the cores counts, rounded up, and that of the groups above it") {
  const GroupedMachine machine("0::/job/step\n");
  CHECK(machine.quota() == 0);
  machine.write("sys/fs/cgroup/job/cpu.max", "max 100000\n");
  CHECK(machine.quota() == 0);
  machine.write("sys/fs/cgroup/job/cpu.max", "250000 100000\n");
  CHECK(machine.quota() == 3);
  machine.write("sys/fs/cgroup/job/step/cpu.max", "50000 100000\n");
  CHECK(machine.quota() == 1);
}

TEST_CASE("version 1 of control groups has two files") {
  const GroupedMachine machine("5:memory:/m\n3:cpu,cpuacct:/job\n");
  machine.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
  machine.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "-1\n");
  CHECK(machine.quota() == 0);
  machine.write("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n");
  CHECK(machine.quota() == 2);
}

TEST_CASE("as many threads as cores that the process may use, and why") {
  CHECK(UsableCores{.machine = 8, .allowed = 8}.count() == 8);
  CHECK(UsableCores{.machine = 8, .allowed = 8}.why().empty());
  CHECK(UsableCores{.machine = 8, .allowed = 2}.count() == 2);
  CHECK(UsableCores{.machine = 8, .allowed = 2}.why().find("2 of 8 cores") != std::string::npos);
  CHECK(UsableCores{.machine = 8, .allowed = 4, .quota = 3}.count() == 3);
  CHECK(UsableCores{.machine = 8, .allowed = 4, .quota = 3}.why().find("control group allows 3") !=
        std::string::npos);

  cpu_set_t before, one;
  REQUIRE(sched_getaffinity(0, sizeof before, &before) == 0);
  CPU_ZERO(&one);
  for (std::size_t core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core)
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  const UsableCores cores = usable_cores();
  sched_setaffinity(0, sizeof before, &before);
  CHECK(cores.allowed == 1);
  CHECK(cores.count() == 1);
}

TEST_CASE("advice names no option that the command at hand lacks") {
  const auto names = [](const std::string& text, const char* option) {
    return text.find(std::string(" ") + option) != std::string::npos;
  };
  for (const char* option : {"micro_batch", "batch", "workers"}) CHECK(names(out_of_memory_advice(), option));
  CHECK((names(thread_advice(), "threads 1") && names(thread_advice(), "workers 0")));
  set_offered_options([](std::string_view name) { return name == "batch" || name == "threads"; });
  const std::string memory = out_of_memory_advice(), threads = thread_advice();
  set_offered_options([](std::string_view) { return false; });
  const std::string bare = out_of_memory_advice() + thread_advice();
  set_offered_options({});
  CHECK(names(memory, "batch"));
  CHECK((!names(memory, "micro_batch") && !names(memory, "workers")));
  CHECK((names(threads, "threads 1") && !names(threads, "workers 0")));
  for (const char* option : {"batch", "micro_batch", "threads 1", "workers"}) CHECK(!names(bare, option));
}

TEST_CASE("lists of names and texts are cut at whole names and characters") {
  CHECK(list_names({"a", "b"}, 2) == "a, b");
  CHECK(list_names({"a", "b", "c"}, 2) == "a, b, …");
  CHECK(list_names_of_all({"a", "b"}, 2) == "a, b");
  CHECK(list_names_of_all({"a", "b", "c"}, 2) == "a, b, … (3 in all)");
  CHECK(columns_of("aü…") == 3);
  CHECK(first_columns("aü…", 2) == "aü");
  CHECK(first_columns("aü…", 9) == "aü…");
  CHECK(first_columns("aü…", 0).empty());
}

TEST_CASE("a number is the whole text, and lies in the range") {
  CHECK(parse_number<int>("n", "+5") == 5);
  CHECK(parse_number<double>("n", "1e-3") == 1e-3);
  CHECK(parse_number<std::uint64_t>("n", "18446744073709551615") == 18446744073709551615u);
  CHECK(parse_number<std::int64_t>("n", "0", between(0, 1)) == 0);
  for (const char* text : {"", "+", "-1", "+-1", "1.0", "1 ", " 1", "0x1", "18446744073709551616", "1e3"})
    CHECK(
        message_of([&] { parse_number<std::uint64_t>("n", text); }).starts_with(fmt::format("n {}: ", text)));
  for (const char* text : {"nan", "inf", "-inf", "1e400", "1f", "0", "1"})
    CHECK(message_of([&] {
            parse_number<double>("n", text,
                                 {.least = 0, .most = 1, .least_excluded = true, .most_excluded = true});
          }).starts_with(fmt::format("n {}: ", text)));
  CHECK(message_of([] { parse_number<int>("n", "7", between(0, 4)); }) ==
        "n 7: expected a whole number of at least 0 and at most 4");
}

}  // namespace lamina::tests
