# The CUDA compiler, where there is one: BITNETD_HAS_CUDA. Everything else builds, and passes its
# tests, without it. Sanitizers do not see what nvcc compiles, so that such a build goes without
# unless it is asked for.

set(BITNETD_CUDA auto CACHE STRING "build the GPU worker: auto (where nvcc is found), on, off")
set_property(CACHE BITNETD_CUDA PROPERTY STRINGS auto on off)
set(BITNETD_HAS_CUDA FALSE)
if(NOT BITNETD_CUDA MATCHES "^(auto|on|off)$")
    message(FATAL_ERROR "BITNETD_CUDA is \"${BITNETD_CUDA}\": give auto, on or off")
endif()

if(BITNETD_CUDA STREQUAL "on" OR
        (BITNETD_CUDA STREQUAL "auto" AND NOT BITNETD_SANITIZE AND NOT CMAKE_CROSSCOMPILING))
    find_program(BITNETD_NVCC nvcc PATHS /usr/local/cuda/bin /opt/cuda/bin
        DOC "the CUDA compiler, of toolkit 12 or 13")
    if(BITNETD_NVCC)
        # Real code for what is in use since 2018, and PTX for what comes. CUDAARCHS in the environment
        # takes its place, for as long as it is there: a test run builds what its machine can run,
        # and a package made after it is for all again. What -D says stays.
        if(DEFINED ENV{CUDAARCHS})
            set(CMAKE_CUDA_ARCHITECTURES $ENV{CUDAARCHS})
        elseif(NOT DEFINED CACHE{CMAKE_CUDA_ARCHITECTURES})
            set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90)
        endif()
        set(CMAKE_CUDA_COMPILER ${BITNETD_NVCC})
        set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
        set(CMAKE_CUDA_STANDARD 17)
        enable_language(CUDA)
        # CMake 3.25 does not know that nvcc 12 and 13 take C++20.
        set(CMAKE_CUDA_STANDARD 20)
        set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
        find_package(CUDAToolkit REQUIRED)
        set(BITNETD_HAS_CUDA TRUE)
    elseif(BITNETD_CUDA STREQUAL "on")
        message(FATAL_ERROR "BITNETD_CUDA is on and nvcc is neither in PATH nor in "
            "/usr/local/cuda/bin: install the CUDA Toolkit, or set BITNETD_NVCC or BITNETD_CUDA")
    endif()
endif()
if(BITNETD_HAS_CUDA)
    message(STATUS "GPU worker: built by ${BITNETD_NVCC} ${CMAKE_CUDA_COMPILER_VERSION}")
else()
    message(STATUS "GPU worker: not built (BITNETD_CUDA=${BITNETD_CUDA})")
endif()

# The emulation of the kernels takes its fma from the CPU, as all since 2013 have it.
set(bitnetd_fma_options)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    set(bitnetd_fma_options -mavx2 -mfma)
endif()

# bitnetd_cuda_kernels(NAME FOLDER): every .cu of FOLDER. Floats as on the CPU: no product and sum
# become one operation, quotients and roots are rounded to nearest, small numbers stay.
function(bitnetd_cuda_kernels name folder)
    file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cu)
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
    set(host_options -Wall -Wextra -fno-exceptions -ffp-contract=off -fno-omit-frame-pointer)
    list(JOIN host_options "," host_options)
    target_compile_options(${name} PRIVATE -fmad=false -prec-div=true -prec-sqrt=true -ftz=false
        --expt-relaxed-constexpr --threads=2 -lineinfo -Xcompiler=${host_options})
    if(BITNETD_WERROR)
        target_compile_options(${name} PRIVATE -Werror=all-warnings -Xcompiler=-Werror)
    endif()
    target_link_libraries(${name} PUBLIC CUDA::cudart_static)
endfunction()

# bitnetd_gpu_tests(NAME FOLDER TIMEOUT_S DEPS...): the tests of FOLDER, which another program runs over
# the emulation, on a real GPU, with the label cuda; where there is none they say that they are skipped.
function(bitnetd_gpu_tests name folder timeout_s)
    file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cc)
    add_executable(${name} ${sources} tests/support/gpu/on_gpu.cc)
    target_link_libraries(${name} PRIVATE bitnetd_flags ${ARGN} CUDA::cudart_static GTest::gtest
        GTest::gtest_main)
    add_test(NAME cuda/${name} COMMAND ${name})
    set_tests_properties(cuda/${name} PROPERTIES LABELS cuda TIMEOUT ${timeout_s}
        SKIP_REGULAR_EXPRESSION "no GPU: ")
endfunction()
