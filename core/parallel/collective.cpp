#include "core/parallel/collective.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>

#include "core/base/error.h"
#include "core/base/resource_limits.h"
#include "core/parallel/mpi_ranks.h"

namespace lamina {
namespace {

class OneProcess final : public Collective {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int rank_on_host() const override { return 0; }
  void sum(std::span<float>) override {}
  void sum(std::span<double>) override {}
  void broadcast(std::span<std::byte>, int) override {}
  std::vector<std::string> gather(std::string_view text) override { return {std::string(text)}; }
  std::vector<std::string> gather_on_host(std::string_view text) override { return gather(text); }
  void barrier() override {}
  [[noreturn]] void abort(int status) override { std::_Exit(status); }
};

std::unique_ptr<Collective> connect() {
  const int processes = launched_processes();
  if (processes == 0) return std::make_unique<OneProcess>();
  check(mpi_is_built() || processes == 1,
        "{} processes were started together, but this build of Lamina has no MPI: each would take itself for "
        "the "
        "only one. Build it where MPI is installed (libopenmpi-dev), with -DLAMINA_MPI=ON",
        processes);
  if (!mpi_is_built()) return std::make_unique<OneProcess>();
  std::unique_ptr<Collective> ranks = connect_mpi();
  check(ranks->size() == processes,
        "{} processes were started together, but the MPI of this build ({}) sees {}: start them with its own "
        "mpirun, or "
        "with srun and a process manager that it knows (srun --mpi=list)",
        processes, mpi_description(), ranks->size());
  return ranks;
}

Collective* connected = nullptr;

}  // namespace

Collective& collective() {
  static const std::unique_ptr<Collective> ranks = connect();
  connected = ranks.get();
  return *ranks;
}

Collective* connected_ranks() { return connected; }

int cores_of_rank(Collective& ranks) {
  cpu_set_t own;
  CPU_ZERO(&own);
  if (sched_getaffinity(0, sizeof(own), &own) != 0) return 1;
  std::string cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) cores += CPU_ISSET(core, &own) ? '1' : '0';
  double share = 0;
  const std::vector<std::string> all = ranks.gather_on_host(cores);
  for (std::size_t core = 0; core < cores.size(); ++core) {
    if (cores[core] == '0') continue;
    share += 1.0 / static_cast<double>(std::count_if(
                       all.begin(), all.end(), [&](const std::string& other) { return other[core] == '1'; }));
  }
  return std::clamp(static_cast<int>(share + 1e-9), 1, usable_cores().count());
}

int launched_processes() {
  // Open MPI, MPICH and Intel MPI (Hydra), PMIx, and srun; Slurm's own number of tasks is that of the whole
  // allocation, in which a script may start a program alone.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS"}) {
    const char* text = std::getenv(name);
    if (text == nullptr) continue;
    int processes = 0;
    const std::string_view digits = text;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), processes);
    if (error == std::errc{} && end == digits.data() + digits.size() && processes > 0) return processes;
  }
  return 0;
}

}  // namespace lamina
