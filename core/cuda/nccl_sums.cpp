// Sums over ranks on GPUs, by NCCL's messages: its own all-reduce adds up in an order of its own, which
// depends on how the GPUs are connected and on its version.
#include <algorithm>
#include <array>
#include <exception>
#include <span>

#include "core/base/option_name.h"
#include "core/base/rounding.h"
#include "core/cuda/check.h"
#include "core/cuda/cuda_backend.h"
#include "core/cuda/nccl_library.h"
#include "core/gpu_sums.h"

namespace lamina {
namespace {

using cuda::Nccl;
using cuda::nccl;

void check_nccl(int result, const char* doing) {
  if (result == Nccl::success) return;
  throw DeviceError(
      fmt::format("NCCL: {} failed: {}. NCCL_DEBUG=WARN says more", doing, nccl().get_error_string(result)));
}

// NCCL would say that there is a duplicate.
void check_own_gpu(Collective& ranks, int index) {
  std::array<char, 32> bus{};
  cuda::check_cuda(cudaDeviceGetPCIBusId(bus.data(), static_cast<int>(bus.size()), index),
                   "asking about the GPU");
  const std::vector<std::string> all = ranks.gather_on_host(bus.data());
  const auto own = static_cast<std::size_t>(ranks.rank_on_host());
  for (std::size_t other = 0; other < all.size(); ++other)
    if (other != own && all[other] == all[own])
      fail_usage(
          "rank {}: its GPU cuda:{} ({}) is also that of another rank of this machine, with {} ranks and "
          "{} GPUs for this one; each needs its own: {} cuda takes the one of its place among them",
          ranks.rank(), index, all[own], all.size(), cuda_device_count(), option_name("device"));
}

class NcclSums final : public GpuSums {
 public:
  NcclSums(Collective& ranks, CudaBackend& gpu) : gpu_(gpu), rank_(ranks.rank()), size_(ranks.size()) {
    const int index = gpu.device().index;
    check_own_gpu(ranks, index);
    Nccl::UniqueId id{};
    if (rank_ == 0) check_nccl(nccl().get_unique_id(&id), "starting");
    ranks.broadcast(std::as_writable_bytes(std::span(&id, 1)), 0);
    cuda::check_cuda(cudaSetDevice(index), "choosing a GPU");
    check_nccl(nccl().comm_init_rank(&comm_, size_, id, rank_), "connecting the ranks");
  }
  // While an error ends this rank, the others may wait for its messages: NCCL would wait for them in turn,
  // and nobody would hear of the error. The process is about to end.
  ~NcclSums() override {
    const bool fails = std::uncaught_exceptions() > 0 || std::current_exception() != nullptr;
    if (!fails) nccl().comm_destroy(comm_);
  }

  // Rank r adds up the r-th piece of all ranks' values, and sends it to all.
  void sum(const Tensor& values) override {
    check(values.dtype() == DType::f32 && values.device() == gpu_.device(),
          "sum over ranks: {} is not f32 on {}", values.str(), gpu_.device().str());
    if (values.elements() == 0) return;
    const Tensor received = Tensor::empty({size_, piece_of(values)}, values.options());
    const std::int64_t own = length(values, rank_);
    exchange([&](int other) {
      send(piece(values, other), other);
      receive(received.rows(other, 1).flat(0, {own}), other);
    });
    Tensor mine = received.rows(rank_, 1).flat(0, {own}), total = received.rows(0, 1).flat(0, {own});
    gpu_.copy(piece(values, rank_), mine);
    for (int r = 1; r < size_; ++r) gpu_.accumulate(received.rows(r, 1).flat(0, {own}), total);
    exchange([&](int other) {
      send(total, other);
      receive(piece(values, other), other);
    });
    Tensor kept = piece(values, rank_);
    gpu_.copy(total, kept);
  }

 private:
  std::int64_t piece_of(const Tensor& values) const {
    return ceil_div<std::int64_t>(values.elements(), size_);
  }
  std::int64_t first(const Tensor& values, int rank) const {
    return std::min(values.elements(), rank * piece_of(values));
  }
  std::int64_t length(const Tensor& values, int rank) const {
    return first(values, rank + 1) - first(values, rank);
  }
  Tensor piece(const Tensor& values, int rank) const {
    return values.flat(first(values, rank), {length(values, rank)});
  }

  template <typename With>
  void exchange(const With& with) {
    check_nccl(nccl().group_start(), "beginning an exchange");
    for (int other = 0; other < size_; ++other)
      if (other != rank_) with(other);
    check_nccl(nccl().group_end(), "an exchange");
  }
  void send(const Tensor& from, int to) {
    if (from.elements() == 0) return;
    check_nccl(nccl().send(from.raw(), static_cast<std::size_t>(from.elements()), Nccl::float32, to, comm_,
                           gpu_.stream()),
               "sending");
  }
  void receive(const Tensor& to, int from) {
    if (to.elements() == 0) return;
    check_nccl(nccl().receive(to.raw(), static_cast<std::size_t>(to.elements()), Nccl::float32, from, comm_,
                              gpu_.stream()),
               "receiving");
  }

  CudaBackend& gpu_;
  int rank_, size_;
  Nccl::Comm comm_ = nullptr;
};

}  // namespace

std::unique_ptr<GpuSums> connect_gpus(Collective& ranks, Device device) {
  return std::make_unique<NcclSums>(ranks, dynamic_cast<CudaBackend&>(backend_for(device)));
}

}  // namespace lamina
