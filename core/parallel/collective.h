// Processes that compute together, on one machine or many: "ranks" 0 … size() - 1, which `mpirun -n 4
// PROGRAM` or `srun PROGRAM` starts. A process that was started alone is the only rank.
//
// All ranks call the same functions in the same order, with as much data; a rank that calls another one, or
// none, leaves the rest waiting. One thread of a process at a time may call them.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace lamina {

class Collective {
 public:
  Collective() = default;
  Collective(const Collective&) = delete;
  Collective& operator=(const Collective&) = delete;
  virtual ~Collective() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int rank_on_host() const = 0;  // among the ranks of one's own machine, from 0

  // values[i] becomes the sum of all ranks' values[i]: (((x₀ + x₁) + x₂) + …), in the order of the ranks and
  // the precision of the values, and so the same bits on all of them and in every run. Each rank sends and
  // receives 2 (1 - 1/size) times the values.
  virtual void sum(std::span<float> values) = 0;
  virtual void sum(std::span<double> values) = 0;

  // A sum() that goes on beside what this rank computes. Nobody may touch the values before wait_for_sums()
  // has returned, which throws what went wrong in any of them. It is one of the calls that all ranks make in
  // the same order; the next one of another kind waits for it.
  virtual void start_sum(std::span<float> values) { sum(values); }
  virtual void start_sum(std::span<double> values) { sum(values); }
  virtual void wait_for_sums() {}
  // Whether that is worth it: between machines, where it waits for a network. On one machine ranks copy, and
  // want the cores that compute.
  virtual bool sums_wait_for_network() const { return false; }

  // Of each rank's values, which are summed at a time: more of them at once wait no shorter for messages.
  static constexpr std::size_t bytes_at_a_time = std::size_t{1} << 20;

  virtual void broadcast(std::span<std::byte> bytes, int root) = 0;    // root's, to all
  virtual std::vector<std::string> gather(std::string_view text) = 0;  // each rank's, in their order, on all
  // The same of the ranks on one's own machine, which share its cores, memory and files.
  virtual std::vector<std::string> gather_on_host(std::string_view text) = 0;
  virtual void barrier() = 0;

  // How long this rank has been within those calls, in all: what it waited for the others, and what they
  // sent. A sum that goes on beside its own work counts from wait_for_sums() on.
  virtual double seconds_waited() const { return 0; }

  // Ends the processes of all ranks, with this exit status.
  [[noreturn]] virtual void abort(int status) = 0;
};

// This program's ranks; the first call connects them. Throws Error where mpirun or srun has started several
// processes, but this build has no MPI, or that of another mpirun: each would take itself for the only one.
Collective& collective();

// Those ranks, if collective() has connected them; null before.
Collective* connected_ranks();

// The cores that this rank may use: one that two ranks of its machine may use counts as half a core for each.
// At least 1.
int cores_of_rank(Collective& ranks);

// How many processes mpirun, srun or another launcher says that it has started with this one; 0: it was
// started alone.
int launched_processes();

}  // namespace lamina
