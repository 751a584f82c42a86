# The few functions with which the root CMakeLists.txt names its targets. Sources are found by
# folder, so that adding a file needs no edit here.

enable_testing()
include(GoogleTest)

# bitnetd_library(NAME FOLDER/* DEPS...): every .cc of FOLDER but the mains; FOLDER/** with all below.
function(bitnetd_library name folder)
    if(folder MATCHES "\\*\\*$")
        string(REGEX REPLACE "/\\*\\*$" "" folder ${folder})
        file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cc)
    else()
        file(GLOB sources CONFIGURE_DEPENDS ${folder}.cc)
    endif()
    list(FILTER sources EXCLUDE REGEX "/main[a-z_]*\\.cc$")
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PUBLIC bitnetd_flags ${ARGN})
endfunction()

# bitnetd_kernels(NAME FOLDER FLAGS...): one instruction set; its objects export one symbol. Listed
# in kernel_tables, and as ISA=FILE in kernel_table_files.
function(bitnetd_kernels name folder)
    file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cc)
    add_library(${name} STATIC ${sources})
    target_link_libraries(${name} PRIVATE bitnetd_flags)
    # gcc 12's own AVX-512 header trips over -Wuninitialized (its "undefined" vectors).
    target_compile_options(${name} PRIVATE ${bitnetd_kernel_options} -fno-exceptions -fno-math-errno
        -Wno-uninitialized $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized> ${ARGN})
    get_filename_component(isa ${folder} NAME)
    set(kernel_tables ${kernel_tables} ${name} PARENT_SCOPE)
    set(kernel_table_files ${kernel_table_files} ${isa}=$<TARGET_FILE:${name}> PARENT_SCOPE)
endfunction()

# bitnetd_program(NAME MAIN DEPS...): one binary in build/<preset>/bin.
function(bitnetd_program name main)
    add_executable(${name} ${main})
    target_link_libraries(${name} PRIVATE bitnetd_flags ${ARGN})
endfunction()

# bitnetd_manual(FOLDER): what bitnetd-docs writes: the example configuration, manual pages and shell
# completion. FOLDER is where packaging takes them from.
function(bitnetd_manual folder)
    if(CMAKE_CROSSCOMPILING)
        return()  # it runs while building
    endif()
    set(pages bitnetd.toml bitnetd.toml.5 bitnetd.8 bitnetctl.1 bitnet-shmdump.1 bitnetd.bash bitnetctl.bash)
    list(TRANSFORM pages PREPEND ${folder}/)
    add_custom_command(OUTPUT ${pages} COMMAND bitnetd-docs ${folder} DEPENDS bitnetd-docs VERBATIM)
    add_custom_target(manual ALL DEPENDS ${pages})
endfunction()

# What tests do to memory is told by what they call; races are between their own threads, too.
set(bitnetd_tests_unsanitized OFF)
if(BITNETD_SANITIZE MATCHES address AND NOT BITNETD_FUZZ)
    set(bitnetd_tests_unsanitized ON)
endif()

# All tests share the headers that most of them include: compiling costs more than running them.
add_library(test_headers OBJECT tests/support/precompiled.cc)
target_link_libraries(test_headers PRIVATE bitnetd_flags GTest::gtest)
target_compile_definitions(test_headers PRIVATE BITNETD_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
    BITNETD_BINARY_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
target_compile_options(test_headers PRIVATE -fPIE ${bitnetd_test_options})  # as programs are
set_target_properties(test_headers PROPERTIES POSITION_INDEPENDENT_CODE OFF
    BITNETD_UNSANITIZED ${bitnetd_tests_unsanitized})
target_precompile_headers(test_headers PRIVATE <gtest/gtest.h> <algorithm> <chrono> <filesystem>
    <fstream> <functional> <map> <memory> <nlohmann/json.hpp> <optional> <random> <set> <sstream> <string>
    <thread> <vector>)

# bitnetd_tests(NAME FOLDER LABEL TIMEOUT_S DEPS...): one GoogleTest binary from every *_test.cc
# below FOLDER; each test is its own ctest entry, so that a failure prints a one-line rerun. Those
# named GoldenFull read what is not in the repository and have the label golden-full instead. A
# folder inside FOLDER that has a program of its own is named before.
function(bitnetd_tests name folder label timeout_s)
    if(CMAKE_CROSSCOMPILING)  # tests run in an emulator
        math(EXPR timeout_s "10 * ${timeout_s}")
    endif()
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cc)
    get_property(taken GLOBAL PROPERTY bitnetd_test_sources)
    list(REMOVE_ITEM sources ${taken})
    set_property(GLOBAL APPEND PROPERTY bitnetd_test_sources ${sources})
    add_executable(${name} ${sources})
    target_link_libraries(${name} PRIVATE bitnetd_flags ${ARGN} GTest::gtest GTest::gtest_main)
    target_compile_definitions(${name} PRIVATE BITNETD_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
        BITNETD_BINARY_DIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
    target_compile_options(${name} PRIVATE ${bitnetd_test_options})
    set_target_properties(${name} PROPERTIES BITNETD_UNSANITIZED ${bitnetd_tests_unsanitized})
    target_precompile_headers(${name} REUSE_FROM test_headers)
    set(discover DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60 TEST_PREFIX "${name}/")
    gtest_discover_tests(${name} ${discover} TEST_FILTER "-*GoldenFull*"
        PROPERTIES LABELS ${label} TIMEOUT ${timeout_s})
    gtest_discover_tests(${name} ${discover} TEST_FILTER "*GoldenFull*" TEST_LIST ${name}_GOLDEN_FULL
        PROPERTIES LABELS golden-full TIMEOUT ${timeout_s})
endfunction()

# bitnetd_no_tests(FOLDER): those below FOLDER are not for this processor.
function(bitnetd_no_tests folder)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cc)
    set_property(GLOBAL APPEND PROPERTY bitnetd_test_sources ${sources})
endfunction()

# bitnetd_fuzzer(NAME SOURCE DEPS...): a libFuzzer target with its corpus in tests/fuzz/corpus/NAME.
# Without clang's libFuzzer the same entry point is replayed over the corpus by a small driver.
function(bitnetd_fuzzer name source)
    add_executable(fuzz_${name} ${source})
    if(NOT TARGET fuzzers)
        add_custom_target(fuzzers)
    endif()
    add_dependencies(fuzzers fuzz_${name})
    target_link_libraries(fuzz_${name} PRIVATE bitnetd_flags ${ARGN})
    if(BITNETD_FUZZ)
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    else()
        target_sources(fuzz_${name} PRIVATE tests/fuzz/replay_main.cc)
        add_test(NAME fuzz/${name} COMMAND fuzz_${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
        set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 120)
    endif()
endfunction()

# bitnetd_e2e(FOLDER): one ctest entry per *.test.mjs; they start the real binaries of this build.
function(bitnetd_e2e folder)
    file(GLOB tests CONFIGURE_DEPENDS ${folder}/*.test.mjs)
    foreach(test ${tests})
        get_filename_component(name ${test} NAME)
        string(REPLACE ".test.mjs" "" name ${name})
        add_test(NAME e2e/${name} COMMAND node --test ${test})
        set_tests_properties(e2e/${name} PROPERTIES LABELS e2e TIMEOUT 600
            ENVIRONMENT "BITNETD_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
    endforeach()
endfunction()
