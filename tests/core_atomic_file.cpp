// Files that appear whole or not at all.
#include "core/base/atomic_file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "catch.h"
#include "core/files/safetensors.h"
#include "message_of.h"
#include "temporary_directory.h"

namespace lamina::tests {

namespace fs = std::filesystem;

TEST_CASE("Atomic writing: the old file survives a full disk, and nothing is left over") {
  const Directory directory;
  write_file_atomically(directory.file("a"), "old");
  // The system refuses to let files grow beyond the limit: the same path as a full disk, with EFBIG.
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  TensorFile file;
  file.tensors = {{"large", Tensor::zeros({100'000})}};
  const std::string message = message_of([&] { write_tensors(directory.file("a"), file); });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK(message.find("File too large") != std::string::npos);
  CHECK(message.find("nothing was changed") != std::string::npos);
  CHECK(contents_of(directory.file("a")) == "old");
  CHECK(directory.entries() == 1);
}

TEST_CASE("Atomic writing: paths that cannot be written") {
  const Directory directory;
  put(directory.file("file"), "");
  const auto write = [](const fs::path& path) { return [path] { write_file_atomically(path, "x"); }; };
  CHECK(unexplained(write(directory.file("file") / "below"), {"Not a directory"}) == "nothing");
  CHECK(unexplained(write(directory.file("absent") / "below"),
                    {"there is no folder ", "absent; make it first"}) == "nothing");
  fs::create_directory(directory.file("folder"));
  CHECK(unexplained(write(directory.file("folder")), {"not a regular file"}) == "nothing");
  CHECK(unexplained(write("/dev/full"), {"not a regular file"}) == "nothing");
  if (::geteuid() != 0) {  // root may write anywhere
    fs::permissions(directory.file("folder"), fs::perms::owner_read | fs::perms::owner_exec);
    CHECK(unexplained(write(directory.file("folder") / "a"), {"Permission denied"}) == "nothing");
  }
}

TEST_CASE("Atomic writing: follows links, keeps the usual permissions") {
  const Directory directory;
  put(directory.file("target"), "old");
  fs::create_symlink("target", directory.file("link"));
  write_file_atomically(directory.file("link"), "new");
  CHECK(fs::is_symlink(directory.file("link")));
  CHECK(contents_of(directory.file("target")) == "new");
  const mode_t mask = ::umask(0);
  ::umask(mask);
  write_file_atomically(directory.file("fresh"), "x");
  struct stat status {};
  REQUIRE(::stat(directory.file("fresh").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == (0666 & ~mask));
  CHECK(directory.entries() == 3);
}

}  // namespace lamina::tests
