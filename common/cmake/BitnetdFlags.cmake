# Flags that every target shares: language, warnings, sanitizers, and the floating-point rules
# that make every instruction set give the same bits.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")

option(BITNETD_WERROR "warnings are errors" OFF)
option(BITNETD_FUZZ "build the libFuzzer targets instead of the tests" OFF)
set(BITNETD_SANITIZE "" CACHE STRING "value of -fsanitize= for everything")

add_library(bitnetd_flags INTERFACE)
target_include_directories(bitnetd_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(bitnetd_flags INTERFACE _GNU_SOURCE BITNETD_VERSION="${PROJECT_VERSION}")
# Places where fault tests kill a process (common/base/crash_point.h); never in what is shipped.
if(NOT CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    target_compile_definitions(bitnetd_flags INTERFACE BITNETD_CRASH_POINTS)
endif()
# A fused multiply-add is written as fma(); the compiler may not make one of its own, or results
# would differ between instruction sets.
target_compile_options(bitnetd_flags INTERFACE -ffp-contract=off -fno-omit-frame-pointer -fstack-protector-strong)
set(bitnetd_warnings -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
    -Wcast-align -Wunused -Wimplicit-fallthrough -Wvla)
target_compile_options(bitnetd_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${bitnetd_warnings}>")
if(BITNETD_WERROR)
    target_compile_options(bitnetd_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
# Tests are not optimised; what they test is.
set(bitnetd_test_options -O0)
set(bitnetd_kernel_options -O3)
if(BITNETD_SANITIZE)
    # At -O3 one table of kernels takes gcc's sanitizers ten minutes; at -O1, twenty seconds.
    set(bitnetd_kernel_options -O1)
    set(sanitize -fsanitize=${BITNETD_SANITIZE})
    if(BITNETD_SANITIZE MATCHES undefined)
        # What the address sanitizer sees anyway when such a pointer is used: half of the build.
        list(APPEND sanitize -fno-sanitize-recover=undefined
            -fno-sanitize=null,vptr,object-size,pointer-overflow,nonnull-attribute,returns-nonnull-attribute)
    endif()
    # BITNETD_UNSANITIZED: a target that only links with what is sanitized. gcc's sanitizers raise
    # false alarms in the warning.
    target_compile_options(bitnetd_flags INTERFACE
        "$<$<NOT:$<BOOL:$<TARGET_PROPERTY:BITNETD_UNSANITIZED>>>:${sanitize}>"
        $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
    target_link_options(bitnetd_flags INTERFACE ${sanitize})
endif()
if(BITNETD_FUZZ)
    target_compile_options(bitnetd_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
