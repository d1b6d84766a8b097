#include "strike.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace lamina::faults {
namespace {

// Read once, while the process has one thread.
struct Plan {
  bool active = false;
  std::string folder, kind, path, error;
  long number = 0;
  int log = -1;
};

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

std::string linked_from(const char* link) {
  char target[PATH_MAX];
  const long length = syscall(SYS_readlink, link, target, sizeof target);
  return length < 0 ? "" : std::string(target, static_cast<std::size_t>(length));
}

Plan read_plan() {
  Plan plan{.folder = from_environment("FAULT_FOLDER"),
            .kind = from_environment("FAULT_KIND"),
            .path = from_environment("FAULT_PATH"),
            .error = from_environment("FAULT_ERROR")};
  plan.active = !plan.folder.empty() && linked_from("/proc/self/exe") == from_environment("FAULT_PROGRAM");
  plan.number = std::atol(from_environment("FAULT_NUMBER").c_str());
  const std::string log = from_environment("FAULT_LOG");
  if (plan.active && !log.empty())
    plan.log = static_cast<int>(
        syscall(SYS_openat, AT_FDCWD, log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  return plan;
}

const Plan& plan() {
  static const Plan read = read_plan();
  return read;
}

std::atomic<long> matches{0};
std::atomic<bool> full{false};

// Relative to the folder, empty outside of it. Numbers of processes are not the same in two runs: of
// "a.123-0.tmp" they are left out.
std::string counted_name(const std::string& path) {
  const std::string& folder = plan().folder;
  if (path.compare(0, folder.size(), folder) != 0) return "";
  if (path.size() == folder.size()) return ".";
  if (path[folder.size()] != '/') return "";
  std::string name = path.substr(folder.size() + 1);
  for (std::size_t dot = name.find(".tmp"); dot != std::string::npos; dot = name.find(".tmp", dot + 1)) {
    std::size_t begin = dot;
    while (begin > 0 && std::strchr("0123456789-.", name[begin - 1]) != nullptr) --begin;
    name.erase(begin, dot - begin);
    dot = begin;
  }
  return name;
}

void note(const std::string& kind, const std::string& name) {
  const std::string line = kind + " " + name + "\n";
  if (plan().log >= 0) syscall(SYS_write, plan().log, line.data(), line.size());
}

}  // namespace

std::string absolute(int directory, const char* path) {
  if (path == nullptr) return "";
  if (*path == '/') return path;
  const std::string parent = linked_from(
      directory == AT_FDCWD ? "/proc/self/cwd" : ("/proc/self/fd/" + std::to_string(directory)).c_str());
  return *path == '\0' ? parent : parent + "/" + path;
}

std::string path_of(int descriptor) {
  return linked_from(("/proc/self/fd/" + std::to_string(descriptor)).c_str());
}

Strike strike(const char* kind, const std::string& path) {
  const int before = errno;
  if (!plan().active) return Strike::none;
  const std::string name = counted_name(path);
  if (name.empty()) return Strike::none;
  if (plan().kind.empty()) note(kind, name);
  errno = before;
  if (full && plan().kind == kind) return errno = ENOSPC, Strike::fail;
  if (plan().kind != kind || plan().path != name || ++matches != plan().number) return Strike::none;
  note(kind, name);
  const std::string& error = plan().error;
  if (error == "short") return Strike::shorten;
  if (error == "torn") return Strike::tear;
  if (error == "kill") raise(SIGKILL);
  full = error == "full";
  errno = full ? ENOSPC : std::atoi(error.c_str());
  return Strike::fail;
}

}  // namespace lamina::faults
