# The packages of BitnetdPackages.cmake for another processor than this machine's. What is headers
# only or comes as sources is whole. Debian's compiled libraries are for this machine: a target that
# needs one can be compiled, but no program linked to it.

find_package(Threads REQUIRED)

# Not /usr/include itself: it holds this machine's C library.
set(headers ${CMAKE_BINARY_DIR}/headers)
set(machine_headers ${CMAKE_BINARY_DIR}/machine-headers)
file(MAKE_DIRECTORY ${headers} ${machine_headers})
foreach(name CLI boost fmt hwloc hwloc.h nlohmann pcre2.h prometheus seccomp.h spdlog systemd toml++
        utf8proc.h uv uv.h xxhash.h)
    file(CREATE_LINK /usr/include/${name} ${headers}/${name} SYMBOLIC)
endforeach()
# What hwloc found out about this machine's compiler; nothing of it is different elsewhere.
set(machine ${CMAKE_HOST_SYSTEM_PROCESSOR}-linux-gnu)
file(CREATE_LINK /usr/include/${machine}/hwloc ${machine_headers}/hwloc SYMBOLIC)

foreach(package Boost::headers CLI11::CLI11 benchmark::benchmark nlohmann_json::nlohmann_json
        prometheus-cpp::core spdlog::spdlog PkgConfig::hwloc PkgConfig::libsystemd PkgConfig::pcre2
        PkgConfig::seccomp PkgConfig::tomlplusplus PkgConfig::utf8proc PkgConfig::uv
        PkgConfig::xxhash)
    add_library(${package} INTERFACE IMPORTED)
    target_include_directories(${package} SYSTEM INTERFACE ${headers} ${machine_headers})
endforeach()
target_compile_definitions(spdlog::spdlog INTERFACE SPDLOG_FMT_EXTERNAL FMT_HEADER_ONLY)

set(BUILD_GMOCK OFF)
set(INSTALL_GTEST OFF)
add_subdirectory(/usr/src/googletest ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)
