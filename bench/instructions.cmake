# How many instructions an operation takes, counted by valgrind and held against instructions.txt (see instructions.c).
# The whole core is compiled once more for it, with the release's flags in any preset, so that the tests count what is
# installed. A sanitizer's program cannot run under valgrind.
find_program(VALGRIND valgrind)
find_path(VALGRIND_HEADERS valgrind/callgrind.h)
if(VALGRIND AND VALGRIND_HEADERS AND NOT CMAKE_C_FLAGS MATCHES "fsanitize")
    set(core_sources)
    foreach(folder base metrics crypto wire engine/memory op server)
        file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${folder}/*.c)
        list(APPEND core_sources ${sources})
    endforeach()
    add_executable(bench_instructions ${CMAKE_CURRENT_LIST_DIR}/instructions.c ${core_sources})
    target_include_directories(bench_instructions PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
    target_include_directories(bench_instructions SYSTEM PRIVATE ${VALGRIND_HEADERS})
    # After the preset's own, which the last ones override.
    target_compile_options(bench_instructions PRIVATE -O3 -g -DNDEBUG -Wno-error)
    set_target_properties(bench_instructions PROPERTIES INTERPROCEDURAL_OPTIMIZATION ON)
    target_link_libraries(bench_instructions PRIVATE PkgConfig::XXHASH PkgConfig::SODIUM m)
    add_test(NAME bench_instructions
        COMMAND /usr/bin/python3 ${CMAKE_CURRENT_LIST_DIR}/instructions.py $<TARGET_FILE:bench_instructions>)
endif()
