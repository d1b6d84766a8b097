#include "process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "tree.h"

namespace lamina::faults {
namespace {

namespace fs = std::filesystem;

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> list;
  for (std::string& text : texts) list.push_back(text.data());
  list.push_back(nullptr);
  return list;
}

pid_t start(Arguments arguments, const fs::path& folder, const Environment& environment, const fs::path& out,
            const fs::path& err) {
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  constexpr int flags = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), flags, 0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), flags, 0600);
  posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
  pid_t process = -1;
  const int error = posix_spawn(&process, arguments.front().c_str(), &actions, nullptr,
                                pointers(arguments).data(), pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error(arguments.front() + " cannot be started");
  return process;
}

}  // namespace

Outcome run(const fs::path& program, const Arguments& arguments, const fs::path& folder,
            Environment environment) {
  const fs::path out = fs::path(folder) += ".out", err = fs::path(folder) += ".err";
  Arguments command{program.string()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const char* path = std::getenv("PATH");
  environment["PATH"] = path != nullptr ? path : "/usr/bin:/bin";
  const pid_t process = start(std::move(command), folder, environment, out, err);
  const auto latest = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  Outcome outcome;
  int status = 0;
  while (waitpid(process, &status, WNOHANG) == 0) {
    if (!outcome.hung && std::chrono::steady_clock::now() > latest) {
      outcome.hung = true;
      kill(process, SIGKILL);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.out = read_file(out);
  outcome.err = read_file(err);
  return outcome;
}

}  // namespace lamina::faults
