// Reading whole files, what lies under a name, and names that are bytes.
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include "catch.h"
#include "core/base/error.h"
#include "core/base/file_kind.h"
#include "core/base/memory_file.h"
#include "core/base/printable.h"
#include "core/base/regular_file.h"
#include "core/base/user_directories.h"
#include "core/base/whole_file.h"
#include "message_of.h"
#include "temporary_directory.h"

namespace lamina::tests {

TEST_CASE("bytes that are not UTF-8, and control characters, are shown as numbers") {
  CHECK(printable("cat φ 猫 \xF0\x9F\x90\x88") == "cat φ 猫 \xF0\x9F\x90\x88");
  CHECK(printable("caf\xE9") == "caf\\xe9");
  CHECK(printable("a\x1B[31mb\n\x7F") == "a\\x1b[31mb\\x0a\\x7f");
  CHECK(printable("\xC2\x9B"
                  "2J") == "\\xc2\\x9b2J");  // CSI in one character
  CHECK(printable("") == "");
  for (const char* good : {"", "plain", "é", "\xEF\xBF\xBD", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"}) {
    INFO(printable(good));
    CHECK(is_utf8(good));
  }
  // Cut off, alone, too long, a surrogate, beyond the last character, an old form of five bytes.
  for (const char* bad : {"\xC3", "\xE2\x82", "\x80", "\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80",
                          "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "a\xC3z"}) {
    INFO(printable(bad));
    CHECK_FALSE(is_utf8(bad));
    CHECK(is_utf8(printable(bad)));
  }
}

TEST_CASE("a whole file is read, whatever its size") {
  const Directory directory;
  for (const std::size_t size : {0, 1, 65535, 65536, 65537, 200000}) {
    std::string text(size, 'x');
    for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * i);
    put(directory.file("file"), text);
    CHECK(read_text(directory.file("file")) == text);
    const std::vector<std::uint8_t> bytes = read_bytes(directory.file("file"));
    CHECK(std::string(bytes.begin(), bytes.end()) == text);
  }
  CHECK(read_text("/proc/self/stat").size() > 10);  // says that it is empty
}

TEST_CASE("a file in memory is read by its path, and sealed keeps its size and bytes") {
  std::filesystem::path path;
  std::shared_ptr<std::byte> mapped;
  const auto text = [&] { return std::string_view(reinterpret_cast<const char*>(mapped.get()), 5); };
  {
    MemoryFile file;
    file.write("cat", 3);
    file.write("fish", 4);
    file.seal();
    path = file.path();
    CHECK(read_text(path) == "catfish");
    CHECK(unexplained([&] { file.write("!", 1); }, {"cannot be filled", "not permitted"}) == "nothing");
    std::error_code error;
    std::filesystem::resize_file(path, 1, error);
    CHECK(error == std::errc::operation_not_permitted);
    mapped = RegularFile(path).map();
    *mapped.get() = std::byte{'r'};
    CHECK(text() == "ratfi");
    CHECK(read_text(path) == "catfish");
  }
  CHECK(text() == "ratfi");
  CHECK_FALSE(is_there(path));
}

TEST_CASE("what is no regular file is refused at once, saying what it is") {
  const Directory directory;
  const auto refused = [](const std::filesystem::path& path, const char* what) {
    return unexplained([&] { read_text(path); }, {path.c_str(), what});
  };
  const auto fifo = directory.file("fifo");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(refused(fifo, "is a FIFO") == "nothing");
  CHECK(kind_at(fifo) == std::filesystem::file_type::fifo);
  CHECK(refused("/dev/null", "is a device") == "nothing");
  CHECK(refused(directory.file("."), "is a directory") == "nothing");
  CHECK(refused(directory.file("absent"), "No such file") == "nothing");
  CHECK(kind_at(directory.file("absent")) == std::filesystem::file_type::not_found);
  CHECK_FALSE(is_there(directory.file("absent")));
  CHECK(is_there(fifo));

  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  const std::string path = directory.file("socket").string();
  REQUIRE(path.size() < sizeof address.sun_path);
  std::copy(path.begin(), path.end(), address.sun_path);
  REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  CHECK(refused(path, "is a socket") == "nothing");
  ::close(socket);
}

TEST_CASE("links are followed; one into nothing or in a circle is an error, not absent") {
  const Directory directory;
  put(directory.file("file"), "text");
  std::filesystem::create_symlink("file", directory.file("good"));
  CHECK(read_text(directory.file("good")) == "text");
  std::filesystem::create_symlink("/not/mounted", directory.file("broken"));
  for (const bool read : {false, true})
    CHECK(unexplained(
              [&] {
                const auto path = directory.file("broken");
                read ? void(read_text(path)) : void(is_there(path));
              },
              {"broken", "a link to /not/mounted", "does not exist"}) == "nothing");
  std::filesystem::create_symlink("circle", directory.file("circle"));
  CHECK(unexplained([&] { kind_at(directory.file("circle")); }, {"circle", "cannot be looked at"}) ==
        "nothing");
}

TEST_CASE("a file larger than memory is refused before memory is asked for") {
  const Directory directory;
  put(directory.file("sparse"), "");
  std::error_code no_room;
  std::filesystem::resize_file(directory.file("sparse"), std::uintmax_t{1} << 43, no_room);
  if (no_room) {
    WARN("skipped: the file system has no sparse file of 8 TiB");
    return;
  }
  CHECK(unexplained([&] { read_bytes(directory.file("sparse")); },
                    {"sparse", "8796093022208 bytes", "available"}) == "nothing");
}

TEST_CASE("~/ is the home directory where no shell makes it so") {
  const std::string home = std::getenv("HOME") == nullptr ? "" : std::getenv("HOME");
  ::setenv("HOME", "/their/own", 1);
  CHECK(expand_home("~/images") == "/their/own/images");
  CHECK(expand_home("~") == "/their/own");
  CHECK(expand_home("a/~/b") == "a/~/b");
  CHECK(expand_home("~other/images") == "~other/images");
  ::unsetenv("HOME");
  CHECK_THROWS_AS(expand_home("~/images"), UsageError);
  if (!home.empty()) ::setenv("HOME", home.c_str(), 1);
}

}  // namespace lamina::tests
