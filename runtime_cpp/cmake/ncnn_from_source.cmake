# Builds ncnn as a static library from the source distribution that the Python package index keeps, cut to the layers
# that pose networks use. pip cannot download that file (its metadata names another version), unearth can.
set(EDGEPOSE_NCNN_ARCHIVE "" CACHE FILEPATH "ncnn's source distribution, if it is already on this machine")

# As edgepose/paths.py does.
if(NOT "$ENV{EDGEPOSE_CACHE}" STREQUAL "")
  file(REAL_PATH "$ENV{EDGEPOSE_CACHE}/build" cache_dir BASE_DIRECTORY "$ENV{PWD}" EXPAND_TILDE)
elseif("$ENV{XDG_CACHE_HOME}" MATCHES "^/")
  set(cache_dir "$ENV{XDG_CACHE_HOME}/edgepose/build")
elseif(NOT "$ENV{HOME}" STREQUAL "")
  set(cache_dir "$ENV{HOME}/.cache/edgepose/build")
else()
  set(cache_dir "")
endif()
# The sources lie in the cache where possible: one path for all build folders, which ccache needs for its hits.
if(cache_dir)
  execute_process(COMMAND "${CMAKE_COMMAND}" -E make_directory "${cache_dir}" ERROR_QUIET RESULT_VARIABLE failed)
  execute_process(COMMAND "${CMAKE_COMMAND}" -E touch "${cache_dir}/.writable" ERROR_QUIET RESULT_VARIABLE readonly)
endif()
if(NOT cache_dir OR failed OR readonly)
  set(cache_dir "${CMAKE_BINARY_DIR}/_deps")
endif()

set(stem "ncnn-1.0.${EDGEPOSE_NCNN_VERSION}")
set(EDGEPOSE_NCNN_SOURCE_DIR "${cache_dir}/${stem}")

function(edgepose_fetch_ncnn)
  set(archive "${cache_dir}/${stem}.tar.gz")
  if(EDGEPOSE_NCNN_ARCHIVE)
    set(archive "${EDGEPOSE_NCNN_ARCHIVE}")
  endif()
  set(actual "")
  if(EXISTS "${archive}")
    file(SHA256 "${archive}" actual)
  endif()
  if(NOT actual STREQUAL EDGEPOSE_NCNN_SHA256 AND NOT EDGEPOSE_NCNN_ARCHIVE)
    # unearth reads no pip configuration, so the places of pip's environment variables are tried one by one: given
    # any, it forgets its default index.
    set(places "--no-binary")  # given twice it changes nothing: the default index
    if(DEFINED ENV{PIP_INDEX_URL})
      set(places "--index-url=$ENV{PIP_INDEX_URL}")
    endif()
    separate_arguments(urls UNIX_COMMAND "$ENV{PIP_EXTRA_INDEX_URL}")
    list(TRANSFORM urls PREPEND "--index-url=")
    separate_arguments(links UNIX_COMMAND "$ENV{PIP_FIND_LINKS}")
    list(TRANSFORM links PREPEND "--find-link=")
    list(APPEND places ${urls} ${links})
    message(STATUS "Fetching ${EDGEPOSE_NCNN_REQUIREMENT}")
    set(failed TRUE)
    foreach(attempt IN ITEMS 1 2 3)
      foreach(place IN LISTS places)
        if(failed)
          execute_process(
            COMMAND "${Python_EXECUTABLE}" -m unearth ${EDGEPOSE_NCNN_REQUIREMENT} --no-binary "${place}" -d "${cache_dir}"
            OUTPUT_VARIABLE answer ERROR_VARIABLE log RESULT_VARIABLE failed)
        endif()
      endforeach()
    endforeach()
    set(actual "")
    if(NOT failed)
      # A file that a local folder of links holds stays there.
      string(JSON archive ERROR_VARIABLE log GET "${answer}" local_path)
    endif()
    if(EXISTS "${archive}")
      file(SHA256 "${archive}" actual)
    endif()
    if(failed OR NOT actual)
      string(STRIP "${log}" log)
      string(REGEX MATCH "[^\n]*$" log "${log}")
      message(FATAL_ERROR
              "ncnn's source could not be fetched:\n${log}\n"
              "Install the fetcher (${Python_EXECUTABLE} -m pip install unearth==0.19.0) and check the network; or give "
              "the file ${stem}.tar.gz with -DEDGEPOSE_NCNN_ARCHIVE=FILE; or build without ncnn: "
              "-DEDGEPOSE_WITH_NCNN=OFF")
    endif()
  endif()
  if(NOT actual STREQUAL EDGEPOSE_NCNN_SHA256)
    message(FATAL_ERROR "${archive} has the sha256 \"${actual}\", expected ${EDGEPOSE_NCNN_SHA256}. Delete the file "
                        "and configure again.")
  endif()
  # Extracted aside and renamed: another configure run may do the same at this moment.
  string(RANDOM LENGTH 8 tag)
  set(aside "${cache_dir}/extract-${tag}")
  file(ARCHIVE_EXTRACT INPUT "${archive}" DESTINATION "${aside}")
  file(RENAME "${aside}/${stem}" "${EDGEPOSE_NCNN_SOURCE_DIR}" RESULT ignored)
  file(REMOVE_RECURSE "${aside}")
endfunction()

if(NOT EXISTS "${EDGEPOSE_NCNN_SOURCE_DIR}/CMakeLists.txt")
  edgepose_fetch_ncnn()
endif()

# What RTMPose, RTMDet, RTMW and RTMO need after pnnx, with the layers that these create themselves, and int8.
set(EDGEPOSE_NCNN_LAYERS
    absval batchnorm bias binaryop cast clip concat convolution convolutiondepthwise copyto crop deepcopy dequantize
    dropout eltwise exp expanddims flatten gelu gemm hardsigmoid hardswish innerproduct input interp layernorm log
    matmul memorydata multiheadattention noop packing padding permute pixelshuffle pooling power prelu quantize
    reduction relu requantize reshape scale sigmoid slice softmax split squeeze swish tanh tile unaryop)

function(edgepose_add_ncnn)
  file(STRINGS "${EDGEPOSE_NCNN_SOURCE_DIR}/src/CMakeLists.txt" lines REGEX "^ncnn_add_layer\\(")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^ncnn_add_layer\\(([A-Za-z0-9_]+).*" "\\1" layer "${line}")
    string(TOLOWER "${layer}" layer)
    if(NOT layer IN_LIST EDGEPOSE_NCNN_LAYERS)
      set(WITH_LAYER_${layer} OFF)
    endif()
  endforeach()
  # One set of flags for all presets, so that ccache compiles it once.
  set(CMAKE_BUILD_TYPE Release)
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)
  set(CMAKE_WARN_DEPRECATED OFF CACHE BOOL "" FORCE)
  set(CMAKE_EXPORT_COMPILE_COMMANDS OFF)
  set(NCNN_VERSION ${EDGEPOSE_NCNN_VERSION})
  # For Android ncnn turns these off by itself, for all that link it: also for our code, which has exceptions.
  set(NCNN_DISABLE_EXCEPTION OFF)
  set(NCNN_DISABLE_RTTI OFF)
  # Without stdio ncnn prints nothing; models are read from memory that was checked before.
  set(NCNN_STDIO OFF)
  set(NCNN_STRING ON)
  foreach(name IN ITEMS VULKAN BUILD_TOOLS BUILD_EXAMPLES BUILD_BENCHMARK BUILD_TESTS INSTALL_SDK C_API PIXEL PIXEL_ROTATE
                        PIXEL_AFFINE PIXEL_DRAWING BF16 WEIGHT_QUANT AVX512BF16 AVX512FP16 AVXVNNIINT8 AVXVNNIINT16
                        AVXNECONVERT XOP FMA4 ARM84BF16 ARM86SVE ARM86SVE2 ARM86SVEBF16
                        ARM86SVEI8MM ARM86SVEF32MM)
    set(NCNN_${name} OFF)
  endforeach()
  add_subdirectory("${EDGEPOSE_NCNN_SOURCE_DIR}" "${CMAKE_BINARY_DIR}/_deps/ncnn" EXCLUDE_FROM_ALL SYSTEM)
  # ncnn looks for it there, and builds without it silently.
  get_directory_property(has_openmp DIRECTORY "${EDGEPOSE_NCNN_SOURCE_DIR}/src" DEFINITION OpenMP_CXX_FOUND)
  if(NOT has_openmp AND NOT ANDROID)
    message(WARNING "OpenMP was not found, so a network runs in one thread, whatever number is asked for: install "
                    "libomp-dev (for clang) or build with GCC")
  endif()
  target_compile_options(ncnn PRIVATE -w)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|i.86)$")
    # Every kernel is there for each of the vector units that are chosen from at run time. ncnn asks for -Ofast, but
    # they are written out by hand: with -O2 they are as fast, and a quarter smaller.
    target_compile_options(ncnn PRIVATE -O2)
    # The plain layers stand behind those of a processor, and these few only move numbers or come once a frame.
    get_target_property(sources ncnn SOURCES)
    list(FILTER sources INCLUDE REGEX "/layer/[a-z0-9]+[.]cpp$|/layer/.*/(crop|interp|permute|reduction|reshape|unaryop)_")
    set_property(SOURCE ${sources} TARGET_DIRECTORY ncnn APPEND PROPERTY COMPILE_OPTIONS -Os)
  endif()
endfunction()
edgepose_add_ncnn()
