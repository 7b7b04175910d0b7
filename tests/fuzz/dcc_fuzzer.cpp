// The weights of RTMO's coordinate classifier.

#include <string>

#include "bytes.h"
#include "dcc_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace edgepose;
  const Result<DccArrays> read =
      parse_dcc_file(std::string(reinterpret_cast<const char*>(data), size));
  if (!read.ok()) return 0;
  const DccArrays& arrays = read.value();
  fuzz::require(arrays.x_bins.size() == static_cast<size_t>(arrays.x_bin_count),
                "all bins are read");
  for (const float weight : arrays.pose_weight)
    fuzz::require(std::isfinite(weight), "finite weights");
  return 0;
}
