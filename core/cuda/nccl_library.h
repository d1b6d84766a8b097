// NCCL, opened when several ranks train on GPUs. Declared here: the few functions that are used are the same
// in every version 2, and a build need not have its header.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

namespace lamina::cuda {

struct Nccl {
  using Comm = struct ncclComm*;
  struct UniqueId {
    char internal[128];
  };
  static constexpr int success = 0;                // ncclResult_t
  static constexpr int float32 = 7;                // ncclDataType_t
  static constexpr int oldest_captured = 2'09'06;  // as ncclGetVersion counts: 2.9.6

  int (*get_version)(int* version);
  const char* (*get_error_string)(int result);
  int (*get_unique_id)(UniqueId* id);
  int (*comm_init_rank)(Comm* comm, int ranks, UniqueId id, int rank);
  int (*comm_destroy)(Comm comm);  // waits for what was handed out
  int (*group_start)();
  int (*group_end)();
  int (*send)(const void* from, std::size_t count, int type, int to_rank, Comm comm, cudaStream_t stream);
  int (*receive)(void* to, std::size_t count, int type, int from_rank, Comm comm, cudaStream_t stream);
};

// Throws Error if it cannot be opened, or is older than 2.9.6.
const Nccl& nccl();

}  // namespace lamina::cuda
