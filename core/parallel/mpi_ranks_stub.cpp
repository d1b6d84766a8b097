// In place of mpi_ranks.cpp where there is no MPI.
#include "core/base/error.h"
#include "core/parallel/mpi_ranks.h"

namespace lamina {

bool mpi_is_built() { return false; }
std::string mpi_description() { return "not built"; }
std::unique_ptr<Collective> connect_mpi() { fail("this build of Lamina has no MPI"); }

}  // namespace lamina
