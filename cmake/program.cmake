# The program: its parts are a library so that tests can link them.
find_package(CLI11 REQUIRED)
lamina_library(apps)
target_link_libraries(lamina_apps PUBLIC lamina_analysis lamina_compare PRIVATE CLI11::CLI11)
target_compile_options(lamina_apps PRIVATE ${quick_to_compile})
lamina_compile_together(lamina_apps)
if(NOT LAMINA_UNITY)
  target_precompile_headers(lamina_apps REUSE_FROM lamina_train)
endif()
set_source_files_properties(apps/command.cpp PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O0> SKIP_PRECOMPILE_HEADERS ON)  # all of CLI11
target_compile_definitions(lamina_apps PRIVATE
  "LAMINA_LIBRARIES=\"Eigen ${Eigen3_VERSION}, fmt ${fmt_VERSION}, nlohmann-json ${nlohmann_json_VERSION}, CLI11 ${CLI11_VERSION}, toml++ ${tomlplusplus_VERSION}, zlib ${ZLIB_VERSION_STRING}, libjpeg ${JPEG_VERSION}, libpng ${PNG_VERSION_STRING}, stb_image, xxHash, libLBFGS\"")

add_executable(lamina_program apps/main.cpp)
target_link_libraries(lamina_program PRIVATE lamina_options lamina_apps)
set(folder ${PROJECT_BINARY_DIR})
if(folder STREQUAL PROJECT_SOURCE_DIR)
  string(APPEND folder /bin)  # there is a folder `lamina` already
endif()
set_target_properties(lamina_program PROPERTIES OUTPUT_NAME lamina RUNTIME_OUTPUT_DIRECTORY ${folder})
