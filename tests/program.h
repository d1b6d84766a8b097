// Runs the program `lamina` as a user would, with its output caught, and kills it when a test says so.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"

namespace lamina::tests {

namespace fs = std::filesystem;

// A folder of its own for each test, removed afterwards.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "lamina-apps-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

inline std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return std::move(bytes).str();
}

struct Outcome {
  int status = 0;  // exit status, or 128 + the signal that killed it
  std::string out, err;
};

using Arguments = std::vector<std::string>;

inline Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

struct ProgramOptions {
  const char *out = nullptr,
             *err = nullptr;     // files, such as /dev/full, in place of those that Outcome shows
  bool closed_streams = false;   // it starts without standard input, output and error
  std::size_t largest_file = 0;  // bytes; beyond it writing fails, as on a full disk. 0: no limit
};

class Program {
 public:
  explicit Program(Arguments arguments, ProgramOptions options = {}) {
    arguments.insert(arguments.begin(), LAMINA_PROGRAM);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const std::string out = options.out != nullptr ? options.out : (folder_ / "out").string();
    const std::string err = options.err != nullptr ? options.err : (folder_ / "err").string();
    pid_ = fork();
    if (pid_ == 0) become(argv.data(), out.c_str(), err.c_str(), options);
  }
  ~Program() {
    if (pid_ > 0) kill(SIGKILL), wait();
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void kill(int number) const { ::kill(pid_, number); }
  Outcome wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_file(folder_ / "out"),
            read_file(folder_ / "err")};
  }

 private:
  [[noreturn]] static void become(char** argv, const char* out, const char* err, ProgramOptions options) {
    constexpr int flags = O_WRONLY | O_CREAT | O_TRUNC;
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(open(out, flags, 0600), STDOUT_FILENO);
    dup2(open(err, flags, 0600), STDERR_FILENO);
    if (options.closed_streams) ::close(STDIN_FILENO), ::close(STDOUT_FILENO), ::close(STDERR_FILENO);
    if (options.largest_file > 0) {
      const rlimit limit{options.largest_file, options.largest_file};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    execv(argv[0], argv);
    _exit(127);
  }

  TemporaryFolder folder_;
  pid_t pid_ = -1;
};

inline Outcome run(const Arguments& arguments, ProgramOptions options = {}) {
  return Program(arguments, options).wait();
}

// Waits until a condition holds; false after 30 s.
template <typename Condition>
bool wait_until(const Condition& condition) {
  for (int i = 0; i < 30000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

// Whether the case must end, since it needs gnuplot, which is not installed.
inline bool gnuplot_is_missing() {
  static const bool missing = std::system("gnuplot --version >/dev/null 2>&1") != 0;
  if (missing) WARN("skipped: gnuplot is not installed");
  return missing;
}

// A training small enough for tests: 8×8 images of four made-up classes, 6 steps an epoch.
inline Arguments tiny_training(const fs::path& out, int epochs = 2) {
  return {"train",
          "--data",
          "synthetic:8x8x3x4",
          "--model",
          "resnet8",
          "--optimizer",
          "tvlars",
          "--lr",
          "0.5",
          "--batch",
          "32",
          "--limit-train",
          "200",
          "--limit-test",
          "64",
          "--epochs",
          std::to_string(epochs),
          "--progress",
          "plain",
          "--threads",
          "2",
          "--out",
          out.string()};
}

// The same without labels, embeddings of 16 numbers.
inline Arguments tiny_pretraining(const fs::path& out, const std::string& method = "barlow-twins") {
  return {"pretrain",
          "--method",
          method,
          "--data",
          "synthetic:8x8x3x4",
          "--model",
          "resnet8",
          "--optimizer",
          "lars",
          "--lr",
          "0.2",
          "--batch",
          "32",
          "--limit-train",
          "200",
          "--limit-test",
          "64",
          "--epochs",
          "3",
          "--projector",
          "16,16",
          "--knn-every",
          "2",
          "--progress",
          "plain",
          "--threads",
          "2",
          "--out",
          out.string()};
}

// The columns of a CSV file that do not depend on the clock.
inline std::string without_times(const fs::path& csv, std::size_t columns) {
  std::ifstream file(csv);
  std::string text;
  for (std::string line; std::getline(file, line);) {
    std::size_t end = 0;
    for (std::size_t i = 0; i < columns && end != std::string::npos; ++i) end = line.find(',', end + 1);
    text += line.substr(0, end) + "\n";
  }
  return text;
}
inline std::string steps_of(const fs::path& run) { return without_times(run / "steps.csv", 6); }
inline std::string epochs_of(const fs::path& run) { return without_times(run / "epochs.csv", 5); }

}  // namespace lamina::tests
