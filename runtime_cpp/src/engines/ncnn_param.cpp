#include "engines/ncnn_param.h"

#include <cstdio>
#include <sstream>

#include "engines/engines.h"

namespace edgepose {

Status check_ncnn_param(const std::string& text, const std::string& path,
                        bool (*has_layer)(const char* type)) {
  const Status damaged(Code::kBackendFailure, path + " is no ncnn network",
                       "convert the checkpoint again; the file may be damaged");
  if (text.find('\0') != std::string::npos) return damaged;
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || line.compare(0, 7, "7767517") != 0) return damaged;
  int layers = 0;
  int blobs = 0;
  if (!std::getline(lines, line) || std::sscanf(line.c_str(), "%d %d", &layers, &blobs) != 2 ||
      layers < 1 || blobs < 1) {
    return damaged;
  }
  int seen = 0;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string type;
    if (!(words >> type)) continue;
    ++seen;
    if (type.size() > 255) return damaged;
    if (!has_layer(type.c_str())) {
      return Status(
          Code::kBackendFailure,
          path + " needs the layer \"" + one_line(type) + "\", which this build does not have",
          "convert the checkpoint with edgepose convert, which uses known layers only");
    }
  }
  return seen == layers ? Status() : damaged;
}

}  // namespace edgepose
