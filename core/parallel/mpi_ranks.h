// Ranks that MPI connects.
#pragma once

#include <memory>

#include "core/parallel/collective.h"

namespace lamina {

bool mpi_is_built();
std::string mpi_description();  // "Open MPI 4.1.4", or that there is none in this build

// Throws Error if MPI cannot be started. The ranks part when the object is destroyed, which waits for all of
// them.
std::unique_ptr<Collective> connect_mpi();

}  // namespace lamina
