// The safetensors format: round trips, a file made by Python, every way of being broken.
#include "core/files/safetensors.h"

#include <sys/stat.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "catch.h"
#include "core/random.h"
#include "message_of.h"
#include "temporary_directory.h"

using namespace lamina;
using lamina::tests::contents_of;
using lamina::tests::Directory;
using lamina::tests::message_of;
using lamina::tests::put;
using lamina::tests::unexplained;
namespace fs = std::filesystem;

namespace {

std::string length_prefix(std::uint64_t length) {
  std::string text(sizeof length, '\0');
  std::memcpy(text.data(), &length, sizeof length);
  return text;
}

std::string file_bytes(const std::string& header, std::size_t data_bytes = 0) {
  return length_prefix(header.size()) + header + std::string(data_bytes, '\1');
}

// What reading a file with this header and so many bytes of data says.
std::string verdict(const std::string& header, std::size_t data_bytes = 0) {
  const Directory directory;
  put(directory.file("broken.safetensors"), file_bytes(header, data_bytes));
  return message_of([&] { read_tensors(directory.file("broken.safetensors")); });
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return fmt::format(R"({{"dtype":"{}","shape":{},"data_offsets":{}}})", dtype, shape, offsets);
}

TensorFile sample_file() {
  TensorFile file;
  file.metadata = {{"model", "resnet20"}, {"quote", "\"ä\n\\"}, {"", ""}};
  file.tensors = {{"bytes", Tensor::from<std::uint8_t>({1, 2, 255}, {3})},
                  {"scalar", Tensor::from<float>({-0.0f}, {})},
                  {"doubles", Tensor::from<double>({1e300, -1, 0.1, 3}, {2, 1, 1, 2, 1, 1})},
                  {"count", Tensor::from<std::int32_t>({-7}, {})},
                  {"empty", Tensor::from<float>({}, {4, 0, 2})},
                  {"ints \"ü\"", Tensor::from<std::int32_t>({1, -2}, {2})}};
  file.as_i64 = {"count"};
  return file;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

}  // namespace

TEST_CASE("safetensors: a written file reads back in the same order, bit for bit") {
  const Directory directory;
  const TensorFile file = sample_file();
  write_tensors(directory.file("a.safetensors"), file);
  const TensorFile back = read_tensors(directory.file("a.safetensors"));
  CHECK(back.metadata == file.metadata);
  CHECK(back.as_i64 == file.as_i64);
  REQUIRE(back.tensors.size() == file.tensors.size());
  for (std::size_t i = 0; i < file.tensors.size(); ++i) {
    CHECK(back.tensors[i].first == file.tensors[i].first);
    CHECK(same_bytes(back.tensors[i].second, file.tensors[i].second));
  }
  CHECK(read_metadata(directory.file("a.safetensors")) == file.metadata);

  write_tensors(directory.file("b.safetensors"), back);
  CHECK(contents_of(directory.file("a.safetensors")) == contents_of(directory.file("b.safetensors")));
}

TEST_CASE("safetensors: an empty file has neither tensors nor metadata") {
  const Directory directory;
  write_tensors(directory.file("a"), {});
  CHECK(read_tensors(directory.file("a")).tensors.empty());
  CHECK(verdict("{}") == "(no error)");
  CHECK(verdict("{}      ") == "(no error)");  // padding, as other writers add
  CHECK(verdict(R"({"__metadata__":{}})") == "(no error)");
  CHECK(verdict(R"({"__metadata__":null})") == "(no error)");  // as the format's own reader takes it
}

TEST_CASE("safetensors: every tensor lies at a multiple of its element size") {
  const Directory directory;
  write_tensors(directory.file("a"), sample_file());
  const std::string bytes = contents_of(directory.file("a"));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  CHECK(length % 8 == 0);
  const auto header = nlohmann::json::parse(bytes.substr(8, length));
  const std::map<std::string, int> sizes{{"F64", 8}, {"I64", 8}, {"F32", 4}, {"I32", 4}, {"U8", 1}};
  for (const auto& [name, info] : header.items()) {
    if (name != "__metadata__") CHECK(info["data_offsets"][0].get<int>() % sizes.at(info["dtype"]) == 0);
  }
}

TEST_CASE("safetensors: a file made by Python's safetensors package") {
  const TensorFile file = read_tensors(std::string(LAMINA_SOURCE_DIR) + "/tests/golden/python.safetensors");
  CHECK(file.metadata ==
        std::map<std::string, std::string>{{"made by", "safetensors.torch"}, {"umlaut", "ä\n\"é"}});
  const auto floats = [&](const char* name) { return file.at(name).to_vector<float>(); };
  constexpr float inf = std::numeric_limits<float>::infinity();
  CHECK(file.at("weight").shape() == Shape{2, 3});
  CHECK(floats("weight") == std::vector<float>{1.5f, -2.25f, 3, 0, 0, 1e-3f});
  CHECK(std::signbit(floats("weight")[4]));
  // Normal, subnormal and largest f16; exact in f32.
  CHECK(floats("half") ==
        std::vector<float>{1, -0.333251953125f, 6.103515625e-05f, 5.960464477539063e-08f, 65504, inf, -inf});
  CHECK(floats("bfloat")[1] == -2.5f);
  CHECK(std::abs(floats("bfloat")[2] / 3.0e38f - 1) < 1.0f / 256);  // 8 significant bits
  CHECK(file.at("count").item() == 12345);
  CHECK(file.as_i64 == std::set<std::string>{"count"});
  CHECK(file.at("double").to_vector<double>()[0] == 3.141592653589793);
  CHECK(file.at("bytes").to_vector<std::uint8_t>() == std::vector<std::uint8_t>{0, 127, 255});
  CHECK(file.at("ints").to_vector<std::int32_t>() == std::vector<std::int32_t>{-2147483647 - 1, 7});
  CHECK(file.at("empty").shape() == Shape{0, 3});
}

TEST_CASE("safetensors: an absent name is answered with near ones") {
  const TensorFile file = sample_file();
  CHECK(file.find("scaler") == nullptr);
  CHECK(unexplained([&] { file.at("scaler"); }, {"scaler", "scalar"}) == "nothing");
}

namespace {

struct RefusedHeader {
  const char* what;
  std::string header;
  std::size_t data_bytes;
  const char* message;
};

void check_refused(const std::vector<RefusedHeader>& headers) {
  for (const RefusedHeader& refused : headers) {
    INFO(refused.what);
    const std::string message = verdict(refused.header, refused.data_bytes);
    INFO(message.substr(0, 300));
    CHECK(message.find(refused.message) != std::string::npos);
    CHECK(message.find("broken.safetensors") != std::string::npos);
  }
}

}  // namespace

TEST_CASE("safetensors: headers that are not in the format") {
  const std::string f32x2 = entry("F32", "[2]", "[0,8]");
  const auto deep = [](const char* open, int times) {
    std::string text;
    for (int i = 0; i < times; ++i) text += open;
    return text;
  };
  check_refused({
      {"empty header", "", 0, "does not begin with"},
      {"leading space", " {}", 0, "does not begin with"},
      {"an array", "[]", 0, "does not begin with"},
      {"cut off", R"({"a":{"dtype")", 0, "not JSON"},
      {"two values", "{} {}", 0, "not JSON"},
      {"not UTF-8", "{\"\xff\":" + f32x2 + "}", 8, "not JSON"},
      {"a NUL behind", std::string("{}\0", 3), 0, "not JSON"},
      {"value is a number", R"({"a":5})", 0, "the number 5"},
      {"value is null", R"({"a":null})", 0, "null"},
      {"value is a list", R"({"a":[1]})", 0, "an array"},
      {"metadata is a text", R"({"__metadata__":"x"})", 0, "a string"},
      {"metadata value is a number", R"({"__metadata__":{"a":1}})", 0, "the number 1"},
      {"metadata value is a list", R"({"__metadata__":{"a":["b"]}})", 0, "an array"},
      {"metadata is nested", R"({"__metadata__":{"a":{}}})", 0, "an object"},
      {"metadata key twice", R"({"__metadata__":{"a":"1","a":"2"}})", 0, "occurs twice"},
      {"metadata twice", R"({"__metadata__":{},"__metadata__":{}})", 0, "occurs twice"},
      {"name twice", "{\"a\":" + f32x2 + ",\"a\":" + f32x2 + "}", 8, "\"a\" occurs twice"},
      {"field twice", R"({"a":{"dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4,
       "\"dtype\" twice"},
      {"field missing", R"({"a":{"dtype":"F32","shape":[2]}})", 8, "lacks one of"},
      {"field unknown", R"({"a":{"dtype":"F32","stride":[2]}})", 8, "unknown key \"stride\""},
      {"100,000 nested lists", "{\"a\":{\"shape\":" + deep("[", 100'000), 0, "an array"},
      {"100,000 nested objects", deep("{\"dtype\":", 100'000), 0, "an object"},
  });
}

TEST_CASE("safetensors: headers whose tensors do not fit the data") {
  const std::string f32x2 = entry("F32", "[2]", "[0,8]");
  check_refused({
      {"dtype unknown", "{\"a\":" + entry("F8", "[2]", "[0,2]") + "}", 2, "dtype F8; readable are"},
      {"dtype is a list", R"({"a":{"dtype":["F32"]}})", 8, "an array"},
      {"shape is a number", R"({"a":{"shape":8}})", 8, "the number 8"},
      {"shape holds a text", R"({"a":{"shape":["8"]}})", 8, "a string"},
      {"negative extent", "{\"a\":" + entry("F32", "[-2]", "[0,8]") + "}", 8, "the negative number -2"},
      {"fractional extent", "{\"a\":" + entry("F32", "[2.0]", "[0,8]") + "}", 8, "the number 2.0"},
      {"extent beyond 2^63", "{\"a\":" + entry("F32", "[9223372036854775808]", "[0,8]") + "}", 8,
       "out of range"},
      {"seven dimensions", "{\"a\":" + entry("U8", "[1,1,1,1,1,1,1]", "[0,1]") + "}", 1, "more than 6"},
      {"product overflows", "{\"a\":" + entry("F32", "[4294967296,4294967296]", "[0,0]") + "}", 0,
       "do not fit"},
      {"overflow beside a zero", "{\"a\":" + entry("F32", "[9223372036854775807,4,0]", "[0,0]") + "}", 0,
       "do not fit"},
      {"three offsets", "{\"a\":" + entry("F32", "[2]", "[0,8,8]") + "}", 8, "3 data_offsets"},
      {"one offset", "{\"a\":" + entry("F32", "[2]", "[8]") + "}", 8, "1 data_offsets"},
      {"begin after end", "{\"a\":" + entry("F32", "[2]", "[8,0]") + "}", 8, "do not fit"},
      {"range too long", "{\"a\":" + entry("F32", "[2]", "[0,12]") + "}", 12, "do not fit"},
      {"offsets beyond 2^64", "{\"a\":" + entry("F32", "[2]", "[0,18446744073709551624]") + "}", 8,
       "the number"},
      {"hole at the start", "{\"a\":" + entry("F32", "[2]", "[4,12]") + "}", 12, "hole"},
      {"hole between", "{\"a\":" + f32x2 + ",\"b\":" + entry("F32", "[1]", "[12,16]") + "}", 16, "hole"},
      {"overlap", "{\"a\":" + f32x2 + ",\"b\":" + entry("F32", "[2]", "[4,12]") + "}", 12, "overlap"},
      {"same range twice", "{\"a\":" + f32x2 + ",\"b\":" + f32x2 + "}", 8, "overlap"},
      {"data cut off", "{\"a\":" + f32x2 + "}", 7, "cut off"},
      {"data behind", "{\"a\":" + f32x2 + "}", 9, "something else behind"},
      {"i64 out of range", "{\"a\":" + entry("I64", "[1]", "[0,8]") + "}", 8, "does not fit an i32"},
  });
}

TEST_CASE("safetensors: files that are refused before their header") {
  const Directory directory;
  const fs::path path = directory.file("a");
  const auto read = [&] { read_tensors(path); };
  CHECK(unexplained(read, {"No such file"}) == "nothing");
  put(path, "");
  CHECK(unexplained(read, {"the file is empty"}) == "nothing");
  put(path, std::string(7, '\0'));
  CHECK(unexplained(read, {"7 bytes", "too few"}) == "nothing");
  put(path, length_prefix(3) + "{}");
  CHECK(unexplained(read, {"header would take 3 bytes", "file of 10"}) == "nothing");
  put(path, length_prefix(std::numeric_limits<std::uint64_t>::max()) + "{}");
  CHECK(unexplained(read, {"header would take 18446744073709551615"}) == "nothing");
  put(path, length_prefix(100'000'001));
  fs::resize_file(path, 200'000'000);  // a hole: takes no space
  CHECK(unexplained(read, {"header would take 100000001"}) == "nothing");
  CHECK(unexplained([&] { read_tensors(directory.file("")); }, {"is a directory"}) == "nothing");
  REQUIRE(::mkfifo(directory.file("pipe").c_str(), 0600) == 0);
  CHECK(unexplained([&] { read_tensors(directory.file("pipe")); }, {"is a FIFO"}) == "nothing");
}

TEST_CASE("safetensors: other formats are recognised, and PyTorch's comes with the way out") {
  const Directory directory;
  const auto read = [&](const std::string& bytes) {
    put(directory.file("w"), bytes);
    return message_of([&] { read_tensors(directory.file("w")); });
  };
  const auto says = [](const std::string& message, const char* part) {
    INFO(message);
    CHECK(message.find("not a safetensors file, but ") != std::string::npos);
    CHECK(message.find(part) != std::string::npos);
  };
  for (const std::string start : {"PK\3\4\n\0\0\0\0\0", "\x80\2\x8a\nl\xfc\x9c\x46\xf9\x20"}) {
    says(read(start + std::string(50, '\7')), "PyTorch's own format");
    says(read(start + std::string(50, '\7')), "save_file(torch.load(");
  }
  says(read("\x89HDF\r\n\x1a\n"), "an HDF5 file");
  says(read("epoch,loss\n1,2\n"), "text");
  says(read("abc"), "text");
}

TEST_CASE("safetensors: a mutated file is read or refused, never worse") {
  const Directory directory;
  write_tensors(directory.file("good"), sample_file());
  const std::string good = contents_of(directory.file("good"));
  int refused = 0;
  constexpr int rounds = 3000;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    const Random random{.seed = 1, .stream = Stream::user, .sample = round};
    std::string bytes = good;
    const std::uint32_t changes = 1 + random.below(0, 3);
    for (std::uint32_t i = 0; i < changes; ++i) {
      const std::uint32_t at = random.below(10 + 2 * i, static_cast<std::uint32_t>(bytes.size()));
      bytes[at] = static_cast<char>(random.bits(11 + 2 * i));
    }
    if (random.below(1, 4) == 0) bytes.resize(random.below(2, static_cast<std::uint32_t>(bytes.size())));
    put(directory.file("mutated"), bytes);
    refused += message_of([&] { read_tensors(directory.file("mutated")); }) != "(no error)" ? 1 : 0;
  }
  CHECK(refused > rounds / 2);  // most bytes belong to the header
}

TEST_CASE("safetensors: what cannot be written is said before anything is touched") {
  const Directory directory;
  put(directory.file("a"), "old");
  const auto write = [&](std::vector<std::pair<std::string, Tensor>> tensors) {
    TensorFile file;
    file.tensors = std::move(tensors);
    return message_of([&] { write_tensors(directory.file("a"), file); });
  };
  const Tensor one = Tensor::zeros({1});
  CHECK(write({{"x", one}, {"x", one}}).find("\"x\" is taken") != std::string::npos);
  CHECK(write({{"__metadata__", one}}).find("is taken") != std::string::npos);
  CHECK(write({{"x", Tensor{}}}).find("undefined") != std::string::npos);
  CHECK(write({{"\xff", one}}).find("not UTF-8") != std::string::npos);
  CHECK(contents_of(directory.file("a")) == "old");
  CHECK(directory.entries() == 1);
}
