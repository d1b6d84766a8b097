// What is left of the machine's memory, read from files of made-up machines.
#include "core/base/available_memory.h"

#include <fmt/core.h>
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "catch.h"

namespace lamina::tests {
namespace {

namespace fs = std::filesystem;

// A root folder with these files, removed afterwards.
class Machine {
 public:
  Machine() {
    std::string name = (fs::temp_directory_path() / "lamina-machine-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    root = name;
    write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    6000 kB\nSwapFree: 1000 kB\n");
  }
  ~Machine() { fs::remove_all(root); }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text;
  }
  fs::path root;
};

constexpr std::size_t kibi = 1024;

std::size_t addresses_of_this_process() {
  std::size_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * 4 * kibi;
}

}  // namespace

TEST_CASE("without limits all that the system calls available is") {
  const Machine machine;
  CHECK(available_memory(machine.root) == 7000 * kibi);
  machine.write("proc/self/cgroup", "0::/user/shell\n");
  machine.write("sys/fs/cgroup/user/memory.max", "max\n");
  machine.write("sys/fs/cgroup/user/memory.current", "4096\n");
  CHECK(available_memory(machine.root) == 7000 * kibi);
}

TEST_CASE("a control group's limit counts, and that of the groups above it") {
  const Machine machine;
  machine.write("proc/self/cgroup", "0::/job/step\n");
  machine.write("sys/fs/cgroup/job/memory.max", "3000000\n");
  machine.write("sys/fs/cgroup/job/memory.current", "1000000\n");
  CHECK(available_memory(machine.root) == 2'000'000);
  machine.write("sys/fs/cgroup/job/step/memory.max", "500000\n");
  machine.write("sys/fs/cgroup/job/step/memory.current", "400000\n");
  CHECK(available_memory(machine.root) == 100'000);
  machine.write("sys/fs/cgroup/job/step/memory.stat", "anon 1\ninactive_file 300000\nfile 2\n");
  CHECK(available_memory(machine.root) == 400'000);  // files that were read go when memory is wanted
  machine.write("sys/fs/cgroup/job/step/memory.current", "900000\n");
  CHECK(available_memory(machine.root) == 0);  // above the limit already
  machine.write("sys/fs/cgroup/job/step/memory.current", "200000\n");
  CHECK(available_memory(machine.root) == 500'000);  // the two are not counted at the same time
}

TEST_CASE("a container sees its group's limit at the mount's root") {
  const Machine machine;
  machine.write("proc/self/cgroup", "0::/docker/unknown-here\n");
  machine.write("sys/fs/cgroup/memory.max", "2000000\n");
  machine.write("sys/fs/cgroup/memory.current", "500000\n");
  CHECK(available_memory(machine.root) == 1'500'000);
}

TEST_CASE("version 1 has a hierarchy for memory alone") {
  const Machine machine;
  machine.write("proc/self/cgroup", "9:cpu,cpuacct:/other\n4:memory:/job\n1:name=systemd:/\n");
  machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  machine.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "123\n");
  machine.write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1000000\n");
  machine.write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "600000\n");
  machine.write("sys/fs/cgroup/memory/job/memory.stat", "inactive_file 7\ntotal_inactive_file 100000\n");
  CHECK(available_memory(machine.root) == 500'000);
  for (const char* group : {"sys/fs/cgroup/memory/other/", "sys/fs/cgroup/other/"}) {  // of other controllers
    machine.write(std::string(group) + "memory.limit_in_bytes", "10\n");
    machine.write(std::string(group) + "memory.usage_in_bytes", "0\n");
    machine.write(std::string(group) + "memory.max", "10\n");
    machine.write(std::string(group) + "memory.current", "0\n");
  }
  CHECK(available_memory(machine.root) == 500'000);
}

TEST_CASE("ulimit -d and -v count, less what the process holds of data") {
  const Machine machine;
  constexpr rlim_t most = rlim_t{1} << 40;
  machine.write("proc/self/status", fmt::format("VmSize: 9 kB\nVmData: {} kB\nVmStk: 20 kB\nVmExe: 30 kB\n"
                                                "VmLib: 50 kB\n",
                                                most / kibi - 1000));
  for (const auto& [resource, left] :
       {std::pair{RLIMIT_DATA, 1000 * kibi}, std::pair{RLIMIT_AS, 900 * kibi}}) {
    rlimit before{};
    REQUIRE(getrlimit(resource, &before) == 0);
    if (before.rlim_max < most || addresses_of_this_process() > most) continue;  // sanitizers take more
    const rlimit lower{.rlim_cur = most, .rlim_max = before.rlim_max};
    REQUIRE(setrlimit(resource, &lower) == 0);
    const std::size_t available = available_memory(machine.root);
    const std::string text = describe_available_memory();
    REQUIRE(setrlimit(resource, &before) == 0);
    CHECK(available == left);
    CHECK(text.find(resource == RLIMIT_DATA ? "ulimit -d allows 1024.0 GiB"
                                            : "ulimit -v allows 1024.0 GiB") != std::string::npos);
  }
}

TEST_CASE("memory that was written is in the peak, also when it has been given back") {
  constexpr std::size_t bytes = std::size_t{64} << 20;
  CHECK(std::vector<char>(bytes, 1).back() == 1);
  CHECK(peak_resident_memory() > bytes);
  CHECK(peak_resident_memory() < physical_memory());
}

TEST_CASE("this machine has some memory left") {
  CHECK(available_memory() > 0);
  CHECK(available_memory() < 100 * physical_memory());
}

}  // namespace lamina::tests
