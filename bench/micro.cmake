# Micro benchmarks: plain mains, one file each, that print nanoseconds per call.
add_executable(bench_codec ${CMAKE_CURRENT_LIST_DIR}/codec.c)
target_link_libraries(bench_codec PRIVATE sessiond_wire)
