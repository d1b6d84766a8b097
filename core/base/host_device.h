// Marks functions that run on the host and, when nvcc compiles them, on the device.
#pragma once

#ifdef __CUDACC__
#define LAMINA_HD __host__ __device__ inline
#else
#define LAMINA_HD inline
#endif
