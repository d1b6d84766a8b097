#include "core/parallel/mpi_ranks.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sstream>
#include <thread>

#include "core/base/error.h"
#include "core/base/rounding.h"
#include "core/parallel/background.h"
#include "core/parallel/rank_watch.h"

namespace lamina {
namespace {

void check_mpi(int status, const char* operation) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  if (MPI_Error_string(status, text, &length) != MPI_SUCCESS) length = 0;
  fail("MPI: {} failed: {}; another rank, or its machine, may have ended before", operation,
       std::string_view(text, static_cast<std::size_t>(length)));
}

int bytes_of(std::int64_t count) {
  check(count >= 0 && count <= INT32_MAX, "MPI: {} bytes in one message; at most {} fit", count, INT32_MAX);
  return static_cast<int>(count);
}

// Adds the time until its end to `seconds`.
class CountedWait {
 public:
  explicit CountedWait(double& seconds) : seconds_(seconds), start_(Clock::now()) {}
  ~CountedWait() { seconds_ += std::chrono::duration<double>(Clock::now() - start_).count(); }
  CountedWait(const CountedWait&) = delete;
  CountedWait& operator=(const CountedWait&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  double& seconds_;
  Clock::time_point start_;
};

class Mpi final : public Collective {
 public:
  Mpi() {
    int given = MPI_THREAD_SINGLE;
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &given), "MPI_Init_thread");
    check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(given >= MPI_THREAD_SERIALIZED,
          "MPI: {} lets only its first thread communicate; expected one with MPI_THREAD_SERIALIZED",
          mpi_description());
    rank_ = asked(MPI_COMM_WORLD, MPI_Comm_rank), size_ = asked(MPI_COMM_WORLD, MPI_Comm_size);
    check_mpi(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host_),
              "MPI_Comm_split_type");
    host_size_ = asked(host_, MPI_Comm_size);
    watch_host();
  }
  ~Mpi() override {
    watch_.reset();
    if (watched_ != MPI_WIN_NULL) {
      MPI_Barrier(host_);  // or one that ends first would be taken for dead
      MPI_Win_free(&watched_);
    }
    if (host_ != MPI_COMM_NULL) MPI_Comm_free(&host_);
    MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int rank_on_host() const override { return asked(host_, MPI_Comm_rank); }
  void sum(std::span<float> values) override { sum_now(values); }
  void sum(std::span<double> values) override { sum_now(values); }
  void start_sum(std::span<float> values) override { sum_beside(values); }
  void start_sum(std::span<double> values) override { sum_beside(values); }
  void wait_for_sums() override {
    const CountedWait counted(seconds_waited_);
    background_.wait();
  }
  bool sums_wait_for_network() const override { return host_size_ < size_; }

  void broadcast(std::span<std::byte> bytes, int root) override {
    const CountedWait counted(seconds_waited_);
    background_.wait();
    constexpr std::size_t most = std::size_t{1} << 30;
    for (std::size_t first = 0; first < bytes.size(); first += most) {
      const std::span<std::byte> part = bytes.subspan(first, std::min(most, bytes.size() - first));
      check_mpi(MPI_Bcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, root, MPI_COMM_WORLD),
                "MPI_Bcast");
    }
  }

  std::vector<std::string> gather(std::string_view text) override { return gather_of(MPI_COMM_WORLD, text); }
  std::vector<std::string> gather_on_host(std::string_view text) override { return gather_of(host_, text); }

  void barrier() override {
    const CountedWait counted(seconds_waited_);
    background_.wait();
    check_mpi(MPI_Barrier(MPI_COMM_WORLD), "MPI_Barrier");
  }

  double seconds_waited() const override { return seconds_waited_; }

  [[noreturn]] void abort(int status) override {
    if (told_ != nullptr) *told_ = 1;
    MPI_Abort(MPI_COMM_WORLD, status);
    std::_Exit(status);
  }

 private:
  // In containers of their own, processes have numbers that mean nothing to the others.
  void watch_host() {
    std::array<char, 64> processes{};
    [[maybe_unused]] const auto length =
        readlink("/proc/self/ns/pid", processes.data(), processes.size() - 1);
    const std::string own = fmt::format("{} {} {}", rank_, getpid(), processes.data());
    std::vector<RankWatch::Process> others;
    bool comparable = true;
    for (const std::string& text : gather_on_host(own)) {
      std::istringstream words(text);
      RankWatch::Process other{};
      std::string space;
      words >> other.rank >> other.id >> space;
      comparable = comparable && space == processes.data();
      if (other.rank != rank_) others.push_back(other);
    }
    if (others.empty() || !comparable) return;
    told_ = shared_word();
    if (told_ == nullptr) return;
    watch_ = std::make_unique<RankWatch>(others, *told_, [] { MPI_Abort(MPI_COMM_WORLD, 1); });
  }

  // 0 at first; null where the ranks of this machine can share no memory.
  std::atomic<int>* shared_word() {
    static_assert(std::atomic<int>::is_always_lock_free);
    void* place = nullptr;
    const bool first = asked(host_, MPI_Comm_rank) == 0;
    const MPI_Aint bytes = first ? sizeof(std::atomic<int>) : 0;
    int made =
        MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, host_, &place, &watched_) == MPI_SUCCESS ? 1 : 0;
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, &made, 1, MPI_INT, MPI_MIN, host_), "MPI_Allreduce");
    if (made == 0) {  // on one of them, at least
      watched_ = MPI_WIN_NULL;
      return nullptr;
    }
    MPI_Aint size = 0;
    int unit = 0;
    check_mpi(MPI_Win_shared_query(watched_, 0, &size, &unit, &place), "MPI_Win_shared_query");
    if (first) new (place) std::atomic<int>(0);
    check_mpi(MPI_Barrier(host_), "MPI_Barrier");
    return static_cast<std::atomic<int>*>(place);
  }

  static int asked(MPI_Comm ranks, int (*ask)(MPI_Comm, int*)) {
    int answer = 0;
    check_mpi(ask(ranks, &answer), "asking for ranks");
    return answer;
  }

  std::vector<std::string> gather_of(MPI_Comm among, std::string_view text) {
    const CountedWait counted(seconds_waited_);
    background_.wait();
    const auto ranks = static_cast<std::size_t>(asked(among, MPI_Comm_size));
    const int length = bytes_of(std::ssize(text));
    std::vector<int> lengths(ranks), first(ranks);
    check_mpi(MPI_Allgather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, among), "MPI_Allgather");
    std::int64_t total = 0;
    for (std::size_t r = 0; r < ranks; ++r) {
      first[r] = bytes_of(total);
      total += lengths[r];
    }
    std::string all(static_cast<std::size_t>(bytes_of(total)), '\0');
    check_mpi(MPI_Allgatherv(text.data(), length, MPI_BYTE, all.data(), lengths.data(), first.data(),
                             MPI_BYTE, among),
              "MPI_Allgatherv");
    std::vector<std::string> texts;
    for (std::size_t r = 0; r < ranks; ++r)
      texts.push_back(all.substr(static_cast<std::size_t>(first[r]), static_cast<std::size_t>(lengths[r])));
    return texts;
  }

  std::size_t ranks() const { return static_cast<std::size_t>(size_); }

  template <typename Real>
  void sum_now(std::span<Real> values) {
    const CountedWait counted(seconds_waited_);
    background_.wait();
    sum_in_order(values, /*beside_others=*/false);
  }

  template <typename Real>
  void sum_beside(std::span<Real> values) {
    if (size_ > 1) background_.start([this, values] { sum_in_order(values, /*beside_others=*/true); });
  }

  template <typename Real>
  void sum_in_order(std::span<Real> values, bool beside_others) {
    if (size_ == 1) return;
    const std::size_t bucket = ranks() * (bytes_at_a_time / sizeof(Real));
    for (std::size_t first = 0; first < values.size(); first += bucket)
      sum_bucket(values.subspan(first, std::min(bucket, values.size() - first)), beside_others);
  }

  // Rank r adds up the r-th piece of all ranks' values, and sends it to all.
  template <typename Real>
  void sum_bucket(std::span<Real> values, bool beside_others) {
    const auto n = std::ssize(values);
    const std::int64_t piece = ceil_div<std::int64_t>(n, size_);
    std::vector<int> bytes(ranks()), first(ranks());
    for (int r = 0; r < size_; ++r) {
      const std::int64_t begin = std::min(n, r * piece), end = std::min(n, begin + piece);
      const auto at = static_cast<std::size_t>(r);
      first[at] = bytes_of(begin * std::int64_t{sizeof(Real)});
      bytes[at] = bytes_of((end - begin) * std::int64_t{sizeof(Real)});
    }
    const auto mine = static_cast<std::size_t>(rank_);
    const std::size_t length = static_cast<std::size_t>(bytes[mine]) / sizeof(Real);
    std::vector<Real> received(length * ranks());
    const std::vector<int> received_bytes(ranks(), bytes[mine]);
    std::vector<int> received_first(ranks());
    for (int r = 0; r < size_; ++r) received_first[static_cast<std::size_t>(r)] = r * bytes[mine];
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(
        MPI_Ialltoallv(values.data(), bytes.data(), first.data(), MPI_BYTE, received.data(),
                       received_bytes.data(), received_first.data(), MPI_BYTE, MPI_COMM_WORLD, &request),
        "MPI_Ialltoallv");
    wait(request, beside_others);
    for (std::size_t r = 1; r < ranks(); ++r)
      for (std::size_t i = 0; i < length; ++i) received[i] += received[r * length + i];
    check_mpi(MPI_Iallgatherv(received.data(), bytes[mine], MPI_BYTE, values.data(), bytes.data(),
                              first.data(), MPI_BYTE, MPI_COMM_WORLD, &request),
              "MPI_Iallgatherv");
    wait(request, beside_others);
  }

  // MPI waits at full speed, and would take the core from what goes on beside it. What has come meanwhile is
  // in the system's buffers.
  void wait(MPI_Request& request, bool beside_others) {
    int done = 0;
    while (beside_others && !background_.is_waited_for()) {
      check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
      if (done != 0) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    check_mpi(MPI_Wait(&request, MPI_STATUS_IGNORE), "MPI_Wait");
  }

  int rank_ = 0, size_ = 1, host_size_ = 1;
  double seconds_waited_ = 0;
  MPI_Comm host_ = MPI_COMM_NULL;  // the ranks of this machine
  MPI_Win watched_ = MPI_WIN_NULL;
  std::atomic<int>* told_ = nullptr;  // in it, where the ranks of this machine are watched
  std::unique_ptr<RankWatch> watch_;
  Background background_;
};

}  // namespace

bool mpi_is_built() { return true; }

std::string mpi_description() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "MPI";
  const std::string_view name(text, static_cast<std::size_t>(length));
  return std::string(name.substr(0, name.find_first_of(",\n")));
}

std::unique_ptr<Collective> connect_mpi() { return std::make_unique<Mpi>(); }

}  // namespace lamina
