# Micro benchmarks: plain mains, one file each, that print nanoseconds per call.
add_executable(bench_codec ${CMAKE_CURRENT_LIST_DIR}/codec.c)
target_link_libraries(bench_codec PRIVATE sessiond_wire)
foreach(name table wheel engine pool)
    add_executable(bench_${name} ${CMAKE_CURRENT_LIST_DIR}/${name}.c)
    target_link_libraries(bench_${name} PRIVATE sessiond_engine_memory)
endforeach()
add_executable(bench_event ${CMAKE_CURRENT_LIST_DIR}/event.c)
target_link_libraries(bench_event PRIVATE sessiond_server sessiond_engine_memory)
