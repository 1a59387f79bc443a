# libtorch by direct link: works for a CPU and a CUDA build, needs neither TorchConfig.cmake nor a CUDA toolkit nor
# Python. Only libtorch_cpu and libc10 are linked; libtorch_cuda is opened at run time where it is there.
#
#   LIBTORCH_DIR   the unpacked libtorch zip, or the `torch` folder of a wheel
#   Libtorch::Libtorch, LIBTORCH_VERSION
set(LIBTORCH_DIR "" CACHE PATH "Folder with libtorch's include/ and lib/")
if(NOT EXISTS "${LIBTORCH_DIR}/lib/libtorch_cpu.so" OR NOT EXISTS "${LIBTORCH_DIR}/include/ATen/ATen.h")
  message(FATAL_ERROR "LIBTORCH_DIR ('${LIBTORCH_DIR}') must hold include/ATen/ATen.h and lib/libtorch_cpu.so. "
                      "`npm run setup` fetches it.")
endif()

file(STRINGS "${LIBTORCH_DIR}/include/torch/headeronly/version.h" version_lines REGEX "define TORCH_VERSION_(MAJOR|MINOR) ")
string(REGEX REPLACE ".*MAJOR ([0-9]+).*" "\\1" version_major "${version_lines}")
string(REGEX REPLACE ".*MINOR ([0-9]+).*" "\\1" version_minor "${version_lines}")
set(LIBTORCH_VERSION "${version_major}.${version_minor}")
if(LIBTORCH_VERSION VERSION_LESS 2.11)
  message(FATAL_ERROR "libtorch ${LIBTORCH_VERSION} in ${LIBTORCH_DIR}: 2.11 or newer is needed")
endif()
message(STATUS "libtorch ${LIBTORCH_VERSION} from ${LIBTORCH_DIR}")

foreach(name c10 torch_cpu)
  add_library(Libtorch::${name} SHARED IMPORTED)
  set_target_properties(Libtorch::${name} PROPERTIES
    IMPORTED_LOCATION "${LIBTORCH_DIR}/lib/lib${name}.so"
    INTERFACE_INCLUDE_DIRECTORIES "${LIBTORCH_DIR}/include")
endforeach()
target_link_libraries(Libtorch::torch_cpu INTERFACE Libtorch::c10)
add_library(Libtorch::Libtorch INTERFACE IMPORTED)
target_link_libraries(Libtorch::Libtorch INTERFACE Libtorch::torch_cpu)
# at::parallel_for is an OpenMP loop in a header; the runtime must be the one libtorch itself uses.
file(GLOB libtorch_gomp "${LIBTORCH_DIR}/lib/libgomp*.so*")
if(libtorch_gomp)
  target_link_libraries(Libtorch::Libtorch INTERFACE ${libtorch_gomp})
else()
  target_link_options(Libtorch::Libtorch INTERFACE -fopenmp)
endif()
# The NVIDIA libraries that a CUDA build of libtorch_cpu names resolve at run time, through its own rpath.
target_link_options(Libtorch::Libtorch INTERFACE "LINKER:--allow-shlib-undefined")
target_compile_features(Libtorch::Libtorch INTERFACE cxx_std_20)
