# TensorRT, which has no CMake package of its own: the targets TensorRT::nvinfer and TensorRT::nvonnxparser, and
# TensorRT_VERSION. Where it lies elsewhere than the system looks: -DTensorRT_ROOT=FOLDER, with include and lib.
find_path(TensorRT_INCLUDE_DIR NvInfer.h)
find_library(TensorRT_nvinfer_LIBRARY nvinfer)
find_library(TensorRT_nvonnxparser_LIBRARY nvonnxparser)
mark_as_advanced(TensorRT_INCLUDE_DIR TensorRT_nvinfer_LIBRARY TensorRT_nvonnxparser_LIBRARY)

if(TensorRT_INCLUDE_DIR)
  # The number stands there itself, or behind a name: "#define NV_TENSORRT_MAJOR TRT_MAJOR_ENTERPRISE".
  file(READ "${TensorRT_INCLUDE_DIR}/NvInferVersion.h" header)
  foreach(part MAJOR MINOR PATCH)
    set(value "NV_TENSORRT_${part}")
    while(header MATCHES "#define[ \t]+${value}[ \t]+([A-Za-z0-9_]+)")
      set(value "${CMAKE_MATCH_1}")
    endwhile()
    list(APPEND TensorRT_VERSION "${value}")
  endforeach()
  string(REPLACE ";" "." TensorRT_VERSION "${TensorRT_VERSION}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  TensorRT
  REQUIRED_VARS TensorRT_nvinfer_LIBRARY TensorRT_nvonnxparser_LIBRARY TensorRT_INCLUDE_DIR
  VERSION_VAR TensorRT_VERSION
  REASON_FAILURE_MESSAGE "Install it (a Jetson has it from JetPack 6.1 on: apt-get install libnvinfer-dev libnvonnxparsers-dev), or say where it lies with -DTensorRT_ROOT=FOLDER"
)

if(TensorRT_FOUND)
  foreach(name nvinfer nvonnxparser)
    if(NOT TARGET TensorRT::${name})
      add_library(TensorRT::${name} UNKNOWN IMPORTED)
      set_target_properties(TensorRT::${name} PROPERTIES IMPORTED_LOCATION "${TensorRT_${name}_LIBRARY}"
                                                         INTERFACE_INCLUDE_DIRECTORIES "${TensorRT_INCLUDE_DIR}")
    endif()
  endforeach()
endif()
