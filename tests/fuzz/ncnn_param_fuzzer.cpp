// The check of a .param file that stands before ncnn's own parser.

#include <cstring>
#include <string>

#include "bytes.h"
#include "engines/ncnn_param.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const edgepose::Status status =
      edgepose::check_ncnn_param(text, "net.param", [](const char* type) {
        edgepose::fuzz::require(std::strlen(type) <= 255, "a type fits ncnn's buffer");
        return std::strcmp(type, "Input") == 0 || std::strcmp(type, "Convolution") == 0;
      });
  if (status.ok()) {
    edgepose::fuzz::require(std::strlen(text.c_str()) == size, "no zero byte is let through");
  } else {
    edgepose::fuzz::require(status.message().find('\n') == std::string::npos, "one line");
  }
  return 0;
}
