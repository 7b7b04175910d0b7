#ifndef EDGEPOSE_TOOLS_PPM_H_
#define EDGEPOSE_TOOLS_PPM_H_

#include <cstdint>
#include <string>
#include <vector>

#include "edgepose/image.h"
#include "edgepose/status.h"

namespace edgepose::tools {

// A picture that owns its pixels.
struct Picture {
  std::vector<uint8_t> pixels;
  int width_px = 0;
  int height_px = 0;
  PixelFormat format = PixelFormat::kBgr;

  ImageView view() const;
};

// Reads a binary PPM (P6, 8 bits a channel). Error: kInvalidArgument for anything else.
Result<Picture> read_ppm(const std::string& path);

// Reads height * width * 3 bytes in BGR order; the file has exactly that many. Error:
// kInvalidArgument.
Result<Picture> read_raw_bgr(const std::string& path, int width_px, int height_px);

}  // namespace edgepose::tools

#endif  // EDGEPOSE_TOOLS_PPM_H_
