#include "data/sets/gz_file.h"

#include <algorithm>
#include <limits>
#include <new>

#include "core/base/error.h"

namespace lamina::data {

GzFile::GzFile(const std::filesystem::path& path) : file_(path), input_(std::size_t{1} << 16) {
  refill();
  compressed_ = stream_.avail_in >= 2 && input_[0] == 0x1F && input_[1] == 0x8B;
  constexpr int gzip_only = 16 + MAX_WBITS;
  if (compressed_ && inflateInit2(&stream_, gzip_only) != Z_OK) throw std::bad_alloc();
}

GzFile::~GzFile() {
  if (compressed_) inflateEnd(&stream_);
}

void GzFile::refill() {
  stream_.next_in = input_.data();
  stream_.avail_in = static_cast<uInt>(file_.read(input_.data(), input_.size()));
}

// Compressed files may follow one another in one file. False at its end.
bool GzFile::next_member() {
  if (stream_.avail_in == 0) refill();
  if (stream_.avail_in == 0) return false;
  check(*stream_.next_in == 0x1F, "{}: damaged .gz: it goes on behind its end", name());
  inflateReset(&stream_);
  return true;
}

std::size_t GzFile::read(std::uint8_t* out, std::size_t count) {
  check(count <= std::numeric_limits<uInt>::max(), "{}: {} bytes to be read at once", name(), count);
  stream_.next_out = out;
  stream_.avail_out = static_cast<uInt>(count);
  while (stream_.avail_out > 0 && !ended_) {
    if (stream_.avail_in == 0) refill();
    if (!compressed_) {
      const uInt taken = std::min(stream_.avail_in, stream_.avail_out);
      std::copy_n(stream_.next_in, taken, stream_.next_out);
      stream_.next_in += taken, stream_.avail_in -= taken;
      stream_.next_out += taken, stream_.avail_out -= taken;
      ended_ = taken == 0;
      continue;
    }
    check(stream_.avail_in > 0, "{}: damaged or truncated .gz: it ends too early", name());
    const int code = inflate(&stream_, Z_NO_FLUSH);
    check(code == Z_OK || code == Z_STREAM_END, "{}: damaged or truncated .gz: {}", name(),
          stream_.msg != nullptr ? stream_.msg : "its contents make no sense");
    if (code == Z_STREAM_END) ended_ = !next_member();
  }
  return count - stream_.avail_out;
}

}  // namespace lamina::data
