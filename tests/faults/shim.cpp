// Preloaded into the program: makes one call that touches a file fail, as disks, quotas and signals make it
// fail, or ends the process there. Only paths in one folder count, so that nothing but the program's own work
// is hit. strike.h has how the driver says what.
//
// fsync() does nothing: no power fails here, and the disk would take most of the time.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "strike.h"

using lamina::faults::absolute;
using lamina::faults::fails;
using lamina::faults::path_of;
using lamina::faults::Strike;
using lamina::faults::strike;

namespace {

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

std::size_t half(std::size_t bytes) { return bytes > 1 ? bytes / 2 : bytes; }

template <typename Call>  // call(bytes) writes so many
ssize_t write_struck(int descriptor, std::size_t bytes, const Call& call) {
  switch (strike("write", path_of(descriptor))) {
    case Strike::fail:
      return -1;
    case Strike::shorten:
      return call(half(bytes));
    case Strike::tear:
      call(half(bytes));
      raise(SIGKILL);
      return -1;
    case Strike::none:
      return call(bytes);
  }
  return -1;
}

template <typename Call>
ssize_t read_struck(int descriptor, std::size_t bytes, const Call& call) {
  const Strike what = strike("read", path_of(descriptor));
  if (what == Strike::fail) return -1;
  return call(what == Strike::shorten ? half(bytes) : bytes);
}

}  // namespace

// A function of the C library's name, which is called in its place. The name here is another, since the
// headers declare the library's own, each system a little differently.
#define REPLACE(result, name, parameters)                  \
  extern "C" result shim_##name parameters __asm__(#name); \
  extern "C" result shim_##name parameters

#define NEXT(result, name, parameters) static auto* const real = next<result parameters>(#name)

#define REPLACE_OPEN(name)                                                               \
  REPLACE(int, name, (const char* path, int flags, ...)) {                               \
    NEXT(int, name, (const char*, int, ...));                                            \
    va_list more;                                                                        \
    va_start(more, flags);                                                               \
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                                        \
    return fails("open", absolute(AT_FDCWD, path)) ? -1 : real(path, flags, mode);       \
  }
REPLACE_OPEN(open)
REPLACE_OPEN(open64)

#define REPLACE_OPENAT(name)                                                                   \
  REPLACE(int, name, (int directory, const char* path, int flags, ...)) {                      \
    NEXT(int, name, (int, const char*, int, ...));                                             \
    va_list more;                                                                              \
    va_start(more, flags);                                                                     \
    const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;       \
    va_end(more);                                                                              \
    return fails("open", absolute(directory, path)) ? -1 : real(directory, path, flags, mode); \
  }
REPLACE_OPENAT(openat)
REPLACE_OPENAT(openat64)

// What callers compiled with _FORTIFY_SOURCE call.
#define REPLACE_CHECKED_OPEN(name)                                           \
  REPLACE(int, name, (const char* path, int flags)) {                        \
    NEXT(int, name, (const char*, int));                                     \
    return fails("open", absolute(AT_FDCWD, path)) ? -1 : real(path, flags); \
  }
REPLACE_CHECKED_OPEN(__open_2)
REPLACE_CHECKED_OPEN(__open64_2)

REPLACE(int, creat, (const char* path, mode_t mode)) {
  NEXT(int, creat, (const char*, mode_t));
  return fails("open", absolute(AT_FDCWD, path)) ? -1 : real(path, mode);
}

#define REPLACE_FOPEN(name)                                                      \
  REPLACE(void*, name, (const char* path, const char* mode)) {                   \
    NEXT(void*, name, (const char*, const char*));                               \
    return fails("open", absolute(AT_FDCWD, path)) ? nullptr : real(path, mode); \
  }
REPLACE_FOPEN(fopen)
REPLACE_FOPEN(fopen64)

REPLACE(ssize_t, write, (int descriptor, const void* from, std::size_t bytes)) {
  NEXT(ssize_t, write, (int, const void*, std::size_t));
  return write_struck(descriptor, bytes, [&](std::size_t most) { return real(descriptor, from, most); });
}

REPLACE(ssize_t, writev, (int descriptor, const iovec* pieces, int count)) {
  NEXT(ssize_t, writev, (int, const iovec*, int));
  const auto first = count > 0 ? pieces[0].iov_len : 0;
  return write_struck(descriptor, 2 * first, [&](std::size_t most) {
    return most == 2 * first ? real(descriptor, pieces, count) : real(descriptor, pieces, 1);
  });
}

#define REPLACE_PWRITE(name)                                                                      \
  REPLACE(ssize_t, name, (int descriptor, const void* from, std::size_t bytes, off64_t offset)) { \
    NEXT(ssize_t, name, (int, const void*, std::size_t, off64_t));                                \
    return write_struck(descriptor, bytes,                                                        \
                        [&](std::size_t most) { return real(descriptor, from, most, offset); });  \
  }
REPLACE_PWRITE(pwrite)
REPLACE_PWRITE(pwrite64)

REPLACE(ssize_t, read, (int descriptor, void* to, std::size_t bytes)) {
  NEXT(ssize_t, read, (int, void*, std::size_t));
  return read_struck(descriptor, bytes, [&](std::size_t most) { return real(descriptor, to, most); });
}

REPLACE(ssize_t, __read_chk, (int descriptor, void* to, std::size_t bytes, std::size_t room)) {
  NEXT(ssize_t, __read_chk, (int, void*, std::size_t, std::size_t));
  return read_struck(descriptor, bytes, [&](std::size_t most) { return real(descriptor, to, most, room); });
}

#define REPLACE_PREAD(name)                                                                   \
  REPLACE(ssize_t, name, (int descriptor, void* to, std::size_t bytes, off64_t offset)) {     \
    NEXT(ssize_t, name, (int, void*, std::size_t, off64_t));                                  \
    return read_struck(descriptor, bytes,                                                     \
                       [&](std::size_t most) { return real(descriptor, to, most, offset); }); \
  }
REPLACE_PREAD(pread)
REPLACE_PREAD(pread64)

REPLACE(int, fsync, (int descriptor)) { return fails("fsync", path_of(descriptor)) ? -1 : 0; }
REPLACE(int, fdatasync, (int descriptor)) { return fails("fsync", path_of(descriptor)) ? -1 : 0; }

REPLACE(int, ftruncate, (int descriptor, off_t length)) {
  NEXT(int, ftruncate, (int, off_t));
  return fails("truncate", path_of(descriptor)) ? -1 : real(descriptor, length);
}

// The descriptor is closed all the same, as Linux does.
REPLACE(int, close, (int descriptor)) {
  NEXT(int, close, (int));
  const bool failed = fails("close", path_of(descriptor));
  const int error = errno, status = real(descriptor);
  if (!failed) return status;
  errno = error;
  return -1;
}

REPLACE(int, fclose, (FILE * file)) {
  NEXT(int, fclose, (FILE*));
  const bool failed = fails("close", path_of(::fileno(file)));
  const int error = errno, status = real(file);
  if (!failed) return status;
  errno = error;
  return EOF;
}

REPLACE(int, rename, (const char* from, const char* to)) {
  NEXT(int, rename, (const char*, const char*));
  return fails("rename", absolute(AT_FDCWD, to)) ? -1 : real(from, to);
}

REPLACE(int, renameat, (int from_directory, const char* from, int to_directory, const char* to)) {
  NEXT(int, renameat, (int, const char*, int, const char*));
  return fails("rename", absolute(to_directory, to)) ? -1 : real(from_directory, from, to_directory, to);
}

REPLACE(int, renameat2,
        (int from_directory, const char* from, int to_directory, const char* to, unsigned flags)) {
  NEXT(int, renameat2, (int, const char*, int, const char*, unsigned));
  return fails("rename", absolute(to_directory, to)) ? -1
                                                     : real(from_directory, from, to_directory, to, flags);
}

REPLACE(int, link, (const char* from, const char* to)) {
  NEXT(int, link, (const char*, const char*));
  return fails("rename", absolute(AT_FDCWD, to)) ? -1 : real(from, to);
}

REPLACE(int, mkdir, (const char* path, mode_t mode)) {
  NEXT(int, mkdir, (const char*, mode_t));
  return fails("mkdir", absolute(AT_FDCWD, path)) ? -1 : real(path, mode);
}

REPLACE(int, mkdirat, (int directory, const char* path, mode_t mode)) {
  NEXT(int, mkdirat, (int, const char*, mode_t));
  return fails("mkdir", absolute(directory, path)) ? -1 : real(directory, path, mode);
}

#define REPLACE_REMOVAL(name)                                           \
  REPLACE(int, name, (const char* path)) {                              \
    NEXT(int, name, (const char*));                                     \
    return fails("unlink", absolute(AT_FDCWD, path)) ? -1 : real(path); \
  }
REPLACE_REMOVAL(unlink)
REPLACE_REMOVAL(remove)
REPLACE_REMOVAL(rmdir)

REPLACE(int, unlinkat, (int directory, const char* path, int flags)) {
  NEXT(int, unlinkat, (int, const char*, int));
  return fails("unlink", absolute(directory, path)) ? -1 : real(directory, path, flags);
}

REPLACE(void*, mmap,
        (void* place, std::size_t bytes, int protection, int flags, int descriptor, off64_t offset)) {
  NEXT(void*, mmap, (void*, std::size_t, int, int, int, off64_t));
  if (descriptor >= 0 && fails("mmap", path_of(descriptor))) return reinterpret_cast<void*>(-1);
  return real(place, bytes, protection, flags, descriptor, offset);
}

REPLACE(void*, opendir, (const char* path)) {
  NEXT(void*, opendir, (const char*));
  return fails("opendir", absolute(AT_FDCWD, path)) ? nullptr : real(path);
}

REPLACE(void*, fdopendir, (int descriptor)) {
  NEXT(void*, fdopendir, (int));
  return fails("opendir", path_of(descriptor)) ? nullptr : real(descriptor);
}

extern "C" int dirfd_of(void* directory) __asm__("dirfd");

#define REPLACE_READDIR(name)                                                          \
  REPLACE(void*, name, (void* directory)) {                                            \
    NEXT(void*, name, (void*));                                                        \
    return fails("readdir", path_of(dirfd_of(directory))) ? nullptr : real(directory); \
  }
REPLACE_READDIR(readdir)
REPLACE_READDIR(readdir64)

#define REPLACE_STAT(name)                                                    \
  REPLACE(int, name, (const char* path, void* status)) {                      \
    NEXT(int, name, (const char*, void*));                                    \
    return fails("stat", absolute(AT_FDCWD, path)) ? -1 : real(path, status); \
  }
REPLACE_STAT(stat)
REPLACE_STAT(stat64)
REPLACE_STAT(lstat)
REPLACE_STAT(lstat64)

#define REPLACE_FSTAT(name)                                                    \
  REPLACE(int, name, (int descriptor, void* status)) {                         \
    NEXT(int, name, (int, void*));                                             \
    return fails("stat", path_of(descriptor)) ? -1 : real(descriptor, status); \
  }
REPLACE_FSTAT(fstat)
REPLACE_FSTAT(fstat64)

#define REPLACE_FSTATAT(name)                                                                    \
  REPLACE(int, name, (int directory, const char* path, void* status, int flags)) {               \
    NEXT(int, name, (int, const char*, void*, int));                                             \
    return fails("stat", absolute(directory, path)) ? -1 : real(directory, path, status, flags); \
  }
REPLACE_FSTATAT(fstatat)
REPLACE_FSTATAT(fstatat64)

REPLACE(int, statx, (int directory, const char* path, int flags, unsigned mask, void* status)) {
  NEXT(int, statx, (int, const char*, int, unsigned, void*));
  return fails("stat", absolute(directory, path)) ? -1 : real(directory, path, flags, mask, status);
}

REPLACE(int, access, (const char* path, int mode)) {
  NEXT(int, access, (const char*, int));
  return fails("stat", absolute(AT_FDCWD, path)) ? -1 : real(path, mode);
}
