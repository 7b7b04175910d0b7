# Every third-party pin of the C++ build. A package that CMake finds comes first, then the pinned one from the
# Python package index.
set(EDGEPOSE_NCNN_VERSION 20261020)
set(EDGEPOSE_NCNN_REQUIREMENT "ncnn==1.0.20261020")
set(EDGEPOSE_NCNN_SHA256 ad8cdd63e9755cfa8e23b9b6d9ce46156077d80298a89e7c3ba325ffccfca200)
set(EDGEPOSE_OPENVINO_VERSION 2026.4.1)
set(EDGEPOSE_JSON_VERSION 3.11.0)

set(Python_FIND_VIRTUALENV FIRST)
if(EDGEPOSE_BUILD_PYTHON)
  find_package(Python 3.10 COMPONENTS Interpreter Development.Module)
  if(Python_Interpreter_FOUND AND NOT Python_Development.Module_FOUND)
    message(FATAL_ERROR "Python's headers are missing (Debian: apt-get install python3-dev)")
  elseif(NOT Python_FOUND)
    message(FATAL_ERROR "Python 3.10 or newer is missing")
  endif()
else()
  find_package(Python 3.10 COMPONENTS Interpreter)
endif()

# The folder of an installed Python package, or an empty string.
function(edgepose_python_package_dir package output)
  set(${output} "" PARENT_SCOPE)
  if(Python_EXECUTABLE)
    execute_process(
      # Not from the working directory; Python's own option for that, -P, came with 3.11.
      COMMAND "${Python_EXECUTABLE}" -c
              "import sys; sys.path[:] = [p for p in sys.path if p]; import importlib.util, pathlib; print(pathlib.Path(importlib.util.find_spec('${package}').origin).parent)"
      OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
    if(NOT failed)
      set(${output} "${folder}" PARENT_SCOPE)
    endif()
  endif()
endfunction()

if(EDGEPOSE_BUILD_PYTHON)
  find_package(pybind11 3 CONFIG QUIET)
  if(NOT pybind11_FOUND)
    edgepose_python_package_dir(pybind11 EDGEPOSE_PYBIND11_DIR)
    find_package(pybind11 3 CONFIG REQUIRED PATHS "${EDGEPOSE_PYBIND11_DIR}/share/cmake/pybind11" NO_DEFAULT_PATH)
  endif()
endif()

find_package(Threads REQUIRED)

find_package(nlohmann_json ${EDGEPOSE_JSON_VERSION} CONFIG QUIET)
if(NOT nlohmann_json_FOUND)
  edgepose_python_package_dir(nlohmann_json EDGEPOSE_JSON_DIR)
  if(NOT EXISTS "${EDGEPOSE_JSON_DIR}/include/nlohmann/json.hpp")
    if(NOT Python_EXECUTABLE)
      message(FATAL_ERROR "Python 3.10 or newer was not found, which the build looks for packages with")
    endif()
    message(FATAL_ERROR "nlohmann_json was not found. Install it (Debian: nlohmann-json3-dev) or its Python package: "
                        "${Python_EXECUTABLE} -m pip install nlohmann-json==3.12.0")
  endif()
  add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED)
  target_include_directories(nlohmann_json::nlohmann_json INTERFACE "${EDGEPOSE_JSON_DIR}/include")
endif()

# Before OpenVINO, whose package adds definitions to everything that follows: with the same flags in all presets
# ccache compiles ncnn once.
if(EDGEPOSE_WITH_NCNN)
  # What this machine has is of no use to another processor; one built for that is named by ncnn_DIR.
  if(ncnn_DIR OR NOT CMAKE_CROSSCOMPILING)
    find_package(ncnn ${EDGEPOSE_NCNN_VERSION} CONFIG QUIET)
  endif()
  if(NOT ncnn_FOUND)
    include(ncnn_from_source)
  endif()
endif()

if(EDGEPOSE_WITH_OPENVINO)
  find_package(OpenVINO ${EDGEPOSE_OPENVINO_VERSION} QUIET COMPONENTS Runtime)
  if(NOT OpenVINO_FOUND)
    edgepose_python_package_dir(openvino EDGEPOSE_OPENVINO_DIR)
    find_package(OpenVINO ${EDGEPOSE_OPENVINO_VERSION} QUIET COMPONENTS Runtime
                 PATHS "${EDGEPOSE_OPENVINO_DIR}/cmake" NO_DEFAULT_PATH)
  endif()
  if(NOT OpenVINO_FOUND)
    message(FATAL_ERROR "OpenVINO ${EDGEPOSE_OPENVINO_VERSION} was not found. Install it "
                        "(${Python_EXECUTABLE} -m pip install openvino==${EDGEPOSE_OPENVINO_VERSION}), activate the "
                        "virtual environment that has it, or turn it off with -DEDGEPOSE_WITH_OPENVINO=OFF")
  endif()
endif()

if(EDGEPOSE_WITH_TENSORRT)
  find_package(CUDAToolkit REQUIRED)
  find_package(TensorRT 10 REQUIRED)
endif()

if(EDGEPOSE_BUILD_TESTS)
  find_package(GTest)
  if(NOT GTest_FOUND)
    message(FATAL_ERROR "GoogleTest was not found. Install it (Debian: libgtest-dev) or turn the C++ tests off with "
                        "-DEDGEPOSE_BUILD_TESTS=OFF")
  endif()
endif()
