# cmake --install: the program, libraries, headers, the package that find_package(lamina) reads, and pkg-config's file.
# All of it works from wherever the prefix is moved to.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(libraries analysis compare train layers optim data core)  # as a linker wants them: users before what they use
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/lamina)
set(include_dir ${CMAKE_INSTALL_INCLUDEDIR}/lamina)

if(TARGET lamina_program)
  install(TARGETS lamina_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
list(TRANSFORM libraries PREPEND lamina_ OUTPUT_VARIABLE targets)
install(TARGETS lamina ${targets} EXPORT lamina ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} INCLUDES DESTINATION ${include_dir})

# Headers lie in one folder with the paths they have here. Kernels' own are left out, but for what a rule outside Lamina
# is compiled with.
install(DIRECTORY ${libraries} lamina DESTINATION ${include_dir} FILES_MATCHING PATTERN "*.h"
        PATTERN core/cpu EXCLUDE PATTERN core/cuda EXCLUDE)
install(FILES core/cpu/vector.h DESTINATION ${include_dir}/core/cpu)
install(FILES core/cuda/alignment.h core/cuda/check.h core/cuda/cuda_backend.h core/cuda/launch.h core/cuda/pack.h core/cuda/sums.h
        DESTINATION ${include_dir}/core/cuda)

install(EXPORT lamina NAMESPACE lamina:: FILE lamina-targets.cmake DESTINATION ${package_dir})
configure_package_config_file(cmake/lamina-config.cmake.in lamina-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(lamina-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lamina-config.cmake ${PROJECT_BINARY_DIR}/lamina-config-version.cmake
        DESTINATION ${package_dir})

# There are only static libraries: whoever links them needs all that they need, with or without --static.
list(TRANSFORM libraries PREPEND -llamina_ OUTPUT_VARIABLE pc_libs)
list(APPEND pc_libs -llbfgs)  # it has no file of pkg-config's
if(lamina_cuda)
  set(pc_cflags " -DLAMINA_CUDA")
  list(APPEND pc_libs ${CUDA_cudart_static_LIBRARY} -ldl -lrt)
endif()
if(lamina_mpi)
  list(APPEND pc_libs ${MPI_CXX_LIBRARIES})
endif()
list(APPEND pc_libs -pthread)
if(LAMINA_SANITIZE)
  list(APPEND pc_libs -fsanitize=${LAMINA_SANITIZE})
endif()
list(JOIN pc_libs " " pc_libs)
file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" pc_prefix ${pc_prefix})
configure_file(cmake/lamina.pc.in lamina.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/lamina.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
