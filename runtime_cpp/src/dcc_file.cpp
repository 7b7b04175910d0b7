#include "dcc_file.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>

namespace edgepose {
namespace {

constexpr char kMagic[] = "EPDCC001";
constexpr size_t kMagicBytes = 8;
constexpr size_t kDimensions = 8;

Status damaged(const std::string& what) {
  return Status(Code::kInvalidBundle,
                "the weights of the coordinate classifier are damaged: " + what,
                "convert the checkpoint again");
}

uint32_t read_uint32(const char* bytes) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

bool evenly_spaced(const std::vector<float>& bins) {
  const double step =
      (static_cast<double>(bins.back()) - bins.front()) / static_cast<double>(bins.size() - 1);
  if (!(step > 0)) return false;
  for (size_t i = 0; i < bins.size(); ++i) {
    if (std::abs(bins.front() + step * static_cast<double>(i) - bins[i]) > 1e-3 * step)
      return false;
  }
  return true;
}

}  // namespace

Result<DccArrays> parse_dcc_file(const std::string& bytes) {
  constexpr size_t kHeaderBytes = kMagicBytes + 4 * kDimensions;
  if (bytes.size() < kHeaderBytes || std::memcmp(bytes.data(), kMagic, kMagicBytes) != 0) {
    return damaged("it does not begin with " + std::string(kMagic));
  }
  uint32_t dims[kDimensions];
  for (size_t i = 0; i < kDimensions; ++i) {
    dims[i] = read_uint32(bytes.data() + kMagicBytes + 4 * i);
    if (dims[i] < 1 || dims[i] > 4096)
      return damaged("dimension " + std::to_string(dims[i]) + " is not in 1..4096");
  }
  if (dims[6] < 2 || dims[7] < 2) return damaged("fewer than two bins");
  DccArrays d = {};
  d.keypoints = static_cast<int>(dims[0]);
  d.pose_channels = static_cast<int>(dims[1]);
  d.width = static_cast<int>(dims[2]);
  d.attention = static_cast<int>(dims[3]);
  d.inner = static_cast<int>(dims[4]);
  d.periods = static_cast<int>(dims[5]);
  d.x_bin_count = static_cast<int>(dims[6]);
  d.y_bin_count = static_cast<int>(dims[7]);
  const size_t k = dims[0], c = dims[1], f = dims[2], a = dims[3], e = dims[4], p = dims[5];
  const struct {
    std::vector<float>* values;
    size_t count;
  } parts[] = {{&d.pose_weight, k * f * c}, {&d.pose_bias, k * f},
               {&d.norm_gain, 1},           {&d.uv_weight, (2 * e + a) * f},
               {&d.query_scale, a},         {&d.query_offset, k * a},
               {&d.key_scale, a},           {&d.key_offset, k * a},
               {&d.out_weight, f * e},      {&d.residual_scale, f},
               {&d.x_weight, f * 2 * p},    {&d.y_weight, f * 2 * p},
               {&d.frequencies, p},         {&d.x_bins, dims[6]},
               {&d.y_bins, dims[7]}};
  size_t total = 0;
  for (const auto& part : parts) total += part.count;
  if ((bytes.size() - kHeaderBytes) % 4 != 0 || (bytes.size() - kHeaderBytes) / 4 != total) {
    return damaged("it has " + std::to_string(bytes.size()) + " bytes, its dimensions need " +
                   std::to_string(kHeaderBytes + 4 * total));
  }
  const char* next = bytes.data() + kHeaderBytes;
  for (const auto& part : parts) {
    part.values->resize(part.count);
    for (float& value : *part.values) {
      const uint32_t bits = read_uint32(next);
      std::memcpy(&value, &bits, sizeof(value));
      if (!std::isfinite(value)) return damaged("a value is not finite");
      next += 4;
    }
  }
  if (!evenly_spaced(d.x_bins) || !evenly_spaced(d.y_bins))
    return damaged("the bins are not evenly spaced");
  return d;
}

Result<DccArrays> read_dcc_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  if (!file || bytes.fail())
    return Status(Code::kIo, "cannot read " + path, "check that the file exists");
  return parse_dcc_file(bytes.str());
}

}  // namespace edgepose
