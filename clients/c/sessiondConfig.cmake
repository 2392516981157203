# find_package(sessiond) gives sessiond::shared and sessiond::static.
include(CMakeFindDependencyMacro)
find_dependency(PkgConfig)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv)
include(${CMAKE_CURRENT_LIST_DIR}/sessiondTargets.cmake)
