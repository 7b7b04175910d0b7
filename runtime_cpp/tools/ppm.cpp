#include "ppm.h"

#include <sys/stat.h>

#include <cstdio>
#include <memory>
#include <utility>

namespace edgepose::tools {
namespace {

constexpr int kMaxSide_px = 32767;

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

Status unreadable(const std::string& path, const std::string& why) {
  return Status(Code::kInvalidArgument, path + ": " + why,
                "give a binary PPM (P6), or --raw WIDTHxHEIGHT with bytes in BGR order");
}

// The next number of a PPM header; comments run from # to the end of the line. -1 where there is
// none.
int next_number(std::FILE* file) {
  int c = std::fgetc(file);
  while (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '#') {
    if (c == '#') {
      while (c != '\n' && c != EOF) c = std::fgetc(file);
    }
    c = std::fgetc(file);
  }
  int number = -1;
  for (; c >= '0' && c <= '9'; c = std::fgetc(file)) {
    number = (number < 0 ? 0 : number) * 10 + (c - '0');
    if (number > 1000000) return -1;
  }
  return number;
}

// A folder opens like a file.
bool is_folder(std::FILE* file) {
  struct stat found;
  return fstat(fileno(file), &found) == 0 && S_ISDIR(found.st_mode);
}

// Fills the picture from where the file stands; the file must end there.
Result<Picture> read_pixels(const std::string& path, std::FILE* file, int width_px, int height_px,
                            PixelFormat format) {
  Picture picture;
  picture.width_px = width_px;
  picture.height_px = height_px;
  picture.format = format;
  const size_t bytes = static_cast<size_t>(width_px) * static_cast<size_t>(height_px) * 3;
  const long start = std::ftell(file);
  if (start < 0 || std::fseek(file, 0, SEEK_END) != 0) return unreadable(path, "cannot be read");
  const long end = std::ftell(file);
  if (end - start != static_cast<long>(bytes) || std::fseek(file, start, SEEK_SET) != 0) {
    return unreadable(path, "holds " + std::to_string(end - start) + " bytes of pixels, " +
                                std::to_string(width_px) + "x" + std::to_string(height_px) +
                                " needs " + std::to_string(bytes));
  }
  picture.pixels.resize(bytes);
  if (std::fread(picture.pixels.data(), 1, bytes, file) != bytes)
    return unreadable(path, "cannot be read");
  return picture;
}

}  // namespace

ImageView Picture::view() const {
  ImageView image;
  image.data = pixels.data();
  image.width_px = width_px;
  image.height_px = height_px;
  image.row_stride_bytes = static_cast<ptrdiff_t>(width_px) * 3;
  image.format = format;
  return image;
}

Result<Picture> read_ppm(const std::string& path) {
  const File file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (file == nullptr) return unreadable(path, "cannot be opened");
  if (is_folder(file.get())) return unreadable(path, "is a folder");
  if (std::fgetc(file.get()) != 'P' || std::fgetc(file.get()) != '6')
    return unreadable(path, "is no binary PPM");
  const int width_px = next_number(file.get());
  const int height_px = next_number(file.get());
  const int maximum = next_number(file.get());
  if (width_px < 1 || width_px > kMaxSide_px || height_px < 1 || height_px > kMaxSide_px ||
      maximum != 255) {
    return unreadable(path, "is no PPM of 8 bits a channel and at most 32767 pixels a side");
  }
  return read_pixels(path, file.get(), width_px, height_px, PixelFormat::kRgb);
}

Result<Picture> read_raw_bgr(const std::string& path, int width_px, int height_px) {
  const File file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (file == nullptr) return unreadable(path, "cannot be opened");
  if (is_folder(file.get())) return unreadable(path, "is a folder");
  return read_pixels(path, file.get(), width_px, height_px, PixelFormat::kBgr);
}

}  // namespace edgepose::tools
